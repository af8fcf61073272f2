"""From the waist to an MXNet symbol and its params; MXNet itself is not needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from converters.errors import UnsupportedOpError
from converters.mxnet_ops import OPS, Emitter, Value
from converters.mxnet_symbol import SymbolGraph, serialize_params
from converters.onnx_ranks import read_ranks
from converters.tensors import Array

# Operators have been read up to this opset; a later one may change what a node means.
NEWEST_OPSET = 18
ONNX_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class MxnetFiles:
    """Contents of NAME-symbol.json and NAME-0000.params."""

    symbol_json: str
    params: bytes


def convert_to_mxnet(model: ModelProto) -> MxnetFiles:
    """Translate every node; inputs and, with "_output" appended, outputs keep their names.

    Outputs keep their order. Inputs must be given by name: MXNet lists arguments in the order of their use.

    Args:
        model: float32 graph of opset 18 or earlier; sizes may be free.

    Raises:
        UnsupportedOpError: a node has no translation; it is named, with the reason.
    """
    opset = next((entry.version for entry in model.opset_import if entry.domain in ONNX_DOMAINS), None)
    if opset is None:
        raise UnsupportedOpError("the model", "it names no opset of ONNX's own operators", "Check the model")
    if opset > NEWEST_OPSET:
        raise UnsupportedOpError("the model", f"its opset is {opset}", f"Convert it to opset {NEWEST_OPSET} or earlier")
    ranks = read_ranks(model)
    graph = SymbolGraph(reserved=_tensor_names(model))
    params: dict[str, Array] = {}
    constants: dict[str, int] = {}
    values: dict[str, Value] = {}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        values[tensor.name] = Value(tensor.name, array.ndim, array)
    for given in model.graph.input:
        if given.name not in values:
            _require_float32(given)
            values[given.name] = Value(given.name, ranks.get(given.name), node=graph.variable(given.name))
    for node in model.graph.node:
        where = f"node '{node.name or ' '.join(node.output)}' ({node.op_type})"
        if node.domain not in ONNX_DOMAINS:
            raise UnsupportedOpError(where, f"its domain is '{node.domain}'", "Use ONNX's own operators")
        if len(node.output) != 1:
            raise UnsupportedOpError(where, f"it has {len(node.output)} outputs", "Use operators of one output")
        emit = Emitter(where, node.output[0], graph, params, constants)
        inputs = [values[name] if name else None for name in node.input]
        result = OPS.convert(emit, node.op_type, opset, inputs, _attributes(node))
        values[node.output[0]] = Value(node.output[0], ranks.get(node.output[0]), node=result.node)
    heads = []
    for output in model.graph.output:
        node_index = values[output.name].node
        if node_index is None:
            raise UnsupportedOpError(f"output '{output.name}'", "it is a constant", "Check the model")
        heads.append(node_index)
    return MxnetFiles(graph.to_json(heads), serialize_params(params))


def _tensor_names(model: ModelProto) -> set[str]:
    graph = model.graph
    return {
        *(tensor.name for tensor in graph.initializer),
        *(given.name for given in graph.input),
        *(name for node in graph.node for name in node.output),
    }


def _require_float32(given: onnx.ValueInfoProto) -> None:
    kind = given.type.tensor_type.elem_type
    if kind != TensorProto.FLOAT:
        raise UnsupportedOpError(
            f"input '{given.name}'", f"it is {TensorProto.DataType.Name(kind)}", "Only float32 is translated"
        )


def _attributes(node: NodeProto) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value

    return {attribute.name: plain(onnx.helper.get_attribute_value(attribute)) for attribute in node.attribute}
