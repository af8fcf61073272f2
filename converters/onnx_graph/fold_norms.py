"""Fold batch norms into the convolutions in front of them, through sums and past nodes that read a shape.

    norm(conv_1(x) + conv_2(y)) = s conv_1(x) + s conv_2(y) + (b - s m),   s = scale / sqrt(variance + eps)

The first convolution gets the whole bias, those of the others too: the others have none.
onnxsim folds a norm only if it is all that reads its convolution's output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from converters.onnx_graph.builder import drop_unused_initializers
from converters.onnx_graph.traversal import find_readers, tensor_names
from converters.tensors import Array

# The axis of a weight that has the output channels; of a transposed convolution, it has them all in one group only.
OUTPUT_AXES = {"Conv": 0, "ConvTranspose": 1}


def fold_norms(model: ModelProto) -> ModelProto:
    """A copy of `model` without the batch norms that follow convolutions, or `model` itself if there are none."""
    if not any(node.op_type == "BatchNormalization" for node in model.graph.node):
        return model
    folded = ModelProto()
    folded.CopyFrom(model)
    graph = folded.graph
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        given = {value.name for value in graph.input}  # whose initializers are defaults
        constants = {
            tensor.name: tensor
            for tensor in graph.initializer
            if tensor.data_type == TensorProto.FLOAT and tensor.name not in given
        }
        if len(norm.output) != 1 or any(name not in constants for name in norm.input[1:]):
            continue
        scale, bias, mean, variance = (numpy_helper.to_array(constants[name]) for name in norm.input[1:])
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in norm.attribute}
        if attributes.get("training_mode", 0):
            continue
        convolutions = _list_convolutions(graph, norm.input[0], norm, constants, len(scale))
        if convolutions is None or len({node.output[0] for node in convolutions}) != len(convolutions):
            continue
        if len({len(constants[node.input[1]].dims) for node in convolutions}) > 1:  # a sum that repeats a summand
            continue
        factor = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + attributes.get("epsilon", 1e-5))
        biases = [numpy_helper.to_array(constants[name]) for node in convolutions for name in node.input[2:]]
        first, *others = convolutions
        _scale(graph, first, constants, factor, bias + factor * (sum(biases) - mean))
        for node in others:
            _scale(graph, node, constants, factor, None)
        _take_place(graph, norm)
    drop_unused_initializers(graph)
    return folded


def _list_convolutions(
    graph: GraphProto, tensor: str, reader: NodeProto, constants: Mapping[str, TensorProto], channels: int
) -> Sequence[NodeProto] | None:
    """The convolutions whose sum `tensor` is; None if it is another thing, or something else reads it or a summand.

    Args:
        graph: The whole graph.
        tensor: Its name.
        reader: The one node that may read it, beside nodes that read its shape.
        constants: The graph's float32 initializers.
        channels: Of `tensor`.
    """
    others = [node for node in find_readers(graph)[tensor] if node is None or node.output[0] != reader.output[0]]
    if any(node is None or node.op_type != "Shape" for node in others):
        return None
    maker = next((node for node in graph.node if tensor in node.output), None)
    if maker is not None and maker.op_type == "Add":
        found = [_list_convolutions(graph, name, maker, constants, channels) for name in maker.input]
        return None if any(part is None for part in found) else [node for part in found if part for node in part]
    if maker is None or maker.op_type not in OUTPUT_AXES or any(name not in constants for name in maker.input[1:]):
        return None
    weight = constants[maker.input[1]]
    return [maker] if weight.dims[OUTPUT_AXES[maker.op_type]] == channels else None


def _scale(
    graph: GraphProto, node: NodeProto, constants: Mapping[str, TensorProto], factor: Array, bias: Array | None
) -> None:
    """Give a convolution new weights, its own times `factor` channel by channel, and a new bias."""
    weight = numpy_helper.to_array(constants[node.input[1]])
    shape = [-1 if axis == OUTPUT_AXES[node.op_type] else 1 for axis in range(weight.ndim)]
    scaled = {"weight": weight * factor.reshape(shape)}
    if bias is not None:
        scaled["bias"] = bias
    taken = tensor_names(graph)
    del node.input[1:]
    for kind, value in scaled.items():
        name = f"{node.output[0]}_folded_{kind}"
        while name in taken:
            name += "_"
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
        node.input.append(name)


def _take_place(graph: GraphProto, norm: NodeProto) -> None:
    """Remove a norm: what made its input makes its output now."""
    before, after = norm.input[0], norm.output[0]
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == before:
                    names[index] = after
    graph.node.remove(norm)
    for value in [value for value in graph.value_info if value.name == before]:
        graph.value_info.remove(value)
