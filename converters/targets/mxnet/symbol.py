"""Writes MXNet's two files without MXNet: the symbol as JSON, and its parameters as a list of NDArrays.

The formats are those of MXNet 1.9.1, the last release.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

import numpy as np

from converters.tensors import Array

MXNET_VERSION = 10901  # 1.9.1
# Numbers of the .params format: the first bytes of the file and of each array, storage type, device type and number.
LIST_MAGIC = 0x112
NDARRAY_MAGIC = 0xF993FAC9
DENSE = 0
CPU = (1, 0)
# MXNet's number of each element type.
DTYPES = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}
# Prefix of the names in the .params file. Without it MXNet's C predict API runs with missing weights, without an error.
ARGUMENT_PREFIX = "arg:"


@dataclass(frozen=True)
class Node:
    """One node of a symbol; a variable (an input or a parameter) if `op` is "null".

    Attributes:
        op: MXNet's operator.
        attrs: Its attributes as text.
        inputs: For each input, the index of an earlier node and which of that node's outputs is read.
        outputs: Number of outputs.
    """

    op: str
    name: str
    attrs: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[tuple[int, int], ...] = ()
    outputs: int = 1


class SymbolGraph:
    """A symbol under construction: nodes in topological order.

    Args:
        reserved: Names that `make_name` must not return.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._nodes: list[Node] = []
        self._taken = set(reserved)
        self._named: set[str] = set()

    def make_name(self, name: str) -> str:
        """`name`, or `name` with a number appended if it is reserved or was returned before."""
        unique, number = name, 1
        while unique in self._taken:
            unique, number = f"{name}_{number}", number + 1
        self._taken.add(unique)
        return unique

    def add(
        self, op: str, name: str, attrs: Mapping[str, str], inputs: Sequence[tuple[int, int]], outputs: int = 1
    ) -> int:
        """Append a node with an unused name; returns its index. Arguments as of `Node`."""
        assert name not in self._named, name
        self._named.add(name)
        self._nodes.append(Node(op, name, dict(attrs), tuple(inputs), outputs))
        return len(self._nodes) - 1

    def variable(self, name: str, shape: Sequence[int] | None = None) -> int:
        """Append a variable, to which an array is bound by its name; returns its index.

        Args:
            shape: Of a parameter. MXNet's C interface does not look at the arrays when it infers the other shapes.
        """
        return self.add("null", name, {} if shape is None else {"__shape__": str(tuple(shape))}, ())

    def has_node(self, name: str) -> bool:
        """Whether a node has this name."""
        return name in self._named

    def rename(self, index: int, name: str) -> None:
        """Rename a node. No other node may have the new name."""
        assert name not in self._named, name
        self._named.remove(self._nodes[index].name)
        self._named.add(name)
        self._nodes[index] = replace(self._nodes[index], name=name)

    def node(self, index: int) -> Node:
        """The node at `index`."""
        return self._nodes[index]

    def __len__(self) -> int:
        return len(self._nodes)

    def prune(self, heads: Sequence[int]) -> tuple[SymbolGraph, list[int]]:
        """A copy with only the nodes that the heads depend on, and the heads' indices in the copy."""
        needed = set(heads)
        for index in range(len(self._nodes) - 1, -1, -1):
            if index in needed:
                needed.update(source for source, _ in self._nodes[index].inputs)
        pruned = SymbolGraph(self._taken)
        new_indices: dict[int, int] = {}
        for index in sorted(needed):
            node = self._nodes[index]
            inputs = [(new_indices[source], output) for source, output in node.inputs]
            new_indices[index] = pruned.add(node.op, node.name, node.attrs, inputs, node.outputs)
        return pruned, [new_indices[head] for head in heads]

    def variables(self) -> list[str]:
        """Names of the variables in the order of the nodes."""
        return [node.name for node in self._nodes if node.op == "null"]

    def to_json(self, heads: Sequence[int]) -> str:
        """The contents of the symbol file.

        Args:
            heads: Indices of the nodes whose outputs are the symbol's outputs, in order. Each has one output.
        """
        nodes = [
            {
                "op": node.op,
                "name": node.name,
                **({"attrs": dict(node.attrs)} if node.attrs else {}),
                "inputs": [[index, output, 0] for index, output in node.inputs],
            }
            for node in self._nodes
        ]
        graph = {
            "nodes": nodes,
            "arg_nodes": [index for index, node in enumerate(self._nodes) if node.op == "null"],
            "node_row_ptr": [0, *accumulate(node.outputs for node in self._nodes)],
            "heads": [[index, 0, 0] for index in heads],
            "attrs": {"mxnet_version": ["int", MXNET_VERSION]},
        }
        return json.dumps(graph, indent=2) + "\n"


def serialize_params(arrays: Mapping[str, Array]) -> bytes:
    """The contents of the .params file, every array dense and on the CPU, its name prefixed with "arg:".

    Args:
        arrays: Arrays by name, with element types in DTYPES. None may be empty or of rank 0: MXNet would take its shape
            for unknown.
    """
    parts = [struct.pack("<QQQ", LIST_MAGIC, 0, len(arrays))]
    for array in arrays.values():
        assert array.dtype.name in DTYPES
        assert array.ndim > 0
        assert array.size > 0
        parts.append(struct.pack("<Iii", NDARRAY_MAGIC, DENSE, array.ndim))
        parts.append(struct.pack(f"<{array.ndim}q", *array.shape))
        parts.append(struct.pack("<iii", *CPU, DTYPES[array.dtype.name]))
        parts.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        encoded = f"{ARGUMENT_PREFIX}{name}".encode()
        parts.append(struct.pack("<Q", len(encoded)) + encoded)
    return b"".join(parts)
