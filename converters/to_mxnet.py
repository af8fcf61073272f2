"""From the waist to an MXNet symbol and its params; MXNet itself is not needed."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto, numpy_helper

from converters.errors import UnsupportedOpError
from converters.mxnet_ops import OPS, OWN_OPS, Context, Emitter, Value
from converters.mxnet_symbol import SymbolGraph, serialize_params
from converters.onnx_nodes import read_names, read_nodes, read_opset, require_float32
from converters.onnx_shapes import read_ranks
from converters.rewrites.own_ops import declare_ranks
from converters.rewrites.planes import read_planes


@dataclass(frozen=True)
class MxnetFiles:
    """Contents of NAME-symbol.json and NAME-0000.params."""

    symbol_json: str
    params: bytes


def convert_to_mxnet(model: ModelProto) -> MxnetFiles:
    """Translate every node; inputs and, with "_output" appended, outputs keep their names.

    Outputs keep their order. Inputs must be given by name: MXNet lists arguments in the order of their use.

    Args:
        model: float32 graph of opset 18 or earlier, operators of ours (`rewrites.own_ops`) too; sizes may be free.

    Raises:
        UnsupportedOpError: a node has no translation; it is named, with the reason.
    """
    opset = read_opset(model)
    ranks = read_ranks(declare_ranks(model))
    graph = SymbolGraph(reserved=read_names(model))
    context = Context(graph, read_planes(model))
    values: dict[str, Value] = {}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        values[tensor.name] = Value(tensor.name, array.ndim, array)
    used = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    for given in model.graph.input:
        if given.name not in values:
            if given.name not in used:  # a symbol has no such argument
                raise UnsupportedOpError(
                    f"input '{given.name}'", "nothing is computed from it", "Export the model without it"
                )
            require_float32(given)
            values[given.name] = Value(given.name, ranks.get(given.name), node=graph.variable(given.name))
    for node in read_nodes(model):
        emit = Emitter(node.where, node.output, context)
        inputs = [values[name] if name else None for name in node.inputs]
        registry = OWN_OPS if node.own else OPS
        result = registry.convert(emit, node.op, opset, inputs, node.attributes)
        values[node.output] = Value(node.output, ranks.get(node.output), node=result.node)
    heads = []
    for output in model.graph.output:
        node_index = values[output.name].node
        if node_index is None:
            raise UnsupportedOpError(f"output '{output.name}'", "it is a constant", "Check the model")
        heads.append(node_index)
    return MxnetFiles(graph.to_json(heads), serialize_params(context.params))
