"""Replace (tanh(x) + 1) / 2 by one sigmoid, and double x inside the convolution that computes it.

    (tanh(x) + 1) / 2 = sigmoid(2 x),  2 (w * x + b) = (2 w) * x + 2 b

by tanh(x) = (1 - exp(-2 x)) / (1 + exp(-2 x)); doubling a float32 is exact.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnx import ModelProto, NodeProto

from converters.onnx_graph.builder import GraphBuilder, rebuild
from converters.onnx_graph.nodes import read_constants
from converters.onnx_graph.traversal import find_readers
from converters.tensors import Array

# The operators that follow the convolution, in order, each with the value of its constant operand.
CHAIN: tuple[Mapping[str, float | None], ...] = ({"Tanh": None}, {"Add": 1.0}, {"Div": 2.0, "Mul": 0.5})


def rewrite_sigmoid_of_tanh(model: ModelProto) -> ModelProto:
    """A copy of `model` in which every chain of Conv, Tanh, Add 1, and Div 2 or Mul 0.5 is Conv, Sigmoid.

    A chain stays if another node reads a tensor inside it. Without a chain, the result is `model` itself.
    """
    constants = read_constants(model)
    readers = find_readers(model.graph)
    chains = [chain for node in model.graph.node if (chain := _find_chain(node, readers, constants))]
    if not chains:
        return model
    builder = GraphBuilder(model)
    convolutions = {chain[0].output[0] for chain in chains}
    sigmoid_inputs = {chain[-1].output[0]: chain[0].output[0] for chain in chains}
    dropped = {node.output[0] for chain in chains for node in chain[1:-1]}
    for node in model.graph.node:
        (result, *_) = node.output
        if result in convolutions:
            convolution = NodeProto()
            convolution.CopyFrom(node)
            for index, name in enumerate(node.input[1:], start=1):
                if not name:
                    continue
                convolution.input[index] = builder.constant(2 * constants[name], f"{name}_doubled")
            builder.nodes.append(convolution)
        elif result in sigmoid_inputs:
            builder.define("Sigmoid", [sigmoid_inputs[result]], result)
        elif result not in dropped:
            builder.nodes.append(node)
    return rebuild(model, builder)


def _find_chain(
    convolution: NodeProto, readers: Mapping[str, list[NodeProto | None]], constants: Mapping[str, Array]
) -> list[NodeProto]:
    """The four nodes of the chain that starts at `convolution`, or none if no chain starts there."""
    if convolution.op_type != "Conv" or any(name not in constants for name in convolution.input[1:] if name):
        return []
    chain = [convolution]
    for operands in CHAIN:
        result = chain[-1].output[0]
        node = readers[result][0] if len(readers.get(result, ())) == 1 else None
        if node is None or node.op_type not in operands or (node.op_type == "Div" and node.input[0] != result):
            return []
        operand = operands[node.op_type]
        others = [constants.get(name) for name in node.input if name != result]
        rank = constants[convolution.input[1]].ndim
        if operand is not None and not all(_is_number(other, operand, rank) for other in others):
            return []
        chain.append(node)
    return chain


def _is_number(array: Array | None, number: float, rank: int) -> bool:
    """Whether a constant is this one number, and makes nothing larger that has `rank` axes."""
    return array is not None and array.size == 1 and array.ndim <= rank and array.item() == number
