"""Write nodes and constants into an ONNX graph, each under a name of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, helper, numpy_helper

from converters.tensors import Array


class GraphBuilder:
    """Collects the nodes that replace a graph's own; equal constants are kept once.

    Args:
        reserved: Names that are taken.
    """

    def __init__(self, reserved: Iterable[str]) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Array] = {}
        self._taken = set(reserved)
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def name(self, wish: str) -> str:
        """`wish`, with a number after it if it is taken."""
        name, count = wish, 1
        while name in self._taken:
            count += 1
            name = f"{wish}_{count}"
        self._taken.add(name)
        return name

    def add(self, op: str, inputs: Iterable[str], name: str, **attributes: Any) -> str:
        """Add a node of one output; its output, named `name` or like it."""
        return self.define(op, inputs, self.name(name), **attributes)

    def define(self, op: str, inputs: Iterable[str], output: str, **attributes: Any) -> str:
        """Add a node whose output has exactly this name, one that the replaced nodes had given."""
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, value: Array, name: str) -> str:
        """A constant of this value, type and shape, which is named `name` if there was none yet."""
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._known:
            self._known[key] = self.name(name)
            self.constants[self._known[key]] = value
        return self._known[key]

    def integers(self, *values: int) -> str:
        """A constant int64 vector."""
        return self.constant(np.array(values, np.int64), f"ints_{'_'.join(map(str, values))}".replace("-", "m"))

    def integer(self, value: int) -> str:
        """A constant int64 scalar."""
        return self.constant(np.array(value, np.int64), f"int_{value}".replace("-", "m"))


def names_read(node: NodeProto) -> Iterator[str]:
    """Tensors that a node reads, those named in its subgraphs too (which may be the subgraph's own)."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        graphs = [attribute.g] if attribute.type == AttributeProto.GRAPH else list(attribute.graphs)
        for graph in graphs:
            yield from (value.name for value in graph.output)
            for inner in graph.node:
                yield from names_read(inner)


def tensor_names(model: ModelProto) -> set[str]:
    """Every name that a tensor of `model` has."""
    graph = model.graph
    return {
        *(tensor.name for tensor in graph.initializer),
        *(value.name for value in graph.input),
        *(name for node in graph.node for name in node.output if name),
    }


def rebuild(model: ModelProto, builder: GraphBuilder) -> ModelProto:
    """`model` with the builder's nodes instead of its own; constants that nothing uses are left out."""
    rebuilt = ModelProto()
    rebuilt.CopyFrom(model)
    graph = rebuilt.graph
    del graph.node[:]
    graph.node.extend(builder.nodes)
    used = {name for node in graph.node for name in names_read(node)} | {value.name for value in graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    made = [numpy_helper.from_array(value, name) for name, value in builder.constants.items() if name in used]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *made])
    del graph.value_info[:]  # some of the tensors are gone
    return rebuilt
