"""(tanh(x) + 1) / 2 as one sigmoid, the doubling of x inside the convolution that gives x.

    (tanh(x) + 1) / 2 = sigmoid(2 x),  2 (w * x + b) = (2 w) * x + 2 b

by tanh(x) = (1 - exp(-2 x)) / (1 + exp(-2 x)); doubling a float32 is exact.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from converters.onnx_graph.builder import GraphBuilder, names_read, rebuild, tensor_names
from converters.tensors import Array


def rewrite_sigmoid_of_tanh(model: ModelProto) -> ModelProto:
    """A copy of `model` in which Conv, Tanh, Add 1, and Div 2 or Mul 0.5 become Conv, Sigmoid.

    A chain stays if anything else reads a tensor inside it; `model` itself if there is none.
    """
    given = {value.name for value in model.graph.input}
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name not in given}
    readers: dict[str, list[NodeProto | None]] = {value.name: [None] for value in model.graph.output}
    for node in model.graph.node:
        for name in names_read(node):
            readers.setdefault(name, []).append(node)
    chains = [chain for node in model.graph.node if (chain := _find_chain(node, readers, constants))]
    if not chains:
        return model
    builder = GraphBuilder(tensor_names(model))
    doubled = {chain[0].output[0] for chain in chains}
    halves = {chain[-1].output[0]: chain[0].output[0] for chain in chains}
    gone = {node.output[0] for chain in chains for node in chain[1:-1]}
    for node in model.graph.node:
        (result, *_) = node.output
        if result in doubled:
            convolution = NodeProto()
            convolution.CopyFrom(node)
            for index, name in enumerate(node.input[1:], start=1):
                convolution.input[index] = builder.constant(2 * constants[name], f"{name}_doubled")
            builder.nodes.append(convolution)
        elif result in halves:
            builder.define("Sigmoid", [halves[result]], result)
        elif result not in gone:
            builder.nodes.append(node)
    return rebuild(model, builder)


def _find_chain(
    convolution: NodeProto, readers: Mapping[str, list[NodeProto | None]], constants: Mapping[str, Array]
) -> list[NodeProto]:
    """The four nodes that start at `convolution`; none if they are others, or read by others too."""
    if convolution.op_type != "Conv" or any(name not in constants for name in convolution.input[1:]):
        return []
    chain = [convolution]
    for allowed in ({"Tanh": None}, {"Add": 1.0}, {"Div": 2.0, "Mul": 0.5}):
        result = chain[-1].output[0]
        node = readers[result][0] if len(readers.get(result, ())) == 1 else None
        if node is None or node.op_type not in allowed or (node.op_type == "Div" and node.input[0] != result):
            return []
        operand = allowed[node.op_type]
        others = [constants.get(name) for name in node.input if name != result]
        if operand is not None and not all(other is not None and np.all(other == operand) for other in others):
            return []
        chain.append(node)
    return chain
