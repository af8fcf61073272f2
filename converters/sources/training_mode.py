"""Find operators that work in training mode: they drop values at random, or normalize by the batch's own statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

from converters.onnx_graph.nodes import read_attributes, read_opset
from converters.onnx_graph.traversal import list_graphs
from converters.tensors import Array

# Before this opset an attribute `is_test` says whether BatchNormalization and Dropout are not in training mode.
OUTPUTS_SINCE = 7
# Between the two, a BatchNormalization of more than one output is in training mode. From here on an attribute tells it.
ATTRIBUTE_SINCE = 14


def find_training_node(model: ModelProto) -> NodeProto | None:
    """The first node, also in branches, loop bodies and local functions, that is or may be in training mode.

    A Dropout whose training mode is not a constant may be; one whose ratio is the constant 0 drops nothing.
    """
    opset = read_opset(model)
    for body in (model.graph, *(GraphProto(node=function.node) for function in model.functions)):
        constants = dict(_list_constants(body))
        for graph in list_graphs(body):
            for node in graph.node:
                trains = node.op_type == "BatchNormalization" and _trains_norm(node, opset)
                if trains or (node.op_type == "Dropout" and _may_drop(node, opset, constants)):
                    found: NodeProto = node
                    return found
    return None


def _trains_norm(node: NodeProto, opset: int) -> bool:
    if opset >= ATTRIBUTE_SINCE:
        return bool(read_attributes(node).get("training_mode", 0))
    if opset >= OUTPUTS_SINCE:
        return sum(map(bool, node.output)) > 1
    return not read_attributes(node).get("is_test", 0)


def _may_drop(node: NodeProto, opset: int, constants: Mapping[str, Array]) -> bool:
    if opset < OUTPUTS_SINCE:
        return not read_attributes(node).get("is_test", 0)
    inputs = [*node.input, "", ""]
    ratio, training = inputs[1], inputs[2]
    if not training or (ratio in constants and not constants[ratio].any()):
        return False
    return training not in constants or bool(constants[training].any())


def _list_constants(body: GraphProto) -> Iterator[tuple[str, Array]]:
    """Names and values of the initializers that are no inputs too, and of the Constant nodes."""
    inputs = {value.name for value in body.input}
    for graph in list_graphs(body):
        yield from ((t.name, numpy_helper.to_array(t)) for t in graph.initializer if t.name not in inputs)
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                yield node.output[0], numpy_helper.to_array(node.attribute[0].t)
