"""Compute a part of a graph with its channels last: tiled convolutions, and what lies between them.

A tensor (N, C, A, B) of the graph is stored as (N, A, B, C), or turned, as (N, B, A, C). These operators compute on it
as it is stored:

- elementwise operators and norms, which compute the same up to the order of axes;
- Concat and Slice of channels, on the last axis;
- a convolution of 1x1, which is a matrix product with the channels on the right: (pixels, C) (C, K);
- a Transpose of A and B, which only says that the stored tensor is turned;
- a product with a matrix on the right, x (.., A, B) F (B, D), such as a Fourier transform along B: it is the product
  F^T (D, B) (B, C) of each row, or F^T (D, B) (B, A C) of the whole plane if B comes first.

Other operators get a Transpose in front, which gives them the tensor of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto

from converters.onnx_graph.builder import GraphBuilder
from converters.onnx_graph.nodes import read_attributes
from converters.onnx_graph.shapes import Shape, read_shapes
from converters.onnx_graph.traversal import read_names
from converters.rewrites.accurate_norm import DEFAULT_EPSILON
from converters.rewrites.internal_ops import NORM, declare_ranks, make_internal_node
from converters.rewrites.tiling import Convolution
from converters.tensors import Array

UNARY = ("Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "Neg")
BINARY = ("Add", "Sub", "Mul")
SWAP_PLANE = [0, 1, 3, 2]


@dataclass(frozen=True)
class Stored:
    """A tensor (N, C, A, B) of the graph, stored with its channels last.

    Attributes:
        tensor: Name of the stored tensor.
        turned: Whether it is (N, B, A, C), else (N, A, B, C).
    """

    tensor: str
    turned: bool = False


class ChannelsLastWriter:
    """Writes the nodes of a graph one by one. A tensor may exist as in the graph, with its channels last, or both.

    Args:
        model: The graph.
        constants: Its constants.
        builder: Gets the nodes.
        pointwise: The convolutions of 1x1 that may be matrix products, by the name of their output.
    """

    def __init__(
        self,
        model: ModelProto,
        constants: Mapping[str, Array],
        builder: GraphBuilder,
        pointwise: Mapping[str, Convolution],
    ) -> None:
        self._constants = constants
        self._builder = builder
        self._pointwise = pointwise
        self._shapes: Mapping[str, Shape] = read_shapes(declare_ranks(model))
        self._stored: dict[str, Stored] = {}
        # Matrices that are computed in the graph, by name, with their axes swapped.
        self._swapped: dict[str, str] = {}
        # Names of the tensors that exist as in the graph.
        self._original = {value.name for value in model.graph.input} | {t.name for t in model.graph.initializer}
        self._ways: Mapping[str, Callable[[NodeProto], Stored | None]] = {
            **dict.fromkeys(UNARY, self._elementwise),
            **dict.fromkeys(BINARY, self._binary),
            "InstanceNormalization": self._norm,
            "Concat": self._concat,
            "Slice": self._slice,
            "Conv": self._pointwise_convolution,
            "Transpose": self._swap_plane,
            "MatMul": self._product,
        }

    def write(self, node: NodeProto) -> None:
        """Write a node with its channels last where it can and its first input exists so, else as it is."""
        (result, *_) = node.output
        stored = self._ways[node.op_type](node) if node.op_type in self._ways and not node.domain else None
        if stored is not None:
            self._stored[result] = stored
            return
        for name in read_names(node):
            self.require_original(name)
        self._builder.nodes.append(node)
        self._original.update(node.output)

    def define(self, result: str, op: str, inputs: list[str], **attributes: Any) -> None:
        """Write an internal operator whose output is the tensor `result` of the graph with its channels last."""
        output = self._builder.unique_name(f"{result}_channels_last")
        self._builder.nodes.append(make_internal_node(op, inputs, output, **attributes))
        self._stored[result] = Stored(output)

    def require_last(self, name: str) -> str:
        """The name of a tensor (N, C, A, B) of the graph as (N, A, B, C); add a Transpose if it is not stored so."""
        known = self._stored.get(name)
        if known is None or known.turned:
            given, perm = (name, [0, 2, 3, 1]) if known is None else (known.tensor, [0, 2, 1, 3])
            tensor = self._builder.add("Transpose", [given], f"{name}_channels_last", perm=perm)
            self._stored[name] = Stored(tensor)
        return self._stored[name].tensor

    def require_original(self, name: str) -> None:
        """Add a Transpose to the axes of the graph if a tensor exists only with its channels last."""
        if name in self._stored and name not in self._original:
            stored = self._stored[name]
            perm = [0, 3, 2, 1] if stored.turned else [0, 3, 1, 2]
            self._builder.define("Transpose", [stored.tensor], name, perm=perm)
            self._original.add(name)

    def _elementwise(self, node: NodeProto) -> Stored | None:
        x = self._stored.get(node.input[0])
        return None if x is None else self._add(node, [x.tensor], x.turned, **read_attributes(node))

    def _binary(self, node: NodeProto) -> Stored | None:
        stored = [self._stored.get(name) for name in node.input]
        scalar = [self._is_scalar(name) for name in node.input]
        ways = {x.turned for x in stored if x is not None}
        if len(ways) != 1 or not all(x is not None or is_scalar for x, is_scalar in zip(stored, scalar, strict=True)):
            return None
        inputs = [self._scalar(name) if x is None else x.tensor for name, x in zip(node.input, stored, strict=True)]
        return self._add(node, inputs, ways.pop())

    def _norm(self, node: NodeProto) -> Stored | None:
        x = self._stored.get(node.input[0])
        if x is None or x.turned or any(name not in self._constants for name in node.input[1:]):
            return None
        epsilon = read_attributes(node).get("epsilon", DEFAULT_EPSILON)
        self.define(node.output[0], NORM, [x.tensor, *node.input[1:]], epsilon=epsilon)
        return self._stored[node.output[0]]

    def _concat(self, node: NodeProto) -> Stored | None:
        stored = [self._stored.get(name) for name in node.input]
        ways = {None if x is None else x.turned for x in stored}
        if len(ways) != 1 or None in ways or read_attributes(node)["axis"] not in (1, -3):
            return None
        return self._add(node, [x.tensor for x in stored if x is not None], bool(ways.pop()), axis=3)

    def _slice(self, node: NodeProto) -> Stored | None:
        x = self._stored.get(node.input[0])
        axes = self._constants.get(node.input[3]) if len(node.input) > 3 else None
        if x is None or axes is None or axes.tolist() not in ([1], [-3]):
            return None
        return self._add(node, [x.tensor, *node.input[1:3], self._builder.integers(3), *node.input[4:]], x.turned)

    def _pointwise_convolution(self, node: NodeProto) -> Stored | None:
        x, conv = self._stored.get(node.input[0]), self._pointwise.get(node.output[0])
        if x is None or conv is None:
            return None
        weight = np.ascontiguousarray(conv.weight[:, :, 0, 0].T)
        matrix = self._builder.constant(weight, f"{node.output[0]}_matrix")
        base = f"{node.output[0]}_channels_last"
        product = self._builder.add("MatMul", [x.tensor, matrix], base)
        if conv.bias is not None:
            product = self._builder.add("Add", [product, node.input[2]], base)
        return Stored(product, x.turned)

    def _swap_plane(self, node: NodeProto) -> Stored | None:
        x = self._stored.get(node.input[0])
        if x is None or read_attributes(node).get("perm") != SWAP_PLANE:
            return None
        return Stored(x.tensor, not x.turned)

    def _product(self, node: NodeProto) -> Stored | None:
        """A product with one matrix for all planes."""
        x, matrix = self._stored.get(node.input[0]), node.input[1]
        if x is None or matrix in self._stored or len(self._shapes.get(matrix, ())) != 2:
            return None
        channels = self._shapes.get(node.input[0], (None, None))[1]
        if not x.turned:
            return self._add(node, [self._swap(matrix), x.tensor], turned=False)
        if not isinstance(channels, int):
            return None
        b, base = self._builder, f"{node.output[0]}_channels_last"
        plane = b.add("Reshape", [x.tensor, b.integers(0, 0, -1)], base)
        product = b.add("MatMul", [self._swap(matrix), plane], base)
        return Stored(b.add("Reshape", [product, b.integers(0, 0, -1, channels)], base), turned=True)

    def _add(self, node: NodeProto, inputs: list[str], turned: bool, **attributes: Any) -> Stored:
        return Stored(self._builder.add(node.op_type, inputs, f"{node.output[0]}_channels_last", **attributes), turned)

    def _is_scalar(self, name: str) -> bool:
        """Whether a tensor is one constant number, and has no more axes than what it is combined with."""
        value = self._constants.get(name)
        return value is not None and value.size == 1 and value.ndim <= 4

    def _scalar(self, name: str) -> str:
        return self._builder.constant(self._constants[name].reshape(()), f"{name}_scalar")

    def _swap(self, matrix: str) -> str:
        if matrix in self._constants:
            swapped = np.ascontiguousarray(self._constants[matrix].T)
            return self._builder.constant(swapped, f"{matrix}_swapped")
        if matrix not in self._swapped:
            self.require_original(matrix)
            self._swapped[matrix] = self._builder.add("Transpose", [matrix], f"{matrix}_swapped", perm=[1, 0])
        return self._swapped[matrix]
