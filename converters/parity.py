"""Compare what a file computes with what its source computes, and judge it.

Nothing is clamped or rounded before it is compared; the worst item of the worst input decides; a NaN fails anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from converters.errors import ParityError
from converters.tensors import Array, Tensors


@dataclass(frozen=True)
class Tolerance:
    """A gate: largest errors allowed over the region, None where not judged. In levels where outputs are 8-bit.

    Attributes:
        max_abs: Largest absolute error.
        p99_9: 99.9th percentile of the absolute error.
        psnr_db: Smallest peak signal-to-noise ratio, peak 1.
        excess: Largest error against float64, in units of the standard's own: the larger of its float32 run's and of
            that on inputs moved by one float32 step, as one draw of rounding may be lucky.
    """

    max_abs: float | None
    p99_9: float | None
    psnr_db: float | None
    excess: float | None


GATES: Mapping[str, Tolerance] = {
    # Folding repeats torch's own arithmetic; only the order of sums inside a convolution may differ.
    "fold": Tolerance(1e-6, None, 120.0, None),
    # float32 rounding through some twenty normalized layers is 1e-6; 2e-5 leaves room for other CPUs' kernels.
    "onnx": Tolerance(2e-5, 2e-5, 100.0, 4.0),
    # MXNet 1.9.1's own convolution adds its products in one chain on a processor with AVX-512: of 256 channels, 3x3,
    # 3.7 times torch's error in the mean square, 7.7 times in the worst place; nets end at up to 4.2 times, 2e-6 of 1.
    "mxnet": Tolerance(1e-4, 2e-5, 100.0, 8.0),
    # Rewrites that are identities but for the order of sums.
    "exact": Tolerance(2e-5, None, 100.0, 4.0),
    # Tiles add and subtract multiples of pixels before they are multiplied, and lose about one digit by it.
    "winograd": Tolerance(1e-4, 2e-5, 95.0, 16.0),
    "tensorrt": Tolerance(1e-3, 1e-4, 80.0, 32.0),
    # OpenVINO on the ONNX file (no target; the C++ consumer's): its fusions put back the norms that the file spells
    # out, and 4.8e-5 of error with them on a net with random weights; 6e-7 to 6e-6 on trained ones.
    "openvino": Tolerance(1e-4, 1e-4, 95.0, None),
    # 8 bits: a value near the middle between two levels may fall to either side.
    "levels": Tolerance(None, 1.0, None, None),
    "equal": Tolerance(0.0, None, None, None),
}

DO_NOT_USE = "The file is not what its source computes: do not use it"

# Where the standard's float32 is itself further than this, in units, from float64, the input says nothing of a file.
ILL_CONDITIONED = 1e-5
ILL_CONDITIONED_LEVELS = 1
# And where one float32 step of the inputs moves its result as far as this: then agreement is luck.
ILL_CONDITIONED_NUDGED = 1e-3
# Further apart, a float64 run and float32 are not one computation: onnx's reference and ONNX Runtime disagree on some
# operators by 0.3 to 0.9. A net of strangers whose float32 is in doubt was 2e-5 away.
TRUSTED = 1e-4
# Where the excess error decides alone, whatever the gate.
EXCESS_ALONE = 4.0
# The standard's own error is never taken to be smaller than one float32 step near 1.
SMALLEST_ERROR = 1e-7


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
        excess: max|actual - float64| / max(max|expected - float64|, max|nudged - float64|, 1e-7 units), None without a
            float64 run.
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
        return {key: _plain(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class ComparedCase:
    """One parity input: a runner's outputs, the standard's in float32 and, if it runs so, in float64.

    Attributes:
        mask: The hole where above 0, broadcast to the outputs, if they are composited; None judges the whole plane.
        known: The image whose known pixels must come back bit for bit; goes with `mask`.
        relative: Whether an output's errors are in units of its largest expected magnitude.
        nudged: The standard's float32 outputs on the inputs moved by one float32 step, if it was run on such.
        excess_decides: Whether an ill-conditioned item that misses the gate is held to its excess error alone; others
            of that kind are held to nothing.
    """

    name: str
    actual: Tensors
    expected: Tensors
    float64: Tensors | None
    mask: Array | None = None
    known: Array | None = None
    relative: bool = False
    nudged: Tensors | None = None
    excess_decides: bool = False


@dataclass(frozen=True)
class TensorParity:
    """The verdict on one item of one output: `failures` are sentences, none of them is a pass.

    `metrics` is None where there is nothing to measure: an empty hole, or a shape that differs. `by_excess`: it missed
    the gate but for its excess error, which decided.
    """

    tensor: str
    case: str
    item: int
    region: str
    metrics: Metrics | None
    ill_conditioned: bool
    failures: tuple[str, ...]
    by_excess: bool = False

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def gated(self) -> bool:
        return self.metrics is not None and not self.ill_conditioned

    def to_json(self) -> dict[str, Any]:
        fields = {
            key: getattr(self, key) for key in ("tensor", "case", "item", "region", "ill_conditioned", "by_excess")
        }
        metrics = None if self.metrics is None else self.metrics.to_json()
        return {**fields, "metrics": metrics, "failures": list(self.failures), "passed": self.passed}


@dataclass(frozen=True)
class ParityReport:
    """One rung of the ladder.

    Attributes:
        rung: Its name.
        gate: What its outputs were held to.
        tensors: Every item of every output on every input.
        flat: Outputs that should be one number throughout: what gives that number passes, whatever it computes.
        outside: Inputs whose size the file, or an engine's profile, does not take.
    """

    rung: str
    gate: Tolerance
    tensors: tuple[TensorParity, ...]
    flat: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True if every output that was measured was judged on some item, and nothing failed."""
        gated = {tensor.tensor for tensor in self.tensors if tensor.gated}
        measured = {tensor.tensor for tensor in self.tensors if tensor.metrics is not None}
        return bool(gated) and gated >= measured and all(tensor.passed for tensor in self.tensors)

    @property
    def verdict(self) -> str:
        """Passed or not, and how many items were not held to the whole gate."""
        if not self.passed:
            return "**FAILED**"
        by_excess = sum(tensor.by_excess for tensor in self.tensors)
        unjudged = sum(tensor.ill_conditioned for tensor in self.tensors) - by_excess
        counts = ((by_excess, "by excess error alone"), (unjudged, "ill-conditioned and not judged"))
        said = [f"{count} of {len(self.tensors)} items {how}" for count, how in counts if count]
        said += [f"output '{name}' is one number throughout, which proves little" for name in self.flat]
        return f"passed ({'; '.join(said)})" if said else "passed"

    @property
    def worst(self) -> TensorParity | None:
        """The gated item with the largest absolute error."""
        gated = [tensor for tensor in self.tensors if tensor.gated]
        return max(gated, key=_max_abs, default=None)

    def summary(self) -> dict[str, Any]:
        """The worst of each metric over all gated items, for the manifest; plain JSON types."""
        gated = [tensor.metrics for tensor in self.tensors if tensor.gated and tensor.metrics]
        excesses = [metrics.excess for metrics in gated if metrics.excess is not None]
        worst = {
            "max_abs": max((metrics.max_abs for metrics in gated), default=None),
            "p99_9": max((metrics.p99_9 for metrics in gated), default=None),
            "psnr_db": min((metrics.psnr_db for metrics in gated), default=math.inf),
            "excess": max(excesses, default=None),
        }
        return {
            "rung": self.rung,
            "passed": self.passed,
            "gate": asdict(self.gate),
            "items": len(self.tensors),
            "flat_outputs": list(self.flat),
            "outside_the_profile": list(self.outside),
            "ill_conditioned_items": sum(tensor.ill_conditioned for tensor in self.tensors),
            "by_excess_items": sum(tensor.by_excess for tensor in self.tensors),
            **{key: _plain(value) for key, value in worst.items()},
            "worst_case": None if self.worst is None else self.worst.case,
        }

    def to_json(self) -> dict[str, Any]:
        return {**self.summary(), "tensors": [tensor.to_json() for tensor in self.tensors]}


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinities: they become the strings "nan", "inf" and "-inf"."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _max_abs(tensor: TensorParity) -> float:
    assert tensor.metrics is not None
    return tensor.metrics.max_abs


