"""Which function translates which ONNX operator, and what every such function may ask of its node.

A function's signature is its schema: positional parameters are the node's inputs, keyword-only ones its
attributes, with ONNX's names and defaults. What a function does not declare is refused, never ignored.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

from converters.errors import UnsupportedOpError
from converters.tensors import Array


class Operand(Protocol):
    """A tensor of the ONNX graph, whatever a target adds to it."""

    @property
    def name(self) -> str: ...

    @property
    def rank(self) -> int | None:
        """Number of axes, None if shape inference does not know."""
        ...

    @property
    def array(self) -> Array | None:
        """Its value if it is a constant."""
        ...


class Translation:
    """One ONNX node on its way into a target.

    Args:
        where: The node, for messages.
    """

    def __init__(self, where: str) -> None:
        self.where = where

    def refuse(self, met: str, remedy: str) -> UnsupportedOpError:
        """The error to raise for a node that the target cannot express."""
        return UnsupportedOpError(self.where, met, remedy)

    def require_array(self, value: Operand, role: str) -> Array:
        """The value of a constant input.

        Raises:
            UnsupportedOpError: it is computed in the graph.
        """
        if value.array is None:
            remedy = f"Export the {role} as a constant, or convert with --size HxW if it follows from the size"
            raise self.refuse(f"its {role} '{value.name}' is computed in the graph", remedy)
        return value.array

    def require_rank(self, value: Operand) -> int:
        """The number of axes of an input.

        Raises:
            UnsupportedOpError: shape inference does not know it.
        """
        if value.rank is None:
            raise self.refuse(f"the rank of its input '{value.name}' is not known", "Export it with shapes")
        return value.rank


V = TypeVar("V")


# A function gives one operand, or a sequence of them: as many as the node has outputs, or fewer.
F = TypeVar("F", bound=Callable[..., Any])


# As many operators as a message can list.
FEW = 20


class Registry(Generic[V]):
    """ONNX operators that have a translation; its functions give a `V`, the target's own kind of operand, or several.

    Args:
        target: Its name in messages.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._converters: dict[str, dict[int, Callable[..., Any]]] = {}

    def op(self, name: str, since: int) -> Callable[[F], F]:
        """Register the decorated function for operator `name` from opset `since` on.

        Raises:
            ValueError: that operator and opset have a function already.
        """

        def register(function: F) -> F:
            versions = self._converters.setdefault(name, {})
            if since in versions:
                raise ValueError(f"{name} since {since} is registered twice")
            versions[since] = function
            return function

        return register

    def names(self) -> list[tuple[str, int]]:
        """Every operator with the opset its function starts at."""
        return sorted((name, since) for name, versions in self._converters.items() for since in versions)

    def knows(self, name: str) -> bool:
        """Whether there is a function for that operator, at any opset."""
        return name in self._converters

    def find(self, where: str, name: str, opset: int) -> Callable[..., Any]:
        """The function for operator `name` at `opset`.

        Raises:
            UnsupportedOpError: there is none.
        """
        if name not in self._converters:
            known = ", ".join(sorted(self._converters))
            many = f"Write it with other operators, of which {len(self._converters)} have one"
            remedy = f"Use only {known}" if len(self._converters) <= FEW else many
            raise UnsupportedOpError(where, f"{self._target} has no translation of {name}", remedy)
        versions = [since for since in self._converters[name] if since <= opset]
        if not versions:
            first = min(self._converters[name])
            raise UnsupportedOpError(
                where, f"{name} of opset {opset} has no translation", f"Convert the model to opset {first} or later"
            )
        return self._converters[name][max(versions)]

    def convert(
        self, emit: Translation, name: str, opset: int, inputs: Sequence[V | None], attributes: Mapping[str, Any]
    ) -> V:
        """Translate one node of one output.

        Raises:
            UnsupportedOpError: no function, or an input or attribute that the function does not declare.
        """
        (result,) = self.convert_all(emit, name, opset, inputs, attributes)
        return result

    def convert_all(
        self, emit: Translation, name: str, opset: int, inputs: Sequence[V | None], attributes: Mapping[str, Any]
    ) -> Sequence[V]:
        """Translate one node; the outputs that its function gives, which may be the first few.

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
        for key, value in bound.arguments.items():
            parameter = inspect.signature(function).parameters[key]
            if (value is None and parameter.default is parameter.empty) or (
                parameter.kind is parameter.VAR_POSITIONAL and None in value
            ):
                raise emit.refuse(f"its input {key} is left out", "Check the model")
        result = function(*bound.args, **bound.kwargs)
        return result if isinstance(result, list | tuple) else [cast(V, result)]
