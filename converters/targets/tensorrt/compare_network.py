"""Compare the network that TensorRT's parser made with the ONNX graph that it parsed.

Layers and nodes do not match one to one (a Pad becomes a Slice of the data, and perhaps Slices of its amounts and other
shape layers). But the layers of convolutions and norms have their node's name, and the Slice of the data gives the
tensor that the Pad gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

from converters.errors import ConversionError
from converters.tensors import Array

# ONNX operator to the layer's TensorRT LayerType and class.
LAYERS = {
    "Conv": ("CONVOLUTION", "IConvolutionLayer"),
    "ConvTranspose": ("DECONVOLUTION", "IDeconvolutionLayer"),
    "InstanceNormalization": ("NORMALIZATION", "INormalizationLayer"),
    "Pad": ("SLICE", "ISliceLayer"),
}
SAME_PADS = ("SAME_UPPER", "SAME_LOWER")


def compare_network(trt: Any, network: Any, model: ModelProto) -> dict[str, int]:
    """Check that the network has the graph's settings.

    Compared are every convolution (bytes of kernel and bias, or the tensors that they are; kernel size, stride, pads,
    dilation, groups), every InstanceNormalization (epsilon, axes), every Pad (mode, and the tensor that is padded), and
    the names and shapes of inputs and outputs.

    Args:
        trt: TensorRT's module.
        network: The INetworkDefinition that the parser filled.
        model: The parsed graph.

    Returns:
        How many nodes of each operator were compared.

    Raises:
        ConversionError: the network differs from the graph. The message names the node.
    """
    every_layer = [network.get_layer(i) for i in range(network.num_layers)]
    layers = {layer.name: layer for layer in every_layer}
    producers = {layer.get_output(i).name: layer for layer in every_layer for i in range(layer.num_outputs)}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    compared = dict.fromkeys(LAYERS, 0)
    for node in model.graph.node:
        if node.op_type not in LAYERS:
            continue
        kind, layer_class = LAYERS[node.op_type]
        layer = producers.get(node.output[0]) if node.op_type == "Pad" else layers.get(node.name)
        if layer is None:
            raise _make_error(node, "layer", "present", "missing")
        if layer.type.name != kind:  # reading a layer by the class of another type would misread memory
            raise _make_error(node, "layer", kind, layer.type.name)
        layer.__class__ = getattr(trt, layer_class)
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        weights = {name: numpy_helper.to_array(constants[name]) for name in node.input if name in constants}
        for setting, expected, parsed in _list_settings(node, attributes, weights, layer):
            if expected != parsed:
                raise _make_error(node, setting, expected, parsed)
        compared[node.op_type] += 1
    free = {dim.dim_param for value in model.graph.input for dim in value.type.tensor_type.shape.dim} - {""}
    for side, values, count, tensor in (
        ("inputs", model.graph.input, network.num_inputs, network.get_input),
        ("outputs", model.graph.output, network.num_outputs, network.get_output),
    ):
        parsed_tensors = [(tensor(i).name, tuple(tensor(i).shape)) for i in range(count)]
        graph_tensors = [(value.name, _read_shape(value)) for value in values]
        if side == "outputs":
            parsed_shapes = dict(parsed_tensors)
            graph_tensors = [
                (value.name, _fill_open(value, parsed_shapes.get(value.name, ()), free)) for value in values
            ]
        if graph_tensors != parsed_tensors:
            met = f"its {side} are {parsed_tensors}, the graph's {graph_tensors}"
            raise ConversionError("TensorRT's parser", met, "Report this")
    return compared


def _list_settings(
    node: NodeProto, attributes: Mapping[str, Any], weights: Mapping[str, Array], layer: Any
) -> Iterator[tuple[str, object, object]]:
    """Yield each setting to compare: its name, its value in the graph, its value in the network.

    Args:
        node: A node of an operator in LAYERS.
        attributes: The node's attributes.
        weights: The node's constant inputs, by name.
        layer: The layer of the same name.

    Raises:
        ConversionError: an output has a fixed size, and the input's size, from which its pads follow, is free.
    """
    if node.op_type == "InstanceNormalization":
        yield "epsilon", np.float32(attributes.get("epsilon", 1e-5)), np.float32(layer.epsilon)
        every_axis = (1 << len(layer.get_input(0).shape)) - 1
        yield "axes", every_axis & ~0b11, layer.axes  # bit i stands for axis i: all but N and C
        return
    if node.op_type == "Pad":
        mode = attributes.get("mode", b"constant").decode()
        yield "mode", {"constant": "FILL", "reflect": "REFLECT", "edge": "CLAMP"}[mode], layer.mode.name
        yield "data", node.input[0], layer.get_input(0).name
        return
    for index, role, own in ((1, "kernel", layer.kernel), (2, "bias", layer.bias)):
        name = node.input[index] if index < len(node.input) else ""
        computed = layer.get_input(index) if index < layer.num_inputs else None
        parsed = computed.name if computed is not None else b"" if own is None else np.asarray(own).tobytes()
        yield role, weights[name].tobytes() if name in weights else name or b"", parsed
    constant = weights.get(node.input[1])
    kernel_size = tuple(layer.get_input(1).shape if constant is None else constant.shape)[2:]
    yield "kernel size", kernel_size, tuple(layer.kernel_size_nd)
    yield "stride", list(attributes.get("strides", (1, 1))), list(layer.stride_nd)
    auto_pad = attributes.get("auto_pad", b"NOTSET").decode()
    follows_mode = auto_pad in SAME_PADS and "output_shape" not in attributes
    yield "padding mode", auto_pad if follows_mode else "EXPLICIT_ROUND_DOWN", layer.padding_mode.name
    yield "pads", _list_pads(node, attributes, kernel_size, layer), [*layer.pre_padding, *layer.post_padding]
    yield "dilation", list(attributes.get("dilations", (1, 1))), list(layer.dilation_nd)
    yield "groups", attributes.get("group", 1), layer.num_groups


def _list_pads(node: NodeProto, attributes: Mapping[str, Any], kernel_size: Sequence[int], layer: Any) -> list[int]:
    """A convolution's pads as TensorRT has them: those of all axes at the beginning, then those at the end.

    TensorRT has no output_padding: its parser subtracts it from the padding at the end.

    Raises:
        ConversionError: as of `_list_settings`.
    """
    axes = len(kernel_size)
    extra = attributes.get("output_padding", [0] * axes)
    wanted = attributes.get("output_shape")
    pads = list(attributes.get("pads", [0] * (2 * axes)))
    if wanted is not None:
        strides, dilations = (attributes.get(name, [1] * axes) for name in ("strides", "dilations"))
        for axis, size in enumerate(tuple(layer.get_input(0).shape)[2:]):
            if size == -1:
                raise ConversionError(
                    f"node '{node.name}' ({node.op_type})",
                    f"its output_shape is fixed, and axis {2 + axis} of its input is free",
                    "Convert with --size HxW",
                )
            reach = dilations[axis] * (kernel_size[axis] - 1) + 1
            total = strides[axis] * (size - 1) + extra[axis] + reach - wanted[axis - axes]
            less, more = total // 2, total - total // 2
            upper = attributes.get("auto_pad") == b"SAME_UPPER"
            pads[axis], pads[axes + axis] = (less, more) if upper else (more, less)
    return pads[:axes] + [end - more for end, more in zip(pads[axes:], extra, strict=True)]


def _read_shape(value: ValueInfoProto) -> tuple[int, ...]:
    """The shape in TensorRT's notation: -1 for a free axis."""
    return tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim)