def unit_of(expected: Array, output: Array | None = None) -> float:
    """The largest magnitude of a float output whose range is not known; 1 where all of it is 0.

    Args:
        expected: The output, or one item of it.
        output: The whole: the unit of an item that is darker than its neighbours is 1, or their largest if below 1.
    """
    if _is_integer(expected):
        return 1.0
    largest = _largest_magnitude(expected)
    return (largest if output is None else max(largest, min(_largest_magnitude(output), 1.0))) or 1.0


def _largest_magnitude(array: Array) -> float:
    """Of its finite values, 0 where there is none."""
    return float(np.abs(array[np.isfinite(array)]).max(initial=0))


def measure(
    actual: Array,
    expected: Array,
    float64: Array | None = None,
    region: Array | None = None,
    unit: float = 1,
    nudged: Array | None = None,
) -> Metrics:
    """Measure `actual` against `expected`, arrays of one shape, in float64 arithmetic; integers exactly.

    Args:
        actual: What the file gave.
        expected: What the untouched module gave in float32.
        float64: What it gave in float64; None leaves out the excess error.
        region: bool, broadcast to the shape; None is everything. At least one element must be in it.
        unit: What errors are divided by.
        nudged: What it gave in float32 on inputs moved by one float32 step.
    """
    inside = np.broadcast_to(True if region is None else region, actual.shape)
    non_finite = int(np.count_nonzero(~np.isfinite(actual)))
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.asarray(np.abs(actual.astype(np.float64) - expected.astype(np.float64)) / unit)
        error[np.isnan(error)] = np.inf
        if _is_integer(actual):  # float64 does not tell those above 2^53 apart
            error = np.where(actual == expected, 0.0, np.maximum(error, 1.0))
        error = np.where(inside, error, -1.0)
        errors = error[inside]
        scale, peak = (1, _largest(actual)) if _is_integer(actual) else (255 / unit, 1)
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
        else _distance(actual, float64, inside) / _own_error(expected, nudged, float64, inside, unit),
        worst_index=tuple(int(index) for index in worst),
    )


