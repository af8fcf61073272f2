"""The metrics and the gates, on arrays whose answers are known beforehand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from converters.parity.gates import Gate
from converters.parity.judge import Verdict
from converters.parity.metrics import measure
from parity_tests.support.compared_cases import BAD_VALUES, SHAPE, altered, case, failures, flat, hole, hole_case, judge

# Errors are differences of float64 numbers written in decimal: equal to the last few digits only.
DECIMAL = 1e-9
OPEN = Gate(math.inf, None, None, None)


def test_equal_arrays_have_no_error() -> None:
    metrics = measure(flat(), flat(), flat().astype(np.float64))
    assert (metrics.max_abs, metrics.p99_9, metrics.psnr_db, metrics.levels) == (0, 0, math.inf, 0)
    assert (metrics.non_finite, metrics.excess) == (0, 0)


def test_largest_error_and_its_place_are_found_whatever_the_sign() -> None:
    actual = altered(altered(np.zeros((3, 4, 5)), (2, 1, 3), -0.75), (0, 3, 4), 0.5)
    metrics = measure(actual, np.zeros((3, 4, 5)))
    assert metrics.max_abs == 0.75
    assert metrics.worst_index == (2, 1, 3)


def test_percentile_ignores_one_element_in_a_thousand_and_no_more() -> None:
    errors = np.zeros(2000)
    errors[:2] = 1.0
    assert measure(errors, np.zeros(2000)).p99_9 == 0
    errors[2] = 1.0
    assert measure(errors, np.zeros(2000)).p99_9 == 1


def test_psnr_takes_the_mean_of_squares_and_a_peak_of_one() -> None:
    assert measure(np.full(10, 0.1), np.zeros(10)).psnr_db == pytest.approx(20, abs=DECIMAL)
    assert measure(np.array([0.2, 0, 0, 0]), np.zeros(4)).psnr_db == pytest.approx(20, abs=DECIMAL)


def test_levels_count_elements_that_round_to_another_byte() -> None:
    expected = np.array([100.2, 100.4, 100.4, 254.9]) / 255
    actual = np.array([100.4, 100.6, 102.4, 255.4]) / 255
    assert measure(actual, expected).levels == 2
    assert measure(actual, expected, region=np.array([True, True, False, True])).levels == 1


def test_excess_is_our_error_in_units_of_torchs_own() -> None:
    truth = np.zeros(4)
    torch32 = np.array([0, 2e-6, 0, 0])
    assert measure(np.array([0, 0, 0, 6e-6]), torch32, truth).excess == pytest.approx(3, abs=DECIMAL)


def test_torchs_own_error_is_never_taken_below_one_float32_step() -> None:
    assert measure(np.array([3e-7]), np.zeros(1), np.zeros(1)).excess == pytest.approx(3, abs=DECIMAL)


def test_without_a_float64_run_there_is_no_excess() -> None:
    assert measure(np.ones(1), np.zeros(1)).excess is None


def test_only_the_region_counts() -> None:
    actual = np.array([[0.9, 0.1], [0.0, 0.9]])
    region = np.array([[False, True], [True, False]])
    metrics = measure(actual, np.zeros((2, 2)), np.zeros((2, 2)), region)
    assert metrics.max_abs == 0.1
    assert metrics.worst_index == (0, 1)
    assert metrics.psnr_db == pytest.approx(-10 * math.log10(0.005), abs=DECIMAL)
    assert metrics.excess == pytest.approx(1e6, rel=DECIMAL)


@BAD_VALUES
def test_value_that_is_not_finite_is_an_infinite_error(bad: float) -> None:
    actual = altered(flat(), (1, 2, 3, 3), bad)
    metrics = measure(actual, flat(), flat().astype(np.float64))
    assert (metrics.max_abs, metrics.p99_9, metrics.psnr_db) == (math.inf, math.inf, -math.inf)
    assert (metrics.excess, metrics.non_finite, metrics.worst_index) == (math.inf, 1, (1, 2, 3, 3))


@BAD_VALUES
def test_value_that_is_not_finite_is_an_error_even_where_torch_has_it_too(bad: float) -> None:
    actual = altered(flat(), (1, 2, 3, 3), bad)
    assert measure(actual, actual).max_abs == math.inf


@BAD_VALUES
def test_value_that_is_not_finite_is_counted_outside_the_region_too(bad: float) -> None:
    region = np.full(SHAPE, True)
    region[1, 2, 3, 3] = False
    metrics = measure(altered(flat(), (1, 2, 3, 3), bad), flat(), region=region)
    assert (metrics.max_abs, metrics.non_finite) == (0, 1)


@BAD_VALUES
def test_value_that_is_not_finite_fails_under_any_gate(bad: float) -> None:
    in_hole, outside = altered(flat(), (1, 0, 1, 1), bad), altered(flat(), (1, 0, 3, 3), bad)
    for one in (case(in_hole), hole_case(in_hole, hole((1, 1))), hole_case(outside, hole((1, 1)))):
        first, second = judge(one, OPEN)
        assert not first.failures
        assert "1 values are NaN or infinite" in second.failures


@pytest.mark.parametrize(
    ("gate", "sentence"),
    [
        (replace(OPEN, max_abs=1e-3), "max abs error 2.0e-03, allowed 1e-03"),
        (replace(OPEN, p99_9=1e-3), "99.9th percentile 2.0e-03, allowed 1e-03"),
        (replace(OPEN, psnr_db=68.0), "PSNR 67.8 dB, required 68"),
        (replace(OPEN, excess=4.0), "excess error 20000.0, allowed 4"),
    ],
)
def test_each_limit_of_a_gate_fails_alone_and_says_so(gate: Gate, sentence: str) -> None:
    zero = flat(0.0, (1, 1, 2, 12))
    one = case(altered(zero, (0, 0, 1, 3), 0.002), expected=zero)
    assert failures(one, OPEN) == []
    assert failures(one, gate) == [sentence]


def test_worst_item_of_a_batch_decides() -> None:
    first, second = judge(case(altered(flat(), (1, 0, 0, 0), 0.6)))
    assert (first.failures, bool(second.failures), second.item) == ((), True, 1)


def test_hole_is_judged_apart_from_the_plane() -> None:
    (first, _) = judge(hole_case(altered(flat(), (0, 2, 1, 1), 0.75), hole((1, 1), (2, 2))), OPEN)
    assert first.region == "hole"
    assert first.metrics is not None
    assert first.metrics.max_abs == 0.25
    # One of the 6 elements in the hole is off; over the plane's 48 the PSNR would be 9 dB better.
    assert first.metrics.psnr_db == pytest.approx(-10 * math.log10(0.25**2 / 6), abs=DECIMAL)


def test_known_pixel_off_by_one_float32_step_fails_though_the_hole_is_right() -> None:
    off = altered(flat(), (1, 1, 0, 0), float(np.nextafter(np.float32(0.5), np.float32(1))))
    for mask in (hole((1, 1)), hole()):
        first, second = judge(hole_case(off, mask), OPEN)
        assert not first.failures
        assert second.failures == ("known pixels do not come back bit for bit",)


def test_known_zero_that_comes_back_negative_is_not_bit_equal() -> None:
    zero = flat(0.0)
    one = replace(case(altered(zero, (0, 0, 0, 0), -0.0), expected=zero), mask=hole(), known=zero)
    assert failures(one) == ["known pixels do not come back bit for bit"]


def test_empty_hole_gives_no_metric_and_judges_nothing() -> None:
    tensors = judge(hole_case(flat(), hole()))
    assert [(tensor.metrics, tensor.verdict, tensor.gated) for tensor in tensors] == [(None, Verdict.PASSED, False)] * 2


def test_excess_error_is_in_units_of_the_worse_of_two_runs() -> None:
    float64 = flat().astype(np.float64)
    step = np.float32(2**-22)
    lucky, usual = flat() + step, flat() + 4 * step
    one = case(flat() + 8 * step, expected=lucky, float64=float64)
    assert failures(one) == ["excess error 8.0, allowed 4"] * 2
    assert failures(replace(one, perturbed={"y": usual})) == []
    assert failures(replace(one, perturbed={"y": lucky})) == ["excess error 8.0, allowed 4"] * 2


def test_integers_that_float64_does_not_tell_apart_are_compared() -> None:
    large = np.full((1, 4), 2**53 + 1)
    assert measure(large - 1, large).max_abs == 1
    assert measure(large, large).max_abs == 0


def test_output_missing_on_either_side_fails() -> None:
    one = case(flat())
    assert failures(replace(one, actual={})) == ["the output is missing"]
    assert failures(replace(one, actual={"y": flat(), "z": flat()})) == ["its source has no such output"]


def test_other_shape_or_dtype_fails_before_anything_is_measured() -> None:
    one = replace(case(flat()), actual={"y": flat()[:, :1]})
    assert failures(one) == ["its shape is (2, 1, 4, 4), its source's (2, 3, 4, 4)"]
    double = replace(case(flat()), actual={"y": flat().astype(np.float64)})
    assert failures(double) == ["its dtype is float64, its source's float32"]
