"""Walk an ONNX graph and its subgraphs: the branches of an If, the body of a Loop or Scan."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import GraphProto, NodeProto


def list_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph itself, then every subgraph inside it, outer ones first."""
    yield graph
    for node in graph.node:
        for subgraph in _subgraphs(node):
            yield from list_graphs(subgraph)


def tensor_names(graph: GraphProto) -> set[str]:
    """Names of all inputs, initializers and node outputs of the graph and its subgraphs."""
    names: set[str] = set()
    for part in list_graphs(graph):
        names.update(value.name for value in part.input)
        names.update(tensor.name for tensor in part.initializer)
        names.update(name for node in part.node for name in node.output if name)
    return names


def read_names(node: NodeProto) -> Iterator[str]:
    """Names of the tensors that a node reads: its inputs in order, then every name that its subgraphs read.

    The latter include names that the subgraphs define themselves.
    """
    yield from (name for name in node.input if name)
    for subgraph in _subgraphs(node):
        yield from (value.name for value in subgraph.output)
        for inner in subgraph.node:
            yield from read_names(inner)


def find_readers(graph: GraphProto) -> dict[str, list[NodeProto | None]]:
    """For each tensor the nodes that read it, once per reading input; None stands for a graph output."""
    readers: dict[str, list[NodeProto | None]] = {value.name: [None] for value in graph.output}
    for node in graph.node:
        for name in read_names(node):
            readers.setdefault(name, []).append(node)
    return readers


def _subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
