"""Toom-Cook matrices: several outputs of a short correlation with one multiplication per point.

    y = A ((G g) * (B d)),   y_j = sum_k g_k d_(j+k),   j < m outputs, k < r taps, m + r - 1 points

Proof. Let p and q be polynomials of degree m - 1 and r - 1. Their product has degree m + r - 2, and is determined
by its values at m + r - 2 points and its leading coefficient (the point infinity). Lagrange's interpolation gives
p q = L ((V_m p) * (V_r q)), where V_n takes n coefficients to the values at the points. Transposing the map p -> p q
for fixed q gives the correlation with q: y = V_m^T ((V_r q) * (L^T d)). So A = V_m^T, G = V_r and B = L^T, up to a
factor per point that may be moved between G and B. (Winograd 1980; for convolution layers Lavin and Gray 2015, arXiv
1509.09308.)
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from converters.tensors import Array

# The finite points, by their number. Of those tried, they err least in float32 (benchmarks/winograd_points.py): the
# powers of 1/2 and -2 balance each other.
POINTS: tuple[tuple[Fraction, ...], ...] = tuple(
    tuple(map(Fraction, text.split()))
    for text in (
        "",
        "0",
        "0 1",
        "0 1 -1",
        "0 1 -1/2 -2",
        "0 1 -1 1/2 -2",
        "0 1 -1 1/2 -1/2 4",
        "0 1 -1 1/2 -1/2 2 -2",
    )
)


@dataclass(frozen=True)
class CookToom:
    """The matrices of the identity above, for one axis.

    Attributes:
        outputs: A, (m, points) float64.
        weights: G, (points, r) float64.
        inputs: B, (points, m + r - 1) float64.
    """

    outputs: Array
    weights: Array
    inputs: Array


def cook_toom(outputs: int, taps: int) -> CookToom:
    """The matrices for m = `outputs` and r = `taps`, each at least 1, on `POINTS` and infinity.

    Raises:
        ValueError: they need more points than there are.
    """
    count = outputs + taps - 1
    if count > len(POINTS):
        raise ValueError(f"{outputs} outputs of {taps} taps want {count} points; there are {len(POINTS)}")
    return cook_toom_on(POINTS[count - 1], outputs, taps)


def cook_toom_on(finite: tuple[Fraction, ...], outputs: int, taps: int) -> CookToom:
    """The matrices on outputs + taps - 2 finite points, which all differ, and infinity."""

    def vandermonde(count: int) -> list[list[Fraction]]:
        """V for polynomials with `count` coefficients; the last row is the point infinity."""
        powers = [[point**power for power in range(count)] for point in finite]
        return [*powers, [Fraction(int(power == count - 1)) for power in range(count)]]

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
        outputs=_floats(vandermonde(outputs)).T.copy(),
        weights=_floats([[value / f for value in row] for row, f in zip(vandermonde(taps), factors, strict=True)]),
        inputs=_floats(basis),
    )


def _product(roots: tuple[Fraction, ...] | list[Fraction]) -> list[Fraction]:
    """Coefficients of the product of all (x - root), from the constant one up."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [high - root * low for high, low in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients


def _floats(rows: list[list[Fraction]]) -> Array:
    return np.array([[float(value) for value in row] for row in rows], np.float64)
