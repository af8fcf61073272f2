"""OPS, the registry of functions that translate one ONNX node into layers of a NetGraph, and their arguments.

A NetGraph has no batch axis; it maps over a list of inputs by itself. So the level n of a layer is ONNX's axis n, with
the batch at axis 0. Where a comment cites the page "X", it means X in Wolfram's reference documentation; "the old page"
is that of version 11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from converters.onnx_graph.op_registry import Registry, Translation
from converters.onnx_graph.shapes import Shape
from converters.targets.wolfram.syntax import format_list, format_real, format_string
from converters.tensors import Array

# Number of axes of a plane: NCHW.
RANK = 4
# The first version that a package's checks and fallbacks are written for, and that of "ChannelGroups", which the old
# page "ConvolutionLayer" lacks.
OLDEST_VERSION, GROUPS_VERSION = 11.3, 12


@dataclass(frozen=True)
class Value:
    """A tensor of the ONNX graph.

    Attributes:
        name: Its name in the ONNX graph.
        shape: With the batch axis; None if shape inference does not know the rank.
        array: The value of a constant, None for a computed tensor.
        source: How a connection of the NetGraph names the layer or input port that produces the tensor: "layer" or
            NetPort["port"]. None for a constant.
    """

    name: str
    shape: Shape | None = None
    array: Array | None = None
    source: str | None = None

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    @property
    def given(self) -> bool:
        return self.source is not None and self.source.startswith("NetPort[")


@dataclass
class Net:
    """A NetGraph under construction.

    Attributes:
        reserved: Names of the ONNX graph's tensors, which `make_name` must not return.
        layers: Layer name to the layer's source text, in the order of the nodes.
        connections: Source text of each connection, in the same order.
        weights: ONNX initializer name to array, for the initializers that layers use.
        copies: (source, sizes) to the source of the layer that repeats this tensor to these sizes.
        version: The oldest version of the language that has every layer and option used.
    """

    reserved: frozenset[str] = frozenset()
    layers: dict[str, str] = field(default_factory=dict)
    connections: list[str] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)
    copies: dict[tuple[str, Shape], str] = field(default_factory=dict)
    version: float = OLDEST_VERSION

    def add(self, name: str, layer: str, sources: list[str]) -> str:
        """Add a layer and the connection from its inputs.

        Args:
            name: The layer's name.
            layer: The layer's source text.
            sources: The sources (see `Value.source`) of its inputs, in the order of its ports.

        Returns:
            The layer's own source.
        """
        source = format_string(name)
        self.layers[name] = layer
        if sources:  # a constant array has none
            inputs = sources[0] if len(sources) == 1 else f"{{{', '.join(sources)}}}"
            self.connections.append(f"{inputs} -> {source}")
        return source

    def make_name(self, wish: str) -> str:
        """An unused layer name: `wish`, or else `wish_2`, `wish_3` and so on."""
        name, number = wish, 2
        while name in self.reserved or name in self.layers:
            name, number = f"{wish}_{number}", number + 1
        return name


class Emitter(Translation):
    """Adds the layers of one ONNX node to the net.

    Args:
        where: The ONNX node, for messages.
        outputs: Names of the layers that compute the node's outputs.
        net: The net under construction.
    """

    def __init__(self, where: str, outputs: Sequence[str], net: Net) -> None:
        super().__init__(where)
        self.outputs = tuple(outputs)
        self._net = net

    def __call__(self, layer: str, *inputs: Value, index: int = 0) -> Value:
        """Add the layer that computes an output of the node.

        Args:
            layer: The layer's source text.
            inputs: The layer's inputs, in the order of its ports.
            index: Which of the node's outputs it is.

        Returns:
            The output.

        Raises:
            UnsupportedOpError: an input is a constant, or two inputs are the same tensor.
        """
        return self._add(self.outputs[index], layer, inputs)

    def chain(self, layers: Sequence[str], x: Value, index: int = 0) -> Value:
        """Add layers that run one after another, as `__call__` adds one."""
        return self(layers[0] if len(layers) == 1 else f"NetChain[{format_list(layers)}]", x, index=index)

    def between(self, role: str, layer: str, *inputs: Value) -> Value:
        """Add a layer whose result only this node's other layers need; its name tells the role."""
        return self._add(self._net.make_name(f"{self.outputs[0]}_{role}"), layer, inputs)

    def _add(self, name: str, layer: str, inputs: Sequence[Value]) -> Value:
        sources = [self._source_of(value) for value in inputs]
        if len(set(sources)) < len(sources):
            # The page "NetGraph" does not say whether two connections between the same two layers are allowed.
            raise self.refuse("it takes one tensor twice", "Rewrite it with an operator of one input")
        return Value(name, source=self._net.add(name, layer, sources))

    def constant(self, value: Value, array: Array) -> Value:
        """The layer that gives `array`, which is made of the constant `value`, its batch axis left out.

        By their pages, ConstantArrayLayer, and NetArrayLayer from version 12.2 on, has no input and gives its "Array".
        The package's own arrayLayer makes the one that the kernel's version has.
        """
        self.require_float32(value.name, array)
        name = self._net.make_name(f"{value.name}_array")
        layer = f'arrayLayer["Array" -> {self.store(name, array)}]'
        return Value(value.name, (1, *array.shape), source=self._net.add(name, layer, []))

    def store(self, name: str, array: Array) -> str:
        """Store an array among the net's weights, and return the source text that refers to it."""
        self._net.weights[name] = array
        return f"weights[{format_string(name)}]"

    def require_version(self, version: float) -> None:
        """Note that the node's layers need this version of the language."""
        self._net.version = max(self._net.version, version)

    def scale_channels(self, x: Value, factor: Array, offset: Array | None) -> Value:
        """x * factor + offset, each (C,) float64: a convolution of 1 x 1 in as many groups as channels."""
        count = len(factor)
        weights = self.store(f"{self.outputs[0]}_factor", factor.astype(np.float32).reshape(count, 1, 1, 1))
        biases = "None" if offset is None else self.store(f"{self.outputs[0]}_offset", offset.astype(np.float32))
        groups = f', "ChannelGroups" -> {count}' if count > 1 else ""
        if groups:
            self.require_version(GROUPS_VERSION)
        return self(f'ConvolutionLayer[{count}, {{1, 1}}, "Weights" -> {weights}, "Biases" -> {biases}{groups}]', x)

    def weights(self, value: Value, role: str) -> str:
        """Store a constant input among the net's weights, and return the source text that refers to it.

        Args:
            value: The constant.
            role: What the node uses it for, for messages.
        """
        array = self.require_array(value, role)
        self.require_float32(value.name, array)
        return self.store(value.name, array)

    def require_float32(self, name: str, array: Array) -> None:
        """
        Raises:
            UnsupportedOpError: the constant `name` has another element type.
        """
        if array.dtype != "float32":
            raise self.refuse(f"its constant '{name}' is {array.dtype}", "Only float32 tensors are translated")

    def require_plane(self, value: Value) -> Shape:
        """The shape (N, C, H, W) of an input.

        Raises:
            UnsupportedOpError: the rank is not 4, or is unknown.
        """
        if self.require_rank(value) != RANK:
            raise self.refuse(f"its input has rank {value.rank}", "Only planes (NCHW) are translated")
        assert value.shape is not None
        return value.shape

    def require_sizes(self, value: Value) -> tuple[int, ...]:
        """The sizes of an input without its batch axis.

        Raises:
            UnsupportedOpError: a size is free, or not known.
        """
        self.require_rank(value)
        assert value.shape is not None
        sizes = tuple(size for size in value.shape[1:] if isinstance(size, int))
        if len(sizes) < len(value.shape) - 1:
            raise self.refuse(f"the shape of '{value.name}' is {value.shape}", "Convert with --size HxW")
        return sizes

    def repeat(self, value: Value, sizes: Shape) -> Value:
        """Repeat the axes of size 1 of `value` to `sizes`; ThreadingLayer's own broadcasting is not used.

        By their pages, ReplicateLayer[n, m] makes a new dimension of n at level m, ReplicateLayer[n] at level 1;
        FlattenLayer[1] joins the first two dimensions, and the old page "ThreadingLayer" knows no broadcasting.
        """
        source = self._source_of(value)
        assert value.shape is not None
        old = list(value.shape[1:])
        if old == list(sizes):
            return value
        if (source, sizes) not in self._net.copies:
            layers = []
            for level, (before, after) in enumerate(zip(value.shape[1:], sizes, strict=True), start=1):
                if before == after:
                    continue
                old[level - 1] = after
                if level == 1:
                    layers += [f"ReplicateLayer[{after}]", "FlattenLayer[1]"]
                else:
                    reshape = self.require_sizes(replace(value, shape=(1, *old)))
                    layers += [f"ReplicateLayer[{after}, {level}]", f"ReshapeLayer[{format_list(reshape)}]"]
            channels = f"{sizes[0]}_channels"
            name = channels if list(value.shape[2:]) == list(sizes[1:]) else "x".join(map(str, sizes))
            name = self._net.make_name(f"{value.name}_{name}")
            self._net.copies[source, sizes] = self._net.add(name, f"NetChain[{format_list(layers)}]", [source])
        return Value(value.name, (value.shape[0], *sizes), source=self._net.copies[source, sizes])

    def number(self, value: float, role: str) -> str:
        """Format a number; a negative one gets parentheses, so that its sign cannot follow an infix operator directly.

        Args:
            value: The number.
            role: What the node uses it for, for messages.

        Raises:
            UnsupportedOpError: the number is not finite.
        """
        if not math.isfinite(value):
            raise self.refuse(f"its {role} is {value}", "Use finite numbers")
        text = format_real(value)
        return f"({text})" if text.startswith("-") else text

    def _source_of(self, value: Value) -> str:
        if value.source is None:
            raise self.refuse(f"its input '{value.name}' is a constant", "Fold the model's constants")
        return value.source


OPS: Registry[Value] = Registry("The Wolfram builder")
