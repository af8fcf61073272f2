"""Give the ends of an ONNX graph names that every target takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from onnx import GraphProto, ModelProto


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Each name to one of letters, digits and underscores, none of them twice."""
    plain: dict[str, str] = {}
    for name in dict.fromkeys(names):
        wanted = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "tensor"
        wanted = f"x_{wanted}" if wanted[0].isdigit() else wanted
        count, free = 2, wanted
        while free in plain.values():
            free, count = f"{wanted}_{count}", count + 1
        plain[name] = free
    return plain


def rename(model: ModelProto, names: Mapping[str, str]) -> None:
    """Give tensors new names, in branches and loop bodies too; one that has a new name already makes way."""
    every = {name for graph in list_graphs(model.graph) for name in _defined(graph)}
    moved = dict(names)
    for name in sorted((set(names.values()) - set(names)) & every):
        free = f"{name}_inner"
        while free in every:
            free += "_"
        moved[name] = free
    for graph in list_graphs(model.graph):
        for node in graph.node:
            for ends in (node.input, node.output):
                ends[:] = [moved.get(name, name) for name in ends]
        for value in [*graph.input, *graph.output, *graph.initializer]:
            value.name = moved.get(value.name, value.name)


def list_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph itself, then every branch and loop body in it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs]:
                yield from list_graphs(inner)


def _defined(graph: GraphProto) -> Iterator[str]:
    yield from (value.name for value in [*graph.input, *graph.initializer])
    yield from (name for node in graph.node for name in node.output)
