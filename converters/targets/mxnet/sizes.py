"""Sizes of tensors that are not known until the model runs, as sums of products of named sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Quotient:
    """The whole part of a size divided by a number, where it is not known to divide."""

    dividend: SymbolicDim
    divisor: int

    def __str__(self) -> str:
        return f"(({self.dividend})//{self.divisor})"


Symbol = str | Quotient
# The factors of one product, in order.
Monomial = tuple[Symbol, ...]


@dataclass(frozen=True)
class SymbolicDim:
    """A size with at least one name in it; a plain number is an int.

    Attributes:
        terms: Factor of each product, ordered, none zero.
    """

    terms: tuple[tuple[Monomial, Fraction], ...]

    def __add__(self, other: Dim) -> Dim:
        terms = dict(self.terms)
        for monomial, factor in _terms(other).items():
            terms[monomial] = terms.get(monomial, Fraction()) + factor
        return _make(terms)

    def __mul__(self, other: Dim) -> Dim:
        terms: dict[Monomial, Fraction] = {}
        for left, a in self.terms:
            for right, b in _terms(other).items():
                monomial = tuple(sorted((*left, *right), key=str))
                terms[monomial] = terms.get(monomial, Fraction()) + a * b
        return _make(terms)

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + -other

    def __rsub__(self, other: int) -> Dim:
        return -self + other

    __radd__ = __add__
    __rmul__ = __mul__

    def __floordiv__(self, divisor: int) -> Dim:
        """The whole part: what divides by itself, and a name of its own for what may not."""
        whole = {monomial: factor / divisor for monomial, factor in self.terms if (factor / divisor).denominator == 1}
        rest = _make({monomial: factor for monomial, factor in self.terms if monomial not in whole})
        if isinstance(rest, int):
            return rest // divisor + _make(whole)
        return SymbolicDim((((Quotient(rest, divisor),), Fraction(1)),)) + _make(whole)

    def __str__(self) -> str:
        return " + ".join(_show(monomial, factor) for monomial, factor in self.terms)

    def as_ratio(self) -> Dim:
        """The size as if every division had no remainder: what a Reshape needs, which no other size fits."""
        total: Dim = 0
        for monomial, factor in self.terms:
            product: Dim = SymbolicDim((((), factor),))
            for symbol in monomial:
                product = product * _ratio_of(symbol)
            total = product + total
        return total

    def lower_bound(self) -> Fraction | None:
        """What it is sure to be or to exceed, names being 1 or more and whole parts 0 or more; None if nothing is."""
        total = Fraction()
        for monomial, factor in self.terms:
            if monomial and factor < 0:
                return None
            if not any(isinstance(symbol, Quotient) for symbol in monomial):
                total += factor
        return total

    def positive(self) -> bool:
        """Whether it is sure to be 1 or more, whatever the sizes."""
        least = self.lower_bound()
        return least is not None and least > 0  # a whole number


Dim = int | SymbolicDim
MULTIPLE = re.compile(r"([1-9]\d*)\*([A-Za-z_]\w*)")


def name_size(name: str) -> SymbolicDim:
    """The size of that name; "8*h" is eight times the size h, as exporters and our own contracts mean it."""
    multiple = MULTIPLE.fullmatch(name)
    if multiple is not None:
        return SymbolicDim((((multiple.group(2),), Fraction(int(multiple.group(1)))),))
    return SymbolicDim((((name,), Fraction(1)),))


def multiply(extents: Sequence[Dim]) -> Dim:
    """Their product."""
    product: Dim = 1
    for extent in extents:
        product = product * extent
    return product


def find_larger(a: Dim, b: Dim) -> Dim | None:
    """The larger of two sizes; None if it depends."""
    difference = a - b
    if isinstance(difference, int):
        return a if difference >= 0 else b
    opposite = -difference
    assert isinstance(opposite, SymbolicDim)
    if difference.positive():
        return a
    return b if opposite.positive() else None


def broadcast(a: Dim, b: Dim) -> Dim:
    """The size of an axis that ONNX's broadcasting makes of two: that of both, or of the one that is not 1."""
    for one, other in ((a, b), (b, a)):
        if one in (1, other):
            return other
    for size in sorted((a, b), key=lambda size: isinstance(size, SymbolicDim)):
        least = size if isinstance(size, int) else size.lower_bound()
        if least is not None and least > 1:
            return size
    larger = find_larger(a, b)
    return name_size(f"max({', '.join(sorted((str(a), str(b))))})") if larger is None else larger


