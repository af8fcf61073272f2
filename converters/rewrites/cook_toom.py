"""Toom-Cook matrices: several outputs of a short correlation with one multiplication per point.

    y = A ((G g) * (B d)),   y_j = sum_k g_k d_(j+k),   j < m outputs, k < r taps, m + r - 1 points

Proof. Let p and q be polynomials of degree m - 1 and r - 1. Their product has degree m + r - 2, and is determined
by its values at m + r - 2 points and its leading coefficient (the point infinity): that is Lagrange's interpolation,
p q = L ((V_m p) * (V_r q)) with V the values at the points. Transposing the map p -> p q for fixed q gives the
correlation with q: y = V_m^T ((V_r q) * (L^T d)). So A = V_m^T, G = V_r and B = L^T, up to a factor per point that
may be moved between G and B. (Winograd 1980; for convolution layers Lavin and Gray 2015, arXiv 1509.09308.)
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from converters.tensors import Array

# Small numbers whose powers stay small: rounding errors grow with the ratio of the largest to the smallest.
POINTS = tuple(map(Fraction, ("0", "1", "-1", "2", "-2", "1/2", "-1/2")))


@dataclass(frozen=True)
class CookToom:
    """Matrices of one axis, float64.

    Attributes:
        outputs: (m, points), A.
        weights: (points, r), G.
        inputs: (points, m + r - 1), B.
    """

    outputs: Array
    weights: Array
    inputs: Array


def cook_toom(outputs: int, taps: int) -> CookToom:
    """The matrices for `outputs` outputs of `taps` taps, at most 8 points; one output or one tap included.

    Raises:
        ValueError: more points would be needed.
    """
    count = outputs + taps - 1
    finite = POINTS[: count - 1]
    if len(finite) < count - 1:
        raise ValueError(f"{outputs} outputs of {taps} taps want {count} points; there are {len(POINTS) + 1}")

    def values(degree: int) -> list[list[Fraction]]:
        powers = [[point**power for power in range(degree)] for point in finite]
        return [*powers, [Fraction(int(power == degree - 1)) for power in range(degree)]]

    basis = []
    factors = []
    for point in finite:
        others = [other for other in finite if other != point]
        basis.append([*_product(others), Fraction(0)])
        factor = Fraction(1)
        for other in others:
            factor *= point - other
        factors.append(factor)
    basis.append(_product(finite))
    factors.append(Fraction(1))
    return CookToom(
        outputs=_floats(values(outputs)).T.copy(),
        weights=_floats([[value / f for value in row] for row, f in zip(values(taps), factors, strict=True)]),
        inputs=_floats(basis),
    )


def _product(roots: tuple[Fraction, ...] | list[Fraction]) -> list[Fraction]:
    """Coefficients of the product of (x - root), the constant one first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [high - root * low for high, low in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients


def _floats(rows: list[list[Fraction]]) -> Array:
    return np.array([[float(value) for value in row] for row in rows], np.float64)