def _is_integer(array: Array) -> bool:
    return array.dtype.kind in "iub"


def _largest(array: Array) -> int:
    """Of an integer type."""
    return 1 if array.dtype.kind == "b" else int(np.iinfo(array.dtype).max)


def _distance(one: Array, other: Array, inside: Array) -> float:
    """max|one - other| over the region; infinite where a value is not finite."""
    with np.errstate(invalid="ignore"):
        error = np.abs(one.astype(np.float64) - other)[inside]
    return float(np.where(np.isnan(error), np.inf, error).max())


def _own_error(expected: Array, nudged: Array | None, float64: Array, inside: Array, unit: float) -> float:
    """The standard's own error in float32, as `Metrics.excess` takes it."""
    runs = [expected] if nudged is None or _is_integer(expected) else [expected, nudged]
    return max(SMALLEST_ERROR * unit, *(_distance(run, float64, inside) for run in runs))


def compare(rung: str, gate: Tolerance, cases: Sequence[ComparedCase]) -> ParityReport:
    """Judge every item of every output of every case; a miss is in the report, not raised."""
    tensors = []
    for case in cases:
        for name in sorted(case.expected.keys() | case.actual.keys()):
            tensors.extend(_compare_tensor(name, gate, case))
    flat = sorted({tensor.tensor for tensor in tensors if _is_flat(tensor.tensor, cases)})
    return ParityReport(rung, gate, tuple(tensors), tuple(flat))


def _is_flat(name: str, cases: Sequence[ComparedCase]) -> bool:
    expected = [case.expected[name] for case in cases if name in case.expected and case.expected[name].size]
    return all(bool((array == expected[0].flat[0]).all()) for array in expected)


def hole_of(mask: Array, image: Array) -> Array:
    """Where `mask` is above 0, in as many axes as the image has: channels first (N, 1, H, W), or last (N, H, W, 1)."""
    hole: Array = mask > 0
    return hole[..., np.newaxis] if hole.ndim < image.ndim else hole


