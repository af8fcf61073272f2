"""How one ONNX node becomes MXNet nodes: the registry of MXNet's functions, and what they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from converters.mxnet_symbol import SymbolGraph
from converters.op_registry import Registry, Translation
from converters.tensors import Array


@dataclass(frozen=True)
class Value:
    """A tensor of the ONNX graph.

    Attributes:
        name: Its name in the ONNX graph.
        rank: Number of axes, None if shape inference does not know.
        array: Its value if it is a constant.
        node: Index of the MXNet node that gives it; None for a constant that no node has taken yet.
    """

    name: str
    rank: int | None = None
    array: Array | None = None
    node: int | None = None


@dataclass(frozen=True)
class Context:
    """What the nodes of one symbol share.

    Attributes:
        graph: The symbol under construction.
        planes: Tensors with channels last to the first that has their height and width.
        params: Arrays by name, filled as constants are used.
        constants: Nodes of constants that are variables already.
        shared: Values that several nodes need.
    """

    graph: SymbolGraph
    planes: Mapping[str, str] = field(default_factory=dict)
    params: dict[str, Array] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)
    shared: dict[tuple[object, ...], Value] = field(default_factory=dict)


class Emitter(Translation):
    """Adds the MXNet nodes of one ONNX node to the symbol.

    Args:
        where: The ONNX node, for messages.
        output: Name of the ONNX node's output; the MXNet nodes are named after it.
        context: What the nodes of one symbol share.
    """

    def __init__(self, where: str, output: str, context: Context) -> None:
        super().__init__(where)
        self.output = output
        self._context = context

    def __call__(self, op: str, *inputs: Value, suffix: str = "", **attrs: object) -> Value:
        """Add the MXNet operator `op`.

        Args:
            suffix: Of the node's name; the last of several operators has none, and so keeps the output's name.
        """
        nodes = [self._node_of(value) for value in inputs]
        name = self._context.graph.make_name(f"{self.output}_{suffix}") if suffix else self.output
        text = {key: _format(value) for key, value in attrs.items()}
        return Value(name, node=self._context.graph.add(op, name, text, nodes))

    def constant(self, suffix: str, array: Array) -> Value:
        """A constant that the ONNX graph does not hold in this form."""
        return Value(self._context.graph.make_name(f"{self.output}_{suffix}"), array.ndim, array)

    def plane_of(self, x: Value) -> str:
        """A name that tensors with channels last have in common if their planes are of one size."""
        return self._context.planes[x.name]

    def share(self, key: tuple[object, ...], make: Callable[[], Value]) -> Value:
        """What `make` gives the first time that this key is asked for."""
        if key not in self._context.shared:
            self._context.shared[key] = make()
        return self._context.shared[key]

    def _node_of(self, value: Value) -> int:
        if value.node is not None:
            return value.node
        assert value.array is not None
        if value.name not in self._context.constants:
            if value.array.dtype != "float32":
                raise self.refuse(
                    f"its constant '{value.name}' is {value.array.dtype}", "Only float32 tensors are translated"
                )
            if value.array.ndim == 0 or value.array.size == 0:
                raise self.refuse(
                    f"the shape of its constant '{value.name}' is {value.array.shape}", "Fold the model's constants"
                )
            self._context.params[value.name] = value.array
            self._context.constants[value.name] = self._context.graph.variable(value.name)
        return self._context.constants[value.name]


def _format(value: object) -> str:
    """A value as MXNet's parameter parser reads it."""
    if isinstance(value, tuple | list):
        return f"({', '.join(str(int(item)) for item in value)})"
    return repr(value) if isinstance(value, float) else str(value)


OPS: Registry[Value] = Registry("MXNet")
# Operators of ours, in graphs tuned for a CPU.
OWN_OPS: Registry[Value] = Registry("MXNet")
