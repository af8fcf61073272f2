"""Write nodes and constants into an ONNX graph, each under a unique name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from converters.onnx_graph.traversal import find_readers, tensor_names
from converters.tensors import Array


class GraphBuilder:
    """Collects the nodes and constants of a graph that is to replace the graph of `model`; see `rebuild`.

    Two constants of equal type, shape and value are stored once.

    Args:
        model: New tensors get names that its graph does not use.
    """

    def __init__(self, model: ModelProto) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Array] = {}
        self._taken = tensor_names(model.graph)
        self._made: list[NodeProto] = []
        self._names_by_content: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def unique_name(self, base: str) -> str:
        """Reserve and return `base`, followed by a number if that name is taken."""
        name, count = base, 1
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name

    def add(self, op: str, inputs: Iterable[str], name: str, **attributes: Any) -> str:
        """Add a node with one output; return the output's name, `name` or that with a number."""
        return self.define(op, inputs, self.unique_name(name), **attributes)

    def define(self, op: str, inputs: Iterable[str], output: str, **attributes: Any) -> str:
        """Add a node whose output has exactly the name `output`, because the rest of the graph reads that name."""
        self._made.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        self.nodes.append(self._made[-1])
        return output

    def rename_last_output(self, output: str) -> None:
        """Give the output of the node added last the name `output`, because the rest of the graph reads that name."""
        self.nodes[-1].output[0] = output

    def drop_repeated_names(self) -> None:
        """Take the names of new nodes away that other nodes have: runtimes refuse two nodes of one name."""
        counts = Counter(node.name for node in self.nodes)
        for node in self._made:
            if counts[node.name] > 1:
                node.name = ""

    def constant(self, value: Array, name: str) -> str:
        """The name of a constant with this value, type and shape; a new one is called `name`."""
        content = (value.dtype.str, value.shape, value.tobytes())
        if content not in self._names_by_content:
            self._names_by_content[content] = self.unique_name(name)
            self.constants[self._names_by_content[content]] = value
        return self._names_by_content[content]

    def integers(self, *values: int) -> str:
        """The name of a constant int64 vector."""
        return self.constant(np.array(values, np.int64), f"ints_{'_'.join(map(str, values))}".replace("-", "m"))

    def integer(self, value: int) -> str:
        """The name of a constant int64 scalar."""
        return self.constant(np.array(value, np.int64), f"int_{value}".replace("-", "m"))


def rebuild(model: ModelProto, builder: GraphBuilder) -> ModelProto:
    """A copy of `model` with the builder's nodes in place of its own, without unused initializers.

    What value_info says of tensors that are still there is kept: shape inference cannot find all of it again.
    """
    builder.drop_repeated_names()
    rebuilt = ModelProto()
    rebuilt.CopyFrom(model)
    graph = rebuilt.graph
    del graph.node[:]
    graph.node.extend(builder.nodes)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in builder.constants.items())
    drop_unused_initializers(graph)
    made = {name for node in graph.node for name in node.output}
    described = [value for value in graph.value_info if value.name in made]
    del graph.value_info[:]
    graph.value_info.extend(described)
    return rebuilt


def drop_unused_initializers(graph: GraphProto) -> None:
    """Delete the initializers that no node reads and that are neither a graph output nor the default of an input."""
    used_names = {*find_readers(graph), *(value.name for value in graph.input)}
    used = [tensor for tensor in graph.initializer if tensor.name in used_names]
    del graph.initializer[:]
    graph.initializer.extend(used)
