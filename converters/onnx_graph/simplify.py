"""Simplify an ONNX graph with onnxsim, and fold the batch norms that it leaves."""

from __future__ import annotations

import onnx
from onnx import ModelProto

from converters.errors import ExportError
from converters.onnx_graph.clean import strip_metadata
from converters.onnx_graph.fold_norms import fold_norms


def simplify(model: ModelProto) -> ModelProto:
    """A smaller graph that computes the same, with constants and batch norms folded and metadata stripped.

    Raises:
        ExportError: onnxsim fails, or its own check finds that the simplified graph computes something else.
    """
    import onnxsim  # imported here because it takes long, and imports torch if that is there

    try:
        simplified, same = onnxsim.simplify(model)
    except (RuntimeError, ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise ExportError("onnxsim", f"it fails ({reason})", "Report this with the file") from error
    if not same:
        raise ExportError("onnxsim", "its own check of the simplified graph failed", "Report this with the file")
    return strip_metadata(fold_norms(simplified))
