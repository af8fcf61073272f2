"""Errors of one array against another: what is measured, and in which units."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from converters.parity.gates import Gate
from converters.tensors import Array

# The standard's own error is never taken to be smaller than one float32 step near 1.
SMALLEST_ERROR = 1e-7
# A small output is computed from numbers near 1 and rounded as those are: ONNX Runtime's sigmoid is off by 1e-7 even
# where it gives 1e-4. Errors of it are not measured in smaller units than this.
SMALLEST_UNIT = 0.05


@dataclass(frozen=True)
class Metrics:
    """Errors of one item over its region, in its unit: 1, or as `ComparedCase.relative` says.

    Attributes:
        max_abs: Largest absolute error; infinite where a value is not finite.
        p99_9: 99.9th percentile of the absolute error.
        psnr_db: 10 log10(peak^2 / mean squared error), infinite when equal; the peak is the unit, of integers the
            type's.
        non_finite: NaN and infinite values in the whole item, region or not.
        levels: Elements whose 8-bit level, round(255 x / unit), differs; of integers, elements that differ.
        excess: max|actual - float64| / max(max|expected - float64|, max|perturbed - float64|, 1e-7 units); None without
            a float64 run.
        worst_index: Where the largest error is.
    """

    max_abs: float
    p99_9: float
    psnr_db: float
    non_finite: int
    levels: int
    excess: float | None
    worst_index: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return {key: plain_json(value) for key, value in asdict(self).items()}


def error_unit(expected: Array, output: Array | None = None) -> float:
    """The largest magnitude of a float output whose range is not known, at least SMALLEST_UNIT; 1 of integers.

    Args:
        expected: The output, or one item of it.
        output: The whole: the unit of an item that is darker than its neighbours is 1, or their largest if below 1.
    """
    if is_integer(expected):
        return 1.0
    neighbours = 0.0 if output is None else min(_largest_magnitude(output), 1.0)
    return max(_largest_magnitude(expected), neighbours, SMALLEST_UNIT)


def _largest_magnitude(array: Array) -> float:
    """Of its finite values, 0 where there is none."""
    return float(np.abs(array[np.isfinite(array)]).max(initial=0))


def measure(
    actual: Array,
    expected: Array,
    float64: Array | None = None,
    region: Array | None = None,
    unit: float = 1,
    perturbed: Array | None = None,
) -> Metrics:
    """Measure `actual` against `expected`, arrays of one shape, in float64 arithmetic; integers exactly.

    Args:
        actual: What the file gave.
        expected: What the untouched module gave in float32.
        float64: What it gave in float64; None leaves out the excess error.
        region: bool, broadcast to the shape; None is everything. At least one element must be in it.
        unit: What errors are divided by.
        perturbed: What it gave in float32 on inputs moved by one float32 step.
    """
    inside = np.broadcast_to(True if region is None else region, actual.shape)
    non_finite = int(np.count_nonzero(~np.isfinite(actual)))
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.asarray(np.abs(actual.astype(np.float64) - expected.astype(np.float64)) / unit)
        error[np.isnan(error)] = np.inf
        if is_integer(actual):  # float64 does not tell those above 2^53 apart
            error = np.where(actual == expected, 0.0, np.maximum(error, 1.0))
        error = np.where(inside, error, -1.0)
        errors = error[inside]
        scale, peak = (1, _largest(actual)) if is_integer(actual) else (255 / unit, 1)
        levels = np.rint(scale * actual.astype(np.float64)) != np.rint(scale * expected.astype(np.float64))
        squared = float(np.mean((errors / peak) ** 2))
    worst = np.unravel_index(int(np.argmax(error)), error.shape)
    return Metrics(
        max_abs=float(errors.max()),
        p99_9=float(np.sort(errors)[math.ceil(0.999 * errors.size) - 1]),
        psnr_db=math.inf if squared == 0 else -math.inf if math.isinf(squared) else -10 * math.log10(squared),
        non_finite=non_finite,
        levels=int(np.count_nonzero(levels & inside)),
        excess=None
        if float64 is None
        else max_difference(actual, float64, inside) / _own_error(expected, perturbed, float64, inside, unit),
        worst_index=tuple(int(index) for index in worst),
    )


def is_integer(array: Array) -> bool:
    return array.dtype.kind in "iub"


def _largest(array: Array) -> int:
    """Of an integer type."""
    return 1 if array.dtype.kind == "b" else int(np.iinfo(array.dtype).max)


def max_difference(one: Array, other: Array, inside: Array) -> float:
    """max|one - other| over the region; infinite where a value is not finite."""
    with np.errstate(invalid="ignore"):
        error = np.abs(one.astype(np.float64) - other)[inside]
    return float(np.where(np.isnan(error), np.inf, error).max())


def _own_error(expected: Array, perturbed: Array | None, float64: Array, inside: Array, unit: float) -> float:
    """The standard's own error in float32, as `Metrics.excess` takes it."""
    runs = [expected] if perturbed is None or is_integer(expected) else [expected, perturbed]
    return max(SMALLEST_ERROR * unit, *(max_difference(run, float64, inside) for run in runs))


def find_misses(metrics: Metrics, gate: Gate) -> list[str]:
    """A sentence for each limit of `gate` that is passed."""
    misses = []
    if gate.max_abs is not None and not metrics.max_abs <= gate.max_abs:
        misses.append(f"max abs error {metrics.max_abs:.1e}, allowed {gate.max_abs:.0e}")
    if gate.p99_9 is not None and not metrics.p99_9 <= gate.p99_9:
        misses.append(f"99.9th percentile {metrics.p99_9:.1e}, allowed {gate.p99_9:.0e}")
    if gate.psnr_db is not None and not metrics.psnr_db >= gate.psnr_db:
        misses.append(f"PSNR {metrics.psnr_db:.1f} dB, required {gate.psnr_db:.0f}")
    if gate.excess is not None and metrics.excess is not None and not metrics.excess <= gate.excess:
        misses.append(f"excess error {metrics.excess:.1f}, allowed {gate.excess:.0f}")
    return misses


def plain_json(value: Any) -> Any:
    """JSON has no NaN and no infinities: they become the strings "nan", "inf" and "-inf"."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