def same_product(one: Sequence[Dim], other: Sequence[Dim]) -> bool:
    """Whether sizes of tensors that hold as many elements have one product, divisions taken as exact."""
    return multiply([ratio(extent) for extent in one]) == multiply([ratio(extent) for extent in other])


def ratio(extent: Dim) -> Dim:
    """`SymbolicDim.as_ratio`, of a number too."""
    return extent if isinstance(extent, int) else extent.as_ratio()


def list_names(extent: Dim) -> set[str]:
    """The names in a size."""
    if isinstance(extent, int):
        return set()
    names = set()
    for monomial, _ in extent.terms:
        for symbol in monomial:
            names |= {symbol} if isinstance(symbol, str) else list_names(symbol.dividend)
    return names


def substitute(extent: Dim, meanings: Mapping[str, Dim]) -> Dim:
    """The size, with other sizes in the place of names."""
    if isinstance(extent, int):
        return extent
    total: Dim = 0
    for monomial, factor in extent.terms:
        product: Dim = SymbolicDim((((), factor),))
        for symbol in monomial:
            if isinstance(symbol, str):
                part = substitute(meanings[symbol], meanings) if symbol in meanings else name_size(symbol)
            else:
                part = substitute(symbol.dividend, meanings) // symbol.divisor
            product = product * part
        total = product + total
    return total


def solve(extent: Dim, value: Dim) -> tuple[str, Dim] | None:
    """What one name in `extent` must mean for it to be `value`: of a multiple of a name only."""
    if not isinstance(extent, SymbolicDim) or len(extent.terms) != 1 or extent == value:
        return None
    ((monomial, factor),) = extent.terms
    if len(monomial) != 1 or not isinstance(monomial[0], str) or factor.denominator != 1:
        return None
    meaning = divide(value, factor.numerator)
    return None if meaning is None else (monomial[0], meaning)


def divide(dividend: Dim, divisor: Dim) -> Dim | None:
    """The quotient of a size that the divisor is known to divide; None if it is a sum, or cannot be said."""
    terms = list(_terms(divisor).items())
    if len(terms) != 1:
        return None
    ((monomial, factor),) = terms
    result: dict[Monomial, Fraction] = {}
    for names, part in _terms(dividend).items():
        left = list(names)
        for name in monomial:
            if name not in left:
                return None
            left.remove(name)
        result[tuple(left)] = part / factor
    return _make(result)


def _show(monomial: Monomial, factor: Fraction) -> str:
    factors = [str(factor)] if factor != 1 or not monomial else []
    return "*".join([*factors, *map(str, monomial)])


def _ratio_of(symbol: Symbol) -> SymbolicDim:
    if isinstance(symbol, str):
        return name_size(symbol)
    dividend = symbol.dividend.as_ratio()
    assert isinstance(dividend, SymbolicDim)
    return SymbolicDim(tuple((monomial, factor / symbol.divisor) for monomial, factor in dividend.terms))


def _terms(extent: Dim) -> Mapping[Monomial, Fraction]:
    return {(): Fraction(extent)} if isinstance(extent, int) else dict(extent.terms)


def _make(terms: Mapping[Monomial, Fraction]) -> Dim:
    kept = {monomial: factor for monomial, factor in terms.items() if factor}
    if not kept:
        return 0
    if kept.keys() == {()} and kept[()].denominator == 1:
        return int(kept[()])
    return SymbolicDim(tuple(sorted(kept.items(), key=lambda item: tuple(map(str, item[0])))))
