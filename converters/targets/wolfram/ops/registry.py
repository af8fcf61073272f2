"""How one ONNX node becomes layers of a NetGraph: the registry of the functions, and what they are given.

A NetGraph knows no batch axis: it adds one itself when it is given a list of inputs. ONNX's axis 1 is its level 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from converters.onnx_graph.op_registry import Registry, Translation
from converters.onnx_graph.shapes import Shape
from converters.targets.wolfram.syntax import format_real, format_string
from converters.tensors import Array

RANK = 4


@dataclass(frozen=True)
class Value:
    """A tensor of the ONNX graph.

    Attributes:
        name: Its name in the ONNX graph.
        shape: With the batch axis, None if shape inference does not know its rank.
        array: Its value if it is a constant.
        source: What gives it, in the notation of a NetGraph's connections; None for a constant.
    """

    name: str
    shape: Shape | None = None
    array: Array | None = None
    source: str | None = None

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)


@dataclass
class Net:
    """A NetGraph under construction.

    Attributes:
        reserved: Names of the ONNX graph's tensors, which no made-up layer may take.
        layers: Text of each layer by its name, in order.
        connections: Text of each connection, in order.
        weights: Arrays by name, filled as layers use them.
        copies: Layers that repeat a one-channel tensor, by its source and the number of channels.
    """

    reserved: frozenset[str] = frozenset()
    layers: dict[str, str] = field(default_factory=dict)
    connections: list[str] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)
    copies: dict[tuple[str, int], str] = field(default_factory=dict)

    def add(self, name: str, layer: str, sources: list[str]) -> str:
        """Add a layer and what it takes; the source that stands for it."""
        source = format_string(name)
        self.layers[name] = layer
        given = sources[0] if len(sources) == 1 else f"{{{', '.join(sources)}}}"
        self.connections.append(f"{given} -> {source}")
        return source

    def make_name(self, wish: str) -> str:
        """A layer's name that nothing else has."""
        name, number = wish, 2
        while name in self.reserved or name in self.layers:
            name, number = f"{wish}_{number}", number + 1
        return name


class Emitter(Translation):
    """Adds the layers of one ONNX node to the net.

    Args:
        where: The ONNX node, for messages.
        output: Name of the layer that gives the node's output.
        net: The net under construction.
    """

    def __init__(self, where: str, output: str, net: Net) -> None:
        super().__init__(where)
        self.output = output
        self._net = net

    def __call__(self, layer: str, *inputs: Value) -> Value:
        """Add the layer that gives the node's output.

        Args:
            layer: Its text.
            inputs: In the order of its ports.
        """
        sources = [self._source_of(value) for value in inputs]
        if len(set(sources)) < len(sources):
            # The page "NetGraph" does not say what becomes of two connections from one layer to another.
            raise self.refuse("it takes one tensor twice", "Rewrite it with an operator of one input")
        return Value(self.output, source=self._net.add(self.output, layer, sources))

    def weights(self, value: Value, role: str) -> str:
        """The text that stands for a constant input of the node in its layer."""
        array = self.require_array(value, role)
        if array.dtype != "float32":
            raise self.refuse(f"its constant '{value.name}' is {array.dtype}", "Only float32 tensors are translated")
        self._net.weights[value.name] = array
        return f"weights[{format_string(value.name)}]"

    def require_plane(self, value: Value) -> Shape:
        """The shape (N, C, H, W) of an input.

        Raises:
            UnsupportedOpError: it has another rank, or an unknown one.
        """
        if self.require_rank(value) != RANK:
            raise self.refuse(f"its input has rank {value.rank}", "Only planes (NCHW) are translated")
        assert value.shape is not None
        return value.shape

    def repeat(self, value: Value, channels: int) -> Value:
        """`value`, of one channel, as `channels` equal ones.

        By their pages, ReplicateLayer[n] makes n x 1 x H x W of 1 x H x W, and FlattenLayer[1] joins the first two
        dimensions. ThreadingLayer is given equal shapes; its own broadcasting is not relied on.
        """
        source = self._source_of(value)
        if (source, channels) not in self._net.copies:
            name = self._net.make_name(f"{value.name}_{channels}_channels")
            layer = f"NetChain[{{ReplicateLayer[{channels}], FlattenLayer[1]}}]"
            self._net.copies[source, channels] = self._net.add(name, layer, [source])
        return Value(value.name, source=self._net.copies[source, channels])

    def number(self, value: float, role: str) -> str:
        """The text of a number of the node, in parentheses where its sign would meet an operator's.

        Raises:
            UnsupportedOpError: it is not finite.
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
