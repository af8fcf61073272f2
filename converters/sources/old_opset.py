"""Files of an opset of which ONNX Runtime lacks operators.

They are brought to the first opset that it has in full, and that graph is run in place of the file. Whether the two
compute the same is a rung of its own: onnx's reference implementation runs the untouched file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx.version_converter
from onnx import ModelProto, NodeProto

from converters.errors import ConversionError
from converters.onnx_graph.nodes import WAIST_OPSET, read_attributes, read_opset
from converters.onnx_graph.shapes import Shape, read_shapes
from converters.sources.onnx_errors import ONNX_ERRORS, first_line

RUNTIME_OPSET = 7
# Before opset 7 they align their second input with the axis that an attribute names.
ALIGNED_OPERATORS = ("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less")


def raise_opset(path: Path, model: ModelProto, reason: str) -> ModelProto:
    """A copy of the model at RUNTIME_OPSET, by onnx's version converter.

    Args:
        path: The file, for the error message.
        model: Of an older opset.
        reason: Why the file itself is not run.

    Raises:
        ConversionError: the version converter refuses it, or takes a node for what it is from opset 7 on. onnx's
            reference implementation makes the same mistakes, so that the comparison would not show them.
    """
    try:
        shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer} | read_shapes(model)
        node = next((node for node in model.graph.node if _is_mistaken(shapes, node)), None)
        if node is None:
            return onnx.version_converter.convert_version(model, RUNTIME_OPSET)
    except ONNX_ERRORS as error:
        met = f"{reason}, and ONNX's converter does not bring it from opset {read_opset(model)} to {RUNTIME_OPSET}"
        raise ConversionError(path, f"{met} ({first_line(error)})", f"Export it at opset {WAIST_OPSET}") from error
    where = f"{path}, node '{node.name or ' '.join(node.output)}' ({node.op_type})"
    met = f"{reason}, and ONNX's converter takes what it means in opset {read_opset(model)} for something else"
    raise ConversionError(where, met, f"Export it at opset {WAIST_OPSET}")


def _is_mistaken(shapes: Mapping[str, Shape], node: NodeProto) -> bool:
    """Whether it aligns its second input with other axes than the last: by an attribute, or as PRelu's slopes are.

    Args:
        shapes: Of the graph's tensors, as far as they are known.
        node: Of an opset below 7.
    """
    if node.op_type == "PRelu":
        return node.input[1] not in shapes or any(size != 1 for size in shapes[node.input[1]])
    if node.op_type not in ALIGNED_OPERATORS or "axis" not in read_attributes(node):
        return False
    first, second = (shapes.get(name) for name in node.input[:2])
    return first is None or second is None or read_attributes(node)["axis"] + len(second) != len(first)
