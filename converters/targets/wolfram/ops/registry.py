"""OPS, the registry of functions that translate one ONNX node into layers of a NetGraph, and their arguments.

A NetGraph has no batch axis; it maps over a list of inputs by itself. So the level n of a layer is ONNX's axis n, with
the batch at axis 0. Where a comment cites the page "X", it means X in Wolfram's reference documentation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from converters.onnx_graph.op_registry import Registry, Translation
from converters.onnx_graph.shapes import Shape
from converters.targets.wolfram.syntax import format_real, format_string
from converters.tensors import Array

# Number of axes of every translated tensor: NCHW.
RANK = 4


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
        copies: (source, number of channels) to the source of the layer that repeats this one-channel tensor.
    """

    reserved: frozenset[str] = frozenset()
    layers: dict[str, str] = field(default_factory=dict)
    connections: list[str] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)
    copies: dict[tuple[str, int], str] = field(default_factory=dict)

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
        output: Name of the layer that computes the node's output.
        net: The net under construction.
    """

    def __init__(self, where: str, output: str, net: Net) -> None:
        super().__init__(where)
        self.output = output
        self._net = net

    def __call__(self, layer: str, *inputs: Value) -> Value:
        """Add the layer that computes the node's output.

        Args:
            layer: The layer's source text.
            inputs: The layer's inputs, in the order of its ports.

        Returns:
            The node's output.

        Raises:
            UnsupportedOpError: an input is a constant, or two inputs are the same tensor.
        """
        sources = [self._source_of(value) for value in inputs]
        if len(set(sources)) < len(sources):
            # The page "NetGraph" does not say whether two connections between the same two layers are allowed.
            raise self.refuse("it takes one tensor twice", "Rewrite it with an operator of one input")
        return Value(self.output, source=self._net.add(self.output, layer, sources))

    def weights(self, value: Value, role: str) -> str:
        """Store a constant input among the net's weights, and return the source text that refers to it.

        Args:
            value: The constant.
            role: What the node uses it for, for messages.
        """
        array = self.require_array(value, role)
        self.require_float32(value.name, array)
        self._net.weights[value.name] = array
        return f"weights[{format_string(value.name)}]"

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

    def repeat(self, value: Value, channels: int) -> Value:
        """Repeat the single channel of `value` to `channels` channels; ThreadingLayer's own broadcasting is not used.

        By their pages, ReplicateLayer[n] turns 1 x H x W into n x 1 x H x W, and FlattenLayer[1] joins the first two
        dimensions.
        """
        source = self._source_of(value)
        if (source, channels) not in self._net.copies:
            name = self._net.make_name(f"{value.name}_{channels}_channels")
            layer = f"NetChain[{{ReplicateLayer[{channels}], FlattenLayer[1]}}]"
            self._net.copies[source, channels] = self._net.add(name, layer, [source])
        return Value(value.name, source=self._net.copies[source, channels])

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
