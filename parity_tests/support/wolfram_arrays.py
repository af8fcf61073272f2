"""Evaluate functions of the Wolfram Language on matrices with NumPy, by what the pages of the built-in functions say.

For what Mathics evaluates too slowly, and where it rounds otherwise than a kernel: its Divide multiplies by the
inverse. Mathics still parses the text. All sums and products have two terms here, so that no order is left open.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from parity_tests.support.mathics import Call, Kernel, Symbol
from parity_tests.support.wolfram_layers import require

Names = dict[str, Any]


class Definitions:
    """The definitions of a text, whose statements empty lines part."""

    def __init__(self, text: str) -> None:
        kernel = Kernel()
        self._values: Names = {}
        self._functions: dict[str, Any] = {}
        for part in filter(None, (part.strip().rstrip(";") for part in text.split("\n\n"))):
            (statement,) = kernel.evaluate(f"HoldComplete[{part}]").arguments
            left, right = statement.arguments
            if isinstance(left, Symbol):
                require(statement.head == "Set", statement)
                self._values[left.name] = self._evaluate(right, {})
            else:
                require(statement.head == "SetDelayed", statement)
                self._functions[_name(left)] = _Definition(_parameters(left), right)

    def call(self, name: str, *arguments: Any) -> Any:
        return self._apply(name, arguments)

    def _apply(self, name: str, arguments: Sequence[Any]) -> Any:
        """A function of several groups of arguments gives a function until it has them all."""
        definition = self._functions[name]

        def take(groups: list[list[str]], bound: Names, given: Sequence[Any]) -> Any:
            require(len(groups[0]) == len(given), f"arguments of {name}")
            bound = {**bound, **dict(zip(groups[0], given, strict=True))}
            if len(groups) == 1:
                return self._evaluate(definition.body, bound)
            return lambda *more: take(groups[1:], bound, more)

        return take(definition.parameters, {}, arguments)

    def _evaluate(self, expression: Any, local: Names) -> Any:
        if isinstance(expression, int | float):
            return expression
        if isinstance(expression, list):
            return [self._evaluate(each, local) for each in expression]
        if isinstance(expression, Symbol):
            return local[expression.name] if expression.name in local else self._values[expression.name]
        require(isinstance(expression, Call), expression)
        return self._evaluate_call(expression, local)

    def _evaluate_call(self, expression: Call, local: Names) -> Any:
        head, arguments = expression.head, expression.arguments
        if head == "Module":
            return self._evaluate_module(arguments, local)
        if head == "If":
            condition, yes, no = arguments
            return self._evaluate(yes if self._evaluate(condition, local) else no, local)
        if head == "Function":
            parameter, body = arguments
            return lambda value: self._evaluate(body, {**local, parameter.name: value})
        if head == "Fold":
            function, first, rest = (self._evaluate(argument, local) for argument in arguments)
            return functools.reduce(function, rest, first)
        if head == "Part":
            return _part(self._evaluate(arguments[0], local), arguments[1:], lambda each: self._evaluate(each, local))
        given = [self._evaluate(argument, local) for argument in arguments]
        if isinstance(head, Call):
            return self._evaluate(head, local)(*given)
        if head in local:
            return local[head](*given)
        if head in self._functions:
            return self._apply(head, given)
        require(head in BUILT_IN, head)
        return BUILT_IN[head](*given)

    def _evaluate_module(self, arguments: Sequence[Any], local: Names) -> Any:
        names, body = arguments
        inner = {**local, **{name.name: None for name in names}}
        *assignments, result = body.arguments
        for assignment in assignments:
            require(assignment.head == "Set", assignment)
            target, value = assignment.arguments
            require(target.name in inner, target)
            inner[target.name] = self._evaluate(value, inner)
        return self._evaluate(result, inner)


class _Definition:
    def __init__(self, parameters: list[list[str]], body: Any) -> None:
        self.parameters, self.body = parameters, body


def _name(left: Call) -> str:
    return _name(left.head) if isinstance(left.head, Call) else left.head


def _parameters(left: Call) -> list[list[str]]:
    """The names of f[a_, b_][c_], group by group."""
    for pattern in left.arguments:
        require(pattern.head == "Pattern" and pattern.arguments[1] == Call("Blank", ()), pattern)
    own = [pattern.arguments[0].name for pattern in left.arguments]
    return [*(_parameters(left.head) if isinstance(left.head, Call) else []), own]


def _part(value: Any, places: Sequence[Any], evaluate: Callable[[Any], Any]) -> Any:
    """Parts count from 1; All takes everything."""
    index = tuple(slice(None) if place == Symbol("All") else evaluate(place) - 1 for place in places)
    return value[index[0]] if isinstance(value, list) else value[index]


def _fixed_point(function: Callable[[Any], Any], value: Any) -> Any:
    while True:
        following = function(value)
        if np.array_equal(following, value):
            return value
        value = following


def _power(base: float, exponent: int) -> float:
    require(base == 2 or exponent == -1, (base, exponent))
    return float(base) ** exponent


def _times(*factors: Any) -> Any:
    """Two factors; the parser puts the -1 of a difference before them."""
    require(len(factors) == 2 or (len(factors) == 3 and factors[0] == -1), factors)
    return functools.reduce(operator.mul, factors)


def _range(first: int, last: int, step: int) -> list[int]:
    return list(range(first, last + (1 if step > 0 else -1), step))


BUILT_IN: dict[str, Callable[..., Any]] = {
    "Plus": lambda a, b: a + b,
    "Times": _times,
    "Subtract": lambda a, b: a - b,
    "Minus": lambda a: -a,
    "Divide": lambda a, b: a / b,
    "Power": _power,
    "N": float,
    "GreaterEqual": lambda a, b: a >= b,
    "Greater": lambda a, b: a > b,
    "Sqrt": np.sqrt,
    "Abs": np.abs,
    "Sign": lambda a: np.sign(a).astype(int),
    "UnitStep": lambda a: (np.asarray(a) >= 0).astype(int),
    "Transpose": lambda a: a.swapaxes(0, 1),
    "Drop": lambda a, n: a[n:] if n >= 0 else a[:n],
    "Join": lambda a, b: np.concatenate([part for part in (a, b) if len(part)]),
    "ConstantArray": lambda a, n: np.array([a] * n),
    "First": lambda a: a[0],
    "Last": lambda a: a[-1],
    "Length": len,
    "Range": _range,
    "FixedPoint": _fixed_point,
}
