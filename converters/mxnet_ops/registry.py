"""How one ONNX node becomes MXNet nodes: the registry, and what its functions are given.

A function's signature is its schema: positional parameters are the node's inputs, keyword-only ones its
attributes, with ONNX's names and defaults. What a function does not declare is refused, never ignored.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from converters.errors import UnsupportedOpError
from converters.mxnet_symbol import SymbolGraph
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


class Emitter:
    """Adds the MXNet nodes of one ONNX node to the symbol.

    Args:
        where: The ONNX node, for messages.
        output: Name of the ONNX node's output; the MXNet nodes are named after it.
        graph: The symbol under construction.
        params: Arrays by name, filled as constants are used.
        constants: Nodes of constants that are variables already.
    """

    def __init__(
        self, where: str, output: str, graph: SymbolGraph, params: dict[str, Array], constants: dict[str, int]
    ) -> None:
        self.where = where
        self.output = output
        self._graph = graph
        self._params = params
        self._constants = constants

    def __call__(self, op: str, *inputs: Value, step: str = "", **attrs: object) -> Value:
        """Add the MXNet operator `op`.

        Args:
            step: Suffix of the node's name; the last of several operators has none, and so keeps the output's name.
        """
        nodes = [self._node_of(value) for value in inputs]
        name = self._graph.make_name(f"{self.output}_{step}") if step else self.output
        text = {key: _format(value) for key, value in attrs.items()}
        return Value(name, node=self._graph.add(op, name, text, nodes))

    def constant(self, suffix: str, array: Array) -> Value:
        """A constant that the ONNX graph does not hold in this form."""
        return Value(self._graph.make_name(f"{self.output}_{suffix}"), array.ndim, array)

    def refuse(self, met: str, remedy: str) -> UnsupportedOpError:
        """The error to raise for a node that MXNet cannot express."""
        return UnsupportedOpError(self.where, met, remedy)

    def require_array(self, value: Value, role: str) -> Array:
        """The value of a constant input.

        Raises:
            UnsupportedOpError: it is computed in the graph.
        """
        if value.array is None:
            raise self.refuse(f"its {role} '{value.name}' is computed in the graph", f"Export the {role} as a constant")
        return value.array

    def require_rank(self, value: Value) -> int:
        """The number of axes of an input.

        Raises:
            UnsupportedOpError: shape inference does not know it.
        """
        if value.rank is None:
            raise self.refuse(f"the rank of its input '{value.name}' is not known", "Export it with shapes")
        return value.rank

    def _node_of(self, value: Value) -> int:
        if value.node is not None:
            return value.node
        assert value.array is not None
        if value.name not in self._constants:
            if value.array.dtype != "float32":
                raise self.refuse(
                    f"its constant '{value.name}' is {value.array.dtype}", "Only float32 tensors are translated"
                )
            if value.array.ndim == 0 or value.array.size == 0:
                raise self.refuse(
                    f"the shape of its constant '{value.name}' is {value.array.shape}", "Fold the model's constants"
                )
            self._params[value.name] = value.array
            self._constants[value.name] = self._graph.variable(value.name)
        return self._constants[value.name]


class Converter(Protocol):
    """Gives the MXNet value of an ONNX node's one output."""

    def __call__(self, emit: Emitter, /, *inputs: Any, **attributes: Any) -> Value: ...


class Registry:
    """ONNX operators that have a translation."""

    def __init__(self) -> None:
        self._converters: dict[str, dict[int, Callable[..., Value]]] = {}

    def op(self, name: str, since: int) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
        """Register the decorated function for operator `name` from opset `since` on.

        Raises:
            ValueError: that operator and opset have a function already.
        """

        def register(function: Callable[..., Value]) -> Callable[..., Value]:
            versions = self._converters.setdefault(name, {})
            if since in versions:
                raise ValueError(f"{name} since {since} is registered twice")
            versions[since] = function
            return function

        return register

    def names(self) -> list[tuple[str, int]]:
        """Every operator with the opset its function starts at."""
        return sorted((name, since) for name, versions in self._converters.items() for since in versions)

    def find(self, where: str, name: str, opset: int) -> Callable[..., Value]:
        """The function for operator `name` at `opset`.

        Raises:
            UnsupportedOpError: there is none.
        """
        if name not in self._converters:
            known = ", ".join(sorted(self._converters))
            raise UnsupportedOpError(where, f"MXNet has no translation of {name}", f"Use only {known}")
        versions = [since for since in self._converters[name] if since <= opset]
        if not versions:
            first = min(self._converters[name])
            raise UnsupportedOpError(
                where, f"{name} of opset {opset} has no translation", f"Convert the model to opset {first} or later"
            )
        return self._converters[name][max(versions)]

    def convert(
        self, emit: Emitter, name: str, opset: int, inputs: Sequence[Value | None], attributes: Mapping[str, Any]
    ) -> Value:
        """Translate one node.

        Raises:
            UnsupportedOpError: no function, or an input or attribute that the function does not declare.
        """
        function = self.find(emit.where, name, opset)
        parameters = inspect.signature(function).parameters.values()
        declared = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
        undeclared = sorted(attributes.keys() - declared)
        if undeclared:
            raise emit.refuse(
                f"the attribute {undeclared[0]}={attributes[undeclared[0]]!r} has no translation", "Export without it"
            )
        try:
            bound = inspect.signature(function).bind(emit, *inputs, **attributes)
        except TypeError as error:
            raise emit.refuse(f"its inputs or attributes do not fit {name}: {error}", "Check the model") from error
        return function(*bound.args, **bound.kwargs)


def _format(value: object) -> str:
    """A value as MXNet's parameter parser reads it."""
    if isinstance(value, tuple | list):
        return f"({', '.join(str(int(item)) for item in value)})"
    return repr(value) if isinstance(value, float) else str(value)


OPS = Registry()
