"""The smallest size of an ONNX file's inputs: below it, a window of a pool or a convolution is larger than its plane.

ONNX does not say what such a pool gives. ONNX Runtime rounds the number of windows towards zero and goes on, MXNet
raises an error.
"""

from __future__ import annotations

import onnx
from onnx import ModelProto, NodeProto, ValueInfoProto, helper

from converters.sources.onnx_errors import ONNX_ERRORS
from converters.sources.onnx_file import list_inputs
from converters.sources.onnx_inputs import FREE_SIZE

WINDOWED_OPS = ("Conv", "MaxPool", "AveragePool", "LpPool")
# Weights with more elements cannot hold a shape, and are left out of shape inference.
MAX_SHAPE_ELEMENTS = 64
Shapes = dict[str, tuple[int | None, ...]]


def find_least_size(model: ModelProto) -> int:
    """The smallest size, up to FREE_SIZE, that all free axes must have so that every window fits into its plane.

    A contract has one number for all axes of an input. It is that of the axis which needs least, so that no size is
    refused that the file takes: a kernel of 5x1 says nothing of W. If the windows do not even fit at FREE_SIZE, it is
    1: then the size is not what is wrong.

    Args:
        model: The file's graph, whose inputs may have free axes.
    """
    small = ModelProto()
    small.CopyFrom(model)
    for tensor in small.graph.initializer:
        if len(tensor.dims) > 1 or sum(tensor.dims) > MAX_SHAPE_ELEMENTS:
            kept = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            tensor.CopyFrom(kept)
    axes = {axis for value in list_inputs(small) for axis in _list_free_axes(value)}
    if not axes or not _fits(small, "", FREE_SIZE):
        return 1
    return min(_find_least(small, axis) for axis in axes)


def _list_free_axes(value: ValueInfoProto) -> list[str]:
    """The free axes of an input of planes, without the first, which counts the items."""
    dims = value.type.tensor_type.shape.dim
    return [_name_axis(value, i) for i in range(1, len(dims)) if dims[i].dim_value <= 0] if len(dims) > 2 else []


def _name_axis(value: ValueInfoProto, index: int) -> str:
    """The axis's own name, which means the same size wherever it stands, or else its place."""
    return value.type.tensor_type.shape.dim[index].dim_param or f"axis {index} of {value.name}"


def _find_least(model: ModelProto, axis: str) -> int:
    """The smallest size of one axis, where all others are of FREE_SIZE."""
    if _fits(model, axis, 1):
        return 1
    too_small, enough = 1, FREE_SIZE
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        too_small, enough = (too_small, middle) if _fits(model, axis, middle) else (middle, enough)
    return enough


def _fits(model: ModelProto, axis: str, size: int) -> bool:
    """Whether every window whose plane's size shape inference knows fits into it.

    The axis is of this size, every other free one of FREE_SIZE, and the number of items is 1.
    """
    fixed = ModelProto()
    fixed.CopyFrom(model)
    for value in list_inputs(fixed):
        for index, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_value <= 0:
                name = _name_axis(value, index)
                dim.dim_value = 1 if index == 0 else size if name == axis else FREE_SIZE
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
