"""The registry of functions that translate ONNX operators into one target, and the helpers that they share.

A function's signature is its schema: positional parameters are the node's inputs, keyword-only parameters are its
attributes, with ONNX's names and defaults. A node with an input or attribute that the function does not declare is
refused; nothing is ignored.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

from converters.errors import UnsupportedOpError
from converters.tensors import Array


class Operand(Protocol):
    """A tensor of the ONNX graph; each target adds fields of its own."""

    @property
    def name(self) -> str: ...

    @property
    def rank(self) -> int | None:
        """Number of axes, None if shape inference does not know it."""
        ...

    @property
    def array(self) -> Array | None:
        """The value of a constant, None for any other tensor."""
        ...

    @property
    def given(self) -> bool:
        """Whether it is an input of the model."""
        ...


class Translation:
    """The translation of one ONNX node; each target's subclass adds the functions that write its layers.

    Args:
        where: The node's name and operator, for error messages.
    """

    def __init__(self, where: str) -> None:
        self.where = where

    def refuse(self, met: str, remedy: str) -> UnsupportedOpError:
        """The error to raise for a node that the target cannot express."""
        return UnsupportedOpError(self.where, met, remedy)

    def require_array(self, value: Operand, role: str) -> Array:
        """The value of a constant input.

        Raises:
            UnsupportedOpError: the input is an input of the model, or computed in the graph.
        """
        if value.array is not None:
            return value.array
        if value.given:
            raise self.refuse(f"its {role} '{value.name}' is an input of the model", f"Export the {role} as a constant")
        remedy = f"Export the {role} as a constant, or convert with --size HxW if it follows from the size"
        raise self.refuse(f"its {role} '{value.name}' is computed in the graph", remedy)

    def require_rank(self, value: Operand) -> int:
        """The number of axes of an input.

        Raises:
            UnsupportedOpError: shape inference does not know it.
        """
        if value.rank is None:
            raise self.refuse(f"the rank of its input '{value.name}' is not known", "Export it with shapes")
        return value.rank


# The target's operand type.
V = TypeVar("V")
# A translating function. It returns one operand, or a sequence with one operand for each of the node's first outputs.
F = TypeVar("F", bound=Callable[..., Any])
# An error message lists the known operators if there are at most this many.
MAX_LISTED_OPERATORS = 20


class Registry(Generic[V]):
    """The ONNX operators that have a translation into one target, whose operands are of type `V`.

    Args:
        target: The target's name in error messages.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._converters: dict[str, dict[int, Callable[..., Any]]] = {}

    def op(self, name: str, since: int) -> Callable[[F], F]:
        """Register the decorated function for operator `name` from opset `since` on.

        Raises:
            ValueError: a function is already registered for that operator and opset.
        """

        def register(function: F) -> F:
            versions = self._converters.setdefault(name, {})
            if since in versions:
                raise ValueError(f"{name} since {since} is registered twice")
            versions[since] = function
            return function

        return register

    def names(self) -> list[tuple[str, int]]:
        """Every (operator, first opset) that a function is registered for, sorted."""
        return sorted((name, since) for name, versions in self._converters.items() for since in versions)

    def knows(self, name: str) -> bool:
        """Whether a function is registered for the operator, at any opset."""
        return name in self._converters

    def find(self, where: str, name: str, opset: int) -> Callable[..., Any]:
        """The function for operator `name` at `opset`.

        Raises:
            UnsupportedOpError: no function is registered for them.
        """
        if name not in self._converters:
            known = ", ".join(sorted(self._converters))
            many = f"Write it with other operators, of which {len(self._converters)} have one"
            remedy = f"Use only {known}" if len(self._converters) <= MAX_LISTED_OPERATORS else many
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
        """Translate one node with one output.

        Args:
            inputs: None for an optional input that is left out.

        Raises:
            UnsupportedOpError: the operator has no function, or the function does not declare an input or attribute.
        """
        (result,) = self.convert_all(emit, name, opset, inputs, attributes)
        return result

    def convert_all(
        self, emit: Translation, name: str, opset: int, inputs: Sequence[V | None], attributes: Mapping[str, Any]
    ) -> Sequence[V]:
        """Translate one node; return its outputs, or only the first few if the function translates no more.

        Args:
            inputs: None for an optional input that is left out.

        Raises:
            UnsupportedOpError: the operator has no function, or the function does not declare an input or attribute.
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
