"""MXNet's two files, written without MXNet: the symbol's JSON and the NDArray list that holds its parameters.

Formats are those of MXNet 1.9.1, the last release.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from converters.tensors import Array

MXNET_VERSION = 10901
LIST_MAGIC = 0x112
NDARRAY_MAGIC = 0xF993FAC9
DENSE = 0
CPU = (1, 0)
FLOAT32 = 0
# Without the prefix MXNet's C predict API runs with missing weights and says nothing.
ARGUMENT_PREFIX = "arg:"


@dataclass(frozen=True)
class Node:
    """One node of a symbol: a variable if `op` is "null". `inputs` are indices of earlier nodes."""

    op: str
    name: str
    attrs: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[int, ...] = ()


class SymbolGraph:
    """A symbol under construction: nodes in topological order, every node with one output.

    Args:
        reserved: Names that `make_name` must not give.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._nodes: list[Node] = []
        self._taken = set(reserved)

    def make_name(self, name: str) -> str:
        """`name`, with a number if it is taken."""
        unique, number = name, 1
        while unique in self._taken:
            unique, number = f"{name}_{number}", number + 1
        self._taken.add(unique)
        return unique

    def add(self, op: str, name: str, attrs: Mapping[str, str], inputs: Sequence[int]) -> int:
        """Append a node and give its index."""
        self._nodes.append(Node(op, name, dict(attrs), tuple(inputs)))
        return len(self._nodes) - 1

    def variable(self, name: str) -> int:
        """Append a variable, to be bound by `name`."""
        return self.add("null", name, {}, ())

    def to_json(self, heads: Sequence[int]) -> str:
        """The symbol file; `heads` are the nodes whose outputs the symbol gives, in order."""
        nodes = [
            {
                "op": node.op,
                "name": node.name,
                **({"attrs": dict(node.attrs)} if node.attrs else {}),
                "inputs": [[index, 0, 0] for index in node.inputs],
            }
            for node in self._nodes
        ]
        graph = {
            "nodes": nodes,
            "arg_nodes": [index for index, node in enumerate(self._nodes) if node.op == "null"],
            "node_row_ptr": list(range(len(nodes) + 1)),
            "heads": [[index, 0, 0] for index in heads],
            "attrs": {"mxnet_version": ["int", MXNET_VERSION]},
        }
        return json.dumps(graph, indent=2) + "\n"


def serialize_params(arrays: Mapping[str, Array]) -> bytes:
    """The .params file: every array as dense float32 on the CPU, its name prefixed "arg:".

    Args:
        arrays: float32, of rank 1 or more and not empty: MXNet takes other shapes for unknown ones.
    """
    parts = [struct.pack("<QQQ", LIST_MAGIC, 0, len(arrays))]
    for array in arrays.values():
        assert array.dtype == np.float32
        assert array.ndim > 0
        assert array.size > 0
        parts.append(struct.pack("<Iii", NDARRAY_MAGIC, DENSE, array.ndim))
        parts.append(struct.pack(f"<{array.ndim}q", *array.shape))
        parts.append(struct.pack("<iii", *CPU, FLOAT32))
        parts.append(np.ascontiguousarray(array, "<f4").tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        encoded = f"{ARGUMENT_PREFIX}{name}".encode()
        parts.append(struct.pack("<Q", len(encoded)) + encoded)
    return b"".join(parts)
