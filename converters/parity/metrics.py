"""Measure the errors of one array against another, and compare them with a gate."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from converters.parity.gates import Gate
from converters.tensors import Array

# The smallest own error, in units, that the source is taken to have: one float32 step near 1.
MIN_SOURCE_ERROR = 1e-7
# The smallest unit of relative errors. A small output is computed from numbers near 1 and has their rounding error:
# ONNX Runtime's sigmoid is off by 1e-7 even where it gives 1e-4.
MIN_UNIT = 0.05


@dataclass(frozen=True)
class Metrics:
    """The errors of one item of an output over its region (hole or plane).

    Absolute errors are divided by a unit: 1, or for relative errors the item's largest expected magnitude.

    Attributes:
        max_abs: Largest absolute error; infinite where a value is not finite.
        p99_9: 99.9th percentile of the absolute error.
        psnr_db: 10 log10(peak^2 / mean squared error), infinite if all are equal. The peak is the unit; for integers it
            is the largest value of their type.
        non_finite: How many values of the whole item, inside the region or not, are NaN or infinite.
        levels: How many elements differ in their 8-bit level, round(255 x / unit); for integers, how many differ.
        excess: max|actual - float64| / max(max|expected - float64|, max|perturbed - float64|, 1e-7 units); None without
            a float64 run.
        worst_index: The index of the largest error.
    """

    max_abs: float
    p99_9: float
    psnr_db: float
    non_finite: int
    levels: int
    excess: float | None
    worst_index: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {key: plain_json(value) for key, value in asdict(self).items()}


def error_unit(expected: Array, output: Array | None = None) -> float:
    """The unit of relative errors: the largest magnitude of the expected values, at least MIN_UNIT; 1 for integers.

    Args:
        expected: One item of the output, or the whole output.
        output: The whole batch. If the item's own maximum is smaller, the batch's maximum, capped at 1, is the unit.
    """
    if is_integer(expected):
        return 1.0
    batch = 0.0 if output is None else min(_largest_magnitude(output), 1.0)
    return max(_largest_magnitude(expected), batch, MIN_UNIT)


def _largest_magnitude(array: Array) -> float:
    """The largest magnitude of the finite values; 0 if there is none."""
    return float(np.abs(array[np.isfinite(array)]).max(initial=0))


def measure(
    actual: Array,
    expected: Array,
    float64: Array | None = None,
    region: Array | None = None,
    unit: float = 1,
    perturbed: Array | None = None,
) -> Metrics:
    """Measure `actual` against `expected`, which has the same shape, in float64 arithmetic; integers exactly.

    Args:
        actual: The file's output.
        expected: The source's output in float32.
        float64: The source's output in float64; None leaves out the excess error.
        region: bool, broadcast to the shape: True where errors are measured, at one element or more; None measures all.
        unit: Errors are divided by this.
        perturbed: The source's output in float32 on inputs moved by one float32 step.
    """
    inside = np.broadcast_to(True if region is None else region, actual.shape)
    non_finite = int(np.count_nonzero(~np.isfinite(actual)))
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.asarray(np.abs(actual.astype(np.float64) - expected.astype(np.float64)) / unit)
        error[np.isnan(error)] = np.inf
        if is_integer(actual):  # float64 rounds integers above 2^53
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
    """Whether the elements are integers or truth values."""
    return array.dtype.kind in "iub"


def _largest(array: Array) -> int:
    """The largest value of the array's integer type."""
    return 1 if array.dtype.kind == "b" else int(np.iinfo(array.dtype).max)


def max_difference(one: Array, other: Array, inside: Array) -> float:
    """max|one - other| where `inside` is True; infinite if a difference is not a number."""
    with np.errstate(invalid="ignore"):
        error = np.abs(one.astype(np.float64) - other)[inside]
    return float(np.where(np.isnan(error), np.inf, error).max())


def _own_error(expected: Array, perturbed: Array | None, float64: Array, inside: Array, unit: float) -> float:
    """The source's own error in float32: the denominator of `Metrics.excess`."""
    runs = [expected] if perturbed is None or is_integer(expected) else [expected, perturbed]
    return max(MIN_SOURCE_ERROR * unit, *(max_difference(run, float64, inside) for run in runs))


def find_misses(metrics: Metrics, gate: Gate) -> list[str]:
    """A sentence for each limit of `gate` that the errors exceed."""
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
    """The value, but NaN and infinities, which JSON does not have, as the strings "nan", "inf" and "-inf"."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
