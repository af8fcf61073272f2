"""The Toom-Cook matrices give a correlation's outputs, exactly up to float64's rounding."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.winograd_points import OLD, Data
from converters.rewrites.cook_toom import POINTS, cook_toom

# Matrix entries reach 5; some ten sums of float64 rounding.
ROUNDING = 1e-13
SIZES = [(m, r) for m in range(1, 7) for r in range(1, 7) if m + r - 1 <= len(POINTS)]


@pytest.mark.parametrize(("outputs", "taps"), SIZES)
def test_matrices_give_the_correlation_with_one_multiplication_a_point(outputs: int, taps: int) -> None:
    random = np.random.default_rng(outputs * 10 + taps)
    g, d = random.standard_normal(taps), random.standard_normal(outputs + taps - 1)
    matrices = cook_toom(outputs, taps)
    products = (matrices.weights @ g) * (matrices.inputs @ d)
    assert products.shape == (outputs + taps - 1,)
    expected = np.array([g @ d[j : j + taps] for j in range(outputs)])
    np.testing.assert_allclose(matrices.outputs @ products, expected, atol=ROUNDING, rtol=0)


def test_the_usual_sizes_have_the_published_matrices() -> None:
    """F(2, 3) of arXiv 1509.09308, section 4.1, up to the order of points and a sign per point."""
    matrices = cook_toom(2, 3)
    published_a = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])
    published_g = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    published_b = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    ours = np.einsum("ji,ik,in->ijkn", matrices.outputs, matrices.weights, matrices.inputs)
    published = np.einsum("ji,ik,in->ijkn", published_a, published_g, published_b)
    np.testing.assert_allclose(ours, published, atol=1e-15)


def test_more_points_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match="4 outputs of 6 taps want 9 points; there are 8"):
        cook_toom(4, 6)


@pytest.mark.parametrize(("outputs", "taps"), [(4, 2), (2, 4), (4, 3), (2, 5)])
def test_points_err_less_in_float32_than_small_integers_do(outputs: int, taps: int) -> None:
    data, count = Data(outputs, taps, channels=32), outputs + taps - 2
    ours, integers = (data.measure(points) for points in (POINTS[count], OLD[:count]))
    # benchmarks/results/winograd_points.json has 0.64 to 0.65 and 0.36 to 0.5 for 256 channels.
    assert ours["root_mean_square"] < 0.75 * integers["root_mean_square"]
    assert ours["largest"] < 0.75 * integers["largest"]