def _fill_open(value: ValueInfoProto, parsed: Sequence[int], free: Set[str]) -> tuple[int, ...]:
    """An output's shape as of `_read_shape`, but with the parser's sizes where ONNX's shape inference leaves them open.

    Args:
        parsed: The output's shape in the network.
        free: Names of the inputs' free sizes. A size that is one of these, or computed from one by name, is not open.
    """
    shape, dims = _read_shape(value), value.type.tensor_type.shape.dim
    if len(parsed) != len(shape):
        return shape
    known = [dim.HasField("dim_value") or not free.isdisjoint(re.findall(r"\w+", dim.dim_param)) for dim in dims]
    return tuple(ours if sure else theirs for ours, theirs, sure in zip(shape, parsed, known, strict=True))


def _make_error(node: NodeProto, setting: str, expected: object, parsed: object) -> ConversionError:
    if isinstance(expected, bytes) and isinstance(parsed, bytes):
        expected, parsed = "the graph's", "others"
    expected, parsed = ("constants" if isinstance(value, bytes) else value for value in (expected, parsed))
    return ConversionError(
        f"node '{node.name}' ({node.op_type})",
        f"TensorRT's parser changed its {setting}: {parsed!s} instead of {expected!s}",
        "Do not use TensorRT for this model, and report it",
    )
