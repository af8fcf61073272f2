"""Compare the network that TensorRT's parser made with the ONNX graph that it parsed.

Layers and nodes do not match one to one (a Pad becomes a Slice and several shape layers). But the layers of
convolutions, norms and pads have their node's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def compare_network(trt: Any, network: Any, model: ModelProto) -> dict[str, int]:
    """Check that the network has the graph's settings.

    Compared are every convolution (bytes of kernel and bias, kernel size, stride, pads, dilation, groups), every
    InstanceNormalization (epsilon, axes), every Pad (mode), and the names and shapes of inputs and outputs.

    Args:
        trt: TensorRT's module.
        network: The INetworkDefinition that the parser filled.
        model: The parsed graph.

    Returns:
        How many nodes of each operator were compared.

    Raises:
        ConversionError: the network differs from the graph. The message names the node.
    """
    layers = {network.get_layer(i).name: network.get_layer(i) for i in range(network.num_layers)}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    compared = dict.fromkeys(LAYERS, 0)
    for node in model.graph.node:
        if node.op_type not in LAYERS:
            continue
        kind, layer_class = LAYERS[node.op_type]
        layer = layers.get(node.name)
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
    for side, values, count, tensor in (
        ("inputs", model.graph.input, network.num_inputs, network.get_input),
        ("outputs", model.graph.output, network.num_outputs, network.get_output),
    ):
        graph_tensors = [(value.name, _read_shape(value)) for value in values]
        parsed_tensors = [(tensor(i).name, tuple(tensor(i).shape)) for i in range(count)]
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
        ConversionError: a convolution's kernel or bias is not constant.
    """
    if node.op_type == "InstanceNormalization":
        yield "epsilon", np.float32(attributes.get("epsilon", 1e-5)), np.float32(layer.epsilon)
        every_axis = (1 << len(layer.get_input(0).shape)) - 1
        yield "axes", every_axis & ~0b11, layer.axes  # bit i stands for axis i: all but N and C
        return
    if node.op_type == "Pad":
        mode = attributes.get("mode", b"constant").decode()
        yield "mode", {"constant": "FILL", "reflect": "REFLECT", "edge": "CLAMP"}[mode], layer.mode.name
        return
    if any(name and name not in weights for name in node.input[1:]):
        raise ConversionError(
            f"node '{node.name}' ({node.op_type})",
            "its kernel or bias is computed in the graph",
            "Export them as constants",
        )
    pads = list(attributes.get("pads", (0, 0, 0, 0)))
    # TensorRT has no output_padding: its parser subtracts it from the padding at the end.
    pads[2:] = [end - extra for end, extra in zip(pads[2:], attributes.get("output_padding", (0, 0)), strict=True)]
    yield "kernel", weights[node.input[1]].tobytes(), np.asarray(layer.kernel).tobytes()
    bias = weights[node.input[2]].tobytes() if any(node.input[2:]) else b""
    yield "bias", bias, b"" if layer.bias is None else np.asarray(layer.bias).tobytes()
    yield "kernel size", weights[node.input[1]].shape[2:], tuple(layer.kernel_size_nd)
    yield "stride", list(attributes.get("strides", (1, 1))), list(layer.stride_nd)
    yield "pads", pads, [*layer.pre_padding, *layer.post_padding]
    yield "dilation", list(attributes.get("dilations", (1, 1))), list(layer.dilation_nd)
    yield "groups", attributes.get("group", 1), layer.num_groups


def _read_shape(value: ValueInfoProto) -> tuple[int, ...]:
    """The shape in TensorRT's notation: -1 for a free axis."""
    return tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim)


def _make_error(node: NodeProto, setting: str, expected: object, parsed: object) -> ConversionError:
    if isinstance(expected, bytes):
        expected, parsed = "the graph's", "others"
    return ConversionError(
        f"node '{node.name}' ({node.op_type})",
        f"TensorRT's parser changed its {setting}: {parsed!s} instead of {expected!s}",
        "Do not use TensorRT for this model, and report it",
    )
