"""The smallest size of an ONNX file's inputs: below it, a window of a pool or a convolution is larger than its plane.

ONNX does not say what such a pool gives. ONNX Runtime rounds the number of windows towards zero and goes on, MXNet
raises an error.
"""

from __future__ import annotations

import onnx
from onnx import ModelProto, NodeProto, ValueInfoProto, helper

from converters.sources.import_onnx import ONNX_ERRORS
from converters.sources.onnx_file import list_inputs
from converters.sources.onnx_inputs import FREE_SIZE

WINDOWED_OPS = ("Conv", "MaxPool", "AveragePool", "LpPool")
# Weights with more elements cannot hold a shape, and are left out of shape inference.
MAX_SHAPE_ELEMENTS = 64
Shapes = dict[str, tuple[int | None, ...]]


def find_least_size(model: ModelProto) -> int:
    """The smallest size, up to FREE_SIZE, of the free axes at which every window fits into its plane.

    1 if the windows do not even fit at FREE_SIZE: then the size is not what is wrong.

    Args:
        model: The file's graph, whose inputs may have free axes.
    """
    small = ModelProto()
    small.CopyFrom(model)
    for tensor in small.graph.initializer:
        if len(tensor.dims) > 1 or sum(tensor.dims) > MAX_SHAPE_ELEMENTS:
            kept = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            tensor.CopyFrom(kept)
    if _fits(small, 1) or not _fits(small, FREE_SIZE):
        return 1
    too_small, enough = 1, FREE_SIZE
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        too_small, enough = (too_small, middle) if _fits(small, middle) else (middle, enough)
    return enough


def _fits(model: ModelProto, size: int) -> bool:
    """Whether every window whose plane's size shape inference knows fits into it, with free axes of this size."""
    fixed = ModelProto()
    fixed.CopyFrom(model)
    for value in list_inputs(fixed):
        for index, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_value <= 0:
                dim.dim_value = 1 if index == 0 else size
    for value in fixed.graph.output:  # what the file states of tensors may be of another size
        value.type.tensor_type.ClearField("shape")
    del fixed.graph.value_info[:]
    try:
        inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    except ONNX_ERRORS:
        return False
    shapes = {value.name: _read_shape(value) for value in (*inferred.input, *inferred.value_info, *inferred.output)}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    return all(_fits_plane(node, shapes) for node in inferred.node if node.op_type in WINDOWED_OPS)


def _fits_plane(node: NodeProto, shapes: Shapes) -> bool:
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    sizes = shapes.get(node.input[0], ())[2:]
    kernel = attributes.get("kernel_shape") or (shapes.get(node.input[1], ())[2:] if node.op_type == "Conv" else ())
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or attributes.get("ceil_mode"):
        return True
    axes = len(sizes)
    pads = attributes.get("pads", [0] * (2 * axes))
    dilations = attributes.get("dilations", [1] * axes)
    if len(kernel) != axes or len(pads) != 2 * axes or len(dilations) != axes:
        return True
    return all(
        size is None or side is None or size + pads[axis] + pads[axes + axis] > dilations[axis] * (side - 1)
        for axis, (size, side) in enumerate(zip(sizes, kernel, strict=True))
    )


def _read_shape(value: ValueInfoProto) -> tuple[int | None, ...]:
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim)
