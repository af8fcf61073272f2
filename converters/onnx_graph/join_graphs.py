"""Several ONNX graphs wired into one, and taken apart again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto


@dataclass(frozen=True)
class Part:
    """One graph and where its ends go.

    Attributes:
        name: Prefix of all names inside.
        model: The graph.
        wires: Each of its inputs and outputs by the name of the joined graph's value that it is.
    """

    name: str
    model: ModelProto
    wires: Mapping[str, str]


def join_graphs(
    parts: Sequence[Part], inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]
) -> ModelProto:
    """Put parts one after another; all of one opset.

    Args:
        parts: In an order in which every value is computed before it is used.
        inputs: Of the joined graph.
        outputs: Of the joined graph.
    """
    joined = ModelProto()
    joined.ir_version = max(part.model.ir_version for part in parts)
    joined.opset_import.extend(parts[0].model.opset_import)
    graph = joined.graph
    graph.name = "ganport"
    graph.input.extend(inputs)
    graph.output.extend(outputs)
    for part in parts:
        assert list(part.model.opset_import) == list(joined.opset_import)
        ends = [*part.model.graph.input, *part.model.graph.output]
        _copy(part.model.graph, part.name, {end.name: part.wires[end.name] for end in ends}, graph)
    return joined


def take_out(joined: ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> ModelProto:
    """The part of a graph that computes `outputs` from `inputs`: its ends, or values that its value_info describes.

    A loop in that part must not take values from around it: the extractor does not see them.
    """
    part: ModelProto = onnx.utils.Extractor(joined).extract_model(list(inputs), list(outputs))
    return part


def _copy(graph: GraphProto, prefix: str, names: Mapping[str, str], into: GraphProto) -> None:
    """Append nodes and initializers, every value renamed by `names` or else prefixed."""
    scope = dict(names)
    for tensor in graph.initializer:
        scope.setdefault(tensor.name, f"{prefix}/{tensor.name}")
        copied = TensorProto()
        copied.CopyFrom(tensor)
        copied.name = scope[tensor.name]
        into.initializer.append(copied)
    for node in graph.node:
        for output in node.output:
            scope.setdefault(output, f"{prefix}/{output}")
    into.node.extend(_rename(node, prefix, scope) for node in graph.node)
    for value in graph.value_info:  # what shape inference cannot find again, such as the rank behind a loop
        if value.name in scope:
            described = into.value_info.add()
            described.CopyFrom(value)
            described.name = scope[value.name]


def _rename(node: NodeProto, prefix: str, scope: Mapping[str, str]) -> NodeProto:
    renamed = NodeProto()
    renamed.CopyFrom(node)
    renamed.name = f"{prefix}/{node.name}" if node.name else ""
    renamed.input[:] = [scope[name] if name else "" for name in node.input]
    renamed.output[:] = [scope[name] if name else "" for name in node.output]
    for attribute in renamed.attribute:
        if attribute.type == AttributeProto.GRAPH:
            attribute.g.CopyFrom(_rename_body(attribute.g, prefix, scope))
    return renamed


def _rename_body(body: GraphProto, prefix: str, outer: Mapping[str, str]) -> GraphProto:
    """A loop's body sees the names around it and adds its own."""
    ends = [*body.input, *body.output]
    scope = {**outer, **{end.name: f"{prefix}/{end.name}" for end in ends}}
    renamed = GraphProto()
    renamed.name = body.name
    _copy(body, prefix, scope, renamed)
    for values, copies in ((body.input, renamed.input), (body.output, renamed.output)):
        for value in values:
            copy = copies.add()
            copy.CopyFrom(value)
            copy.name = f"{prefix}/{value.name}"
    return renamed