def _compare_tensor(name: str, gate: Tolerance, case: ComparedCase) -> list[TensorParity]:
    def refuse(reason: str) -> list[TensorParity]:
        return [TensorParity(name, case.name, 0, "plane", None, False, (reason,))]

    if name not in case.actual:
        return refuse("the output is missing")
    if name not in case.expected:
        return refuse("its source has no such output")
    actual, expected = case.actual[name], case.expected[name]
    if actual.shape != expected.shape:
        return refuse(f"its shape is {actual.shape}, its source's {expected.shape}")
    if actual.dtype != expected.dtype:
        return refuse(f"its dtype is {actual.dtype}, its source's {expected.dtype}")
    if actual.ndim == 0:
        return [_compare_item(name, gate, case, None)]
    return [_compare_item(name, gate, case, item) for item in range(len(actual))]


def _compare_item(name: str, gate: Tolerance, case: ComparedCase, index: int | None) -> TensorParity:
    """`index` is None for an output without axes."""
    item = index or 0

    def pick(tensors: Tensors) -> Array:
        return np.asarray(tensors[name] if index is None else tensors[name][index])

    actual, expected = pick(case.actual), pick(case.expected)
    float64 = None if case.float64 is None else pick(case.float64)
    failures = []
    inside = np.full(actual.shape, True)
    region = "plane"
    non_finite = int(np.count_nonzero(~np.isfinite(actual)))
    if non_finite:
        failures.append(f"{non_finite} values are NaN or infinite")
    if case.mask is not None and case.known is not None:
        region = "hole"
        inside = np.broadcast_to(case.mask[item] > 0, actual.shape)
        if actual[~inside].tobytes() != case.known[item][~inside].tobytes():
            failures.append("known pixels do not come back bit for bit")
    if not inside.any():  # no hole, or an output without elements
        return TensorParity(name, case.name, item, region, None, False, tuple(failures))
    unit = unit_of(expected, case.expected[name]) if case.relative else 1
    nudged = None if case.nudged is None else pick(case.nudged)
    metrics = measure(actual, expected, float64, inside, unit, nudged)
    limit = ILL_CONDITIONED_LEVELS if _is_integer(expected) else ILL_CONDITIONED * unit
    ill_conditioned = float64 is not None and _distance(expected, float64, inside) > limit
    if float64 is not None and nudged is not None and not _is_integer(expected):
        ill_conditioned |= _distance(nudged, float64, inside) > ILL_CONDITIONED_NUDGED * unit
    if case.excess_decides:
        misses = find_misses(metrics, gate)
        trusted = float64 is not None and _distance(expected, float64, inside) <= TRUSTED * unit
        by_excess = bool(misses) and ill_conditioned and trusted and gate.excess is not None
        failures += find_misses(metrics, Tolerance(None, None, None, EXCESS_ALONE)) if by_excess else misses
        return TensorParity(name, case.name, item, region, metrics, by_excess, tuple(failures), by_excess)
    if not ill_conditioned:
        failures += find_misses(metrics, gate)
    return TensorParity(name, case.name, item, region, metrics, ill_conditioned, tuple(failures))


def find_misses(metrics: Metrics, gate: Tolerance) -> list[str]:
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


def require_passed(report: ParityReport, where: object, remedy: str = DO_NOT_USE) -> None:
    """Refuse a report that misses its gate.

    Raises:
        ParityError: names the rung, the input and the numbers.
    """
    failed = [tensor for tensor in report.tensors if tensor.failures]
    if report.passed:
        return
    if not failed:
        measured = {tensor.tensor for tensor in report.tensors if tensor.metrics is not None}
        judged = {tensor.tensor for tensor in report.tensors if tensor.gated}
        which = "".join(f", output '{name}'" for name in sorted(measured - judged)[:1])
        met = "no input says anything about it"
        if any(tensor.by_excess for tensor in report.tensors):
            met = "every input misses the gate, and passes by its excess error alone: float32 itself is in doubt"
        raise ParityError(f"{where}, rung '{report.rung}'{which}", met, "Give well-conditioned inputs")
    worst = max(failed, key=lambda tensor: tensor.metrics.max_abs if tensor.metrics else math.inf)
    raise ParityError(
        f"{where}, rung '{report.rung}', output '{worst.tensor}', input '{worst.case}' item {worst.item}",
        f"{'; '.join(worst.failures)} ({len(failed)} of {len(report.tensors)} items fail)",
        remedy,
    )
