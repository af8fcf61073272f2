"""Rename tensors of an ONNX graph, for instance to names that every target accepts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from onnx import ModelProto

from converters.onnx_graph.traversal import list_graphs, tensor_names


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Map each name to a unique one of ASCII letters, digits and underscores that starts with no digit."""
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
    """Rename tensors in place, in subgraphs too.

    Args:
        names: Old name to new name. A tensor that already has one of the new names is renamed as well, to that name
            with "_inner" appended.
    """
    existing = tensor_names(model.graph)
    renamed = dict(names)
    for name in sorted((set(names.values()) - set(names)) & existing):
        free = f"{name}_inner"
        while free in existing or free in renamed.values():
            free += "_"
        renamed[name] = free
    for graph in list_graphs(model.graph):
        for node in graph.node:
            for tensors in (node.input, node.output):
                tensors[:] = [renamed.get(name, name) for name in tensors]
        for value in [*graph.input, *graph.output, *graph.initializer, *graph.value_info]:
            value.name = renamed.get(value.name, value.name)
