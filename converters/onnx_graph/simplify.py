"""Simplify an ONNX graph, and strip what the tools that made it left behind."""

from __future__ import annotations

import onnx
from onnx import ModelProto

from converters.errors import ExportError


def simplify(model: ModelProto) -> ModelProto:
    """A smaller graph that computes the same; constants folded, foreign metadata gone.

    Raises:
        ExportError: the simplifier fails, or says that its result differs.
    """
    import onnxsim  # which imports torch

    try:
        simplified, same = onnxsim.simplify(model)
    except (RuntimeError, ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise ExportError("onnxsim", f"it fails ({reason})", "Report this with the file") from error
    if not same:
        raise ExportError("onnxsim", "its own check of the simplified graph failed", "Report this with the file")
    return strip_metadata(simplified)


def strip_metadata(model: ModelProto) -> ModelProto:
    """A copy without doc strings, node stack traces and tool keys.

    Stack traces hold absolute paths, and their order differs from process to process.
    """
    stripped = ModelProto()
    stripped.CopyFrom(model)
    del stripped.metadata_props[:]
    stripped.doc_string = ""
    graph = stripped.graph
    graph.doc_string = ""
    graph.name = "ganport"
    del graph.metadata_props[:]
    del graph.quantization_annotation[:]
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            attribute.doc_string = ""
    for tensor in graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    for value in [*graph.input, *graph.value_info, *graph.output]:
        value.doc_string = ""
        del value.metadata_props[:]
    return stripped


def check(model: ModelProto) -> None:
    """Run onnx's full checker and strict shape inference.

    Raises:
        ExportError: either of them objects.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(
            "onnx.checker", str(error).strip().splitlines()[0].rstrip("."), "Report this with the file"
        ) from error
