"""Arithmetic on axis sizes that are free, that is unknown until the model runs.

A free size is a polynomial in named sizes: "2*h*w + h + 3" is a sum of three products. A name stands for a whole number
of 1 or more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Quotient:
    """A floor division of a free size by a number, where the remainder is unknown."""

    dividend: SymbolicDim
    divisor: int

    def __str__(self) -> str:
        return f"(({self.dividend})//{self.divisor})"


Symbol = str | Quotient
# The symbols of one product, sorted by their text; empty for a constant term.
Monomial = tuple[Symbol, ...]


@dataclass(frozen=True)
class SymbolicDim:
    """A free size: a sum of products that contains at least one name. A size without names is an int.

    Attributes:
        terms: The products, each with its factor; sorted, no factor is zero.
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
        """The floor of the quotient: terms with a divisible factor are divided, the others become one `Quotient`.

        The floor of -n / d is the negative of that of (n + d - 1) / d, so that no dividend is negative as a whole.
        """
        exact = {monomial: factor / divisor for monomial, factor in self.terms if (factor / divisor).denominator == 1}
        rest = _make({monomial: factor for monomial, factor in self.terms if monomial not in exact})
        if isinstance(rest, int):
            return rest // divisor + _make(exact)
        if all(factor < 0 for monomial, factor in rest.terms if monomial):
            return -((-rest + (divisor - 1)) // divisor) + _make(exact)
        return SymbolicDim((((Quotient(rest, divisor),), Fraction(1)),)) + _make(exact)

    def __str__(self) -> str:
        return " + ".join(_show(monomial, factor) for monomial, factor in self.terms)

    def assume_exact_division(self) -> Dim:
        """The size if no division in it had a remainder. A Reshape runs at no other sizes."""
        total: Dim = 0
        for monomial, factor in self.terms:
            product: Dim = SymbolicDim((((), factor),))
            for symbol in monomial:
                product = product * _divide_exactly(symbol)
            total = product + total
        return total

    def lower_bound(self) -> int | None:
        """A lower bound of the size, in which names count as 1; None if a name has a negative factor."""
        found = []
        for count in (True, False):
            bound = _bound_quotients(self, upper=False, count=count)
            least = None if bound is None else _add_up(bound)
            if least is not None:
                found.append(math.ceil(least))  # a size is a whole number
        return max(found, default=None)

    def is_at_least(self, number: int) -> bool:
        """Whether the size is `number` or more for all values of the names."""
        least = self.lower_bound()
        return least is not None and least >= number


Dim = int | SymbolicDim
MULTIPLE = re.compile(r"([1-9]\d*)\*([A-Za-z_]\w*)")


def name_size(name: str) -> SymbolicDim:
    """A free size by its name. "8*h" is eight times the size "h", as exporters and this project's contracts mean it."""
    multiple = MULTIPLE.fullmatch(name)
    if multiple is not None:
        return SymbolicDim((((multiple.group(2),), Fraction(int(multiple.group(1)))),))
    return SymbolicDim((((name,), Fraction(1)),))


def multiply(extents: Sequence[Dim]) -> Dim:
    """The product of sizes; 1 for none."""
    product: Dim = 1
    for extent in extents:
        product = product * extent
    return product


def multiply_exactly(extents: Sequence[Dim]) -> Dim:
    """The product of sizes if no division in them had a remainder. A Reshape runs at no other sizes."""
    return multiply([size if isinstance(size, int) else size.assume_exact_division() for size in extents])


def find_larger(a: Dim, b: Dim) -> Dim | None:
    """The larger of two sizes; None if that depends on the values of the names."""
    difference = a - b
    if isinstance(difference, int):
        return a if difference >= 0 else b
    opposite = -difference
    assert isinstance(opposite, SymbolicDim)
    if difference.is_at_least(0):
        return a
    return b if opposite.is_at_least(0) else None


def is_equal(a: Dim, b: Dim) -> bool | None:
    """Whether two sizes are equal; None if that depends on the values of the names."""
    difference = a - b
    if isinstance(difference, int):
        return difference == 0
    opposite = -difference
    assert isinstance(opposite, SymbolicDim)
    return False if difference.is_at_least(1) or opposite.is_at_least(1) else None


def is_never_negative(size: Dim) -> bool:
    """Whether a size is 0 or more for all values of the names."""
    return size >= 0 if isinstance(size, int) else size.is_at_least(0)


def split_signs(size: Dim) -> tuple[Dim, Dim]:
    """Two sizes without negative terms; `size` is the first one less the second."""
    terms = _terms(size)
    more = {monomial: factor for monomial, factor in terms.items() if factor > 0}
    less = {monomial: -factor for monomial, factor in terms.items() if factor < 0}
    return _make(more), _make(less)


def broadcast(a: Dim, b: Dim) -> Dim:
    """The size that ONNX's broadcasting gives an axis of sizes a and b.

    ONNX requires equal sizes, or one of 1. So a size that is certain to be 2 or more is the result; else the larger one
    is, if it is known; else a new free size "max(a, b)".
    """
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
    """Whether two runs of axes of a Reshape's input and output hold equally many elements."""
    return multiply_exactly(one) == multiply_exactly(other)


def list_names(extent: Dim) -> set[str]:
    """The names that occur in a size."""
    if isinstance(extent, int):
        return set()
    names = set()
    for monomial, _ in extent.terms:
        for symbol in monomial:
            names |= {symbol} if isinstance(symbol, str) else list_names(symbol.dividend)
    return names


def substitute(extent: Dim, meanings: Mapping[str, Dim]) -> Dim:
    """The size with each name replaced by its size in `meanings`, those within `meanings` too."""
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


def add_meaning(meanings: dict[str, Dim], name: str, size: Dim) -> None:
    """Let a name stand for a size in `meanings`, unless the size contains the name itself, by what is known so far."""
    known = substitute(size, meanings)
    if name not in list_names(known):
        meanings[name] = known


def solve(extent: Dim, value: Dim) -> tuple[str, Dim] | None:
    """A name and the size that it must stand for so that `extent` equals `value`.

    None if `extent` is not a whole multiple of one name, or the two are equal already.
    """
    if not isinstance(extent, SymbolicDim) or len(extent.terms) != 1 or extent == value:
        return None
    ((monomial, factor),) = extent.terms
    if len(monomial) != 1 or not isinstance(monomial[0], str) or factor.denominator != 1:
        return None
    meaning = divide(value, factor.numerator)
    return None if meaning is None else (monomial[0], meaning)


def divide(dividend: Dim, divisor: Dim) -> Dim | None:
    """The quotient of two sizes, assumed to have no remainder.

    None if the divisor is a sum, or a term of the dividend lacks one of the divisor's names.
    """
    terms = list(_terms(divisor).items())
    if len(terms) != 1:
        return None
    ((monomial, factor),) = terms
    result: dict[Monomial, Fraction] = {}
    for symbols, part in _terms(dividend).items():
        left = list(symbols)
        for symbol in monomial:
            if symbol not in left:
                return None
            left.remove(symbol)
        result[tuple(left)] = part / factor
    return _make(result)


def _show(monomial: Monomial, factor: Fraction) -> str:
    factors = [str(factor)] if factor != 1 or not monomial else []
    return "*".join([*factors, *map(str, monomial)])


def _divide_exactly(symbol: Symbol) -> SymbolicDim:
    """A symbol as a size; a quotient as if it had no remainder."""
    if isinstance(symbol, str):
        return name_size(symbol)
    dividend = symbol.dividend.assume_exact_division()
    assert isinstance(dividend, SymbolicDim)
    return SymbolicDim(tuple((monomial, factor / symbol.divisor) for monomial, factor in dividend.terms))


def _bound_quotients(extent: SymbolicDim, *, upper: bool, count: bool) -> SymbolicDim | None:
    """A bound of a size that has no quotients; None if one stands in a product.

    Args:
        upper: Whether the size is never above the bound; else it is never below it.
        count: Whether a quotient is bounded from below by its dividend; else by 0.
    """
    total: Dim = SymbolicDim(())
    for monomial, factor in extent.terms:
        product: Dim = SymbolicDim((((), factor),))
        high = upper == (factor > 0)
        quotients = [symbol for symbol in monomial if isinstance(symbol, Quotient)]
        if quotients and not high and not count:
            continue
        if quotients:
            if len(monomial) > 1:
                return None
            bound = _bound_quotients(quotients[0].dividend, upper=high, count=count)
            if bound is None:
                return None
            slack = 0 if high else 1 - quotients[0].divisor
            product = product * SymbolicDim((((), Fraction(1, quotients[0].divisor)),)) * (bound + slack)
        else:
            product = product * SymbolicDim(((monomial, Fraction(1)),))
        total = product + total
    return SymbolicDim(tuple(_terms(total).items()))


def _add_up(extent: SymbolicDim) -> Fraction | None:
    """A size without quotients if every name is 1; None if a name has a negative factor."""
    if any(monomial and factor < 0 for monomial, factor in extent.terms):
        return None
    return sum((factor for _, factor in extent.terms), Fraction())


def _terms(extent: Dim) -> Mapping[Monomial, Fraction]:
    return {(): Fraction(extent)} if isinstance(extent, int) else dict(extent.terms)


def _make(terms: Mapping[Monomial, Fraction]) -> Dim:
    """The sum in its normal form: an int if no name is left."""
    kept = {monomial: factor for monomial, factor in terms.items() if factor}
    if not kept:
        return 0
    if kept.keys() == {()} and kept[()].denominator == 1:
        return int(kept[()])
    return SymbolicDim(tuple(sorted(kept.items(), key=lambda item: tuple(map(str, item[0])))))
