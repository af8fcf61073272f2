"""Compare a file's outputs with its source's, and judge each item.

Nothing is clamped or rounded before the comparison. The worst item of the worst input decides. A NaN anywhere fails.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from converters.errors import ParityError, UnjudgedError
from converters.parity.gates import Gate
from converters.parity.judge import Runs, Verdict, judge
from converters.parity.metrics import Metrics, error_unit, is_integer, plain_json
from converters.tensors import Array, Tensors

# An output of unknown range that is never larger than this passes every gate, even if a file gives 0 for it.
MAX_NEGLIGIBLE_MAGNITUDE = 1e-6
DO_NOT_USE = "The file is not what its source computes: do not use it"


@dataclass(frozen=True)
class ComparedCase:
    """One parity input: a runner's outputs, and the source's outputs in float32 and, where it can run so, in float64.

    Attributes:
        name: The parity input's.
        actual: What the runner gave, by output name.
        expected: What the source gave in float32.
        float64: What the source gave in float64; None where it does not run so.
        mask: Above 0 in the hole, broadcast to the outputs, if they are composited; None judges the whole plane.
        known: The image whose pixels outside the hole must come back bit for bit; goes with `mask`.
        relative: Whether an output's errors are in units of its largest expected magnitude.
        perturbed: The source's float32 outputs on inputs moved by one float32 step, if it was run on such.
        float32_in_doubt: Whether the source itself is a file in a runtime, whose float32 run may be the far one. Then
            no item goes unjudged, and MAX_EXCESS_ALONE replaces the gate's own limit where excess alone decides.
    """

    name: str
    actual: Tensors
    expected: Tensors
    float64: Tensors | None
    mask: Array | None = None
    known: Array | None = None
    relative: bool = False
    perturbed: Tensors | None = None
    float32_in_doubt: bool = False


@dataclass(frozen=True)
class TensorParity:
    """The verdict on one item of one output.

    Attributes:
        tensor: The output's name.
        case: The parity input's name.
        item: Its place in the batch.
        region: "hole" or "plane": where errors were measured.
        metrics: None where there is nothing to measure: an empty hole, no elements, or a shape that differs.
        verdict: FAILED exactly if there are failures.
        failures: A sentence for each limit that is missed.
    """

    tensor: str
    case: str
    item: int
    region: str
    metrics: Metrics | None
    verdict: Verdict
    failures: tuple[str, ...] = ()

    @property
    def gated(self) -> bool:
        """Whether its errors were held to the whole gate."""
        held = (Verdict.PASSED, Verdict.PASSED_AGAINST_FLOAT64, Verdict.FAILED)
        return self.metrics is not None and self.verdict in held

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        fields = {key: getattr(self, key) for key in ("tensor", "case", "item", "region")}
        metrics = None if self.metrics is None else self.metrics.to_json()
        return {**fields, "metrics": metrics, "verdict": self.verdict.value, "failures": list(self.failures)}


# A number, or "nan", "inf" or "-inf", which JSON does not have.
JsonNumber = float | str | None


@dataclass(frozen=True)
class ParitySummary:
    """The worst of each metric over all gated items of one rung, as the manifest keeps it.

    Attributes:
        rung: The rung's name.
        passed: Whether it passed.
        gate: What its outputs were held to.
        items: Items that were compared.
        judged_items: Those that carry the verdict: they were held to the gate, or to the excess error alone.
        flat_outputs: See `ParityReport.flat`.
        outside_the_profile: See `ParityReport.outside`.
        ill_conditioned_items: Items that were not judged, or passed by excess error alone.
        by_excess_items: Items that passed by excess error alone.
        max_abs: Largest absolute error; None, as the other metrics, if no item was gated.
        p99_9: Largest 99.9th percentile of the absolute error.
        psnr_db: Smallest PSNR.
        excess: Largest excess error, None without a float64 run.
        worst_case: The parity input with the largest absolute error.
    """

    rung: str
    passed: bool
    gate: Gate
    items: int
    judged_items: int
    flat_outputs: tuple[str, ...]
    outside_the_profile: tuple[str, ...]
    ill_conditioned_items: int
    by_excess_items: int
    max_abs: JsonNumber
    p99_9: JsonNumber
    psnr_db: JsonNumber
    excess: JsonNumber
    worst_case: str | None


@dataclass(frozen=True)
class ParityReport:
    """One rung of the ladder.

    Attributes:
        rung: Its name.
        gate: What its outputs were held to.
        tensors: Every item of every output on every input.
        flat: Outputs that should be (nearly) one number throughout: a file may give that number and compute anything.
        outside: Inputs whose size the file, or an engine's profile, does not take.
    """

    rung: str
    gate: Gate
    tensors: tuple[TensorParity, ...]
    flat: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True if every output that was measured was gated on some item, and nothing failed."""
        gated = {tensor.tensor for tensor in self.tensors if tensor.gated}
        measured = {tensor.tensor for tensor in self.tensors if tensor.metrics is not None}
        return bool(gated) and gated >= measured and not self.count(Verdict.FAILED)

    def count(self, verdict: Verdict) -> int:
        """How many items have this verdict."""
        return sum(tensor.verdict is verdict for tensor in self.tensors)

    def join(self, other: ParityReport) -> ParityReport:
        """One report for the inputs of both, which are of the same rung; flat is what is flat in both."""
        flat = tuple(name for name in self.flat if name in other.flat)
        tensors, outside = (*self.tensors, *other.tensors), (*self.outside, *other.outside)
        return replace(self, tensors=tensors, flat=flat, outside=outside)

    def describe_verdict(self) -> str:
        """Passed or not, and how many items were not held to the whole gate.

        Where fewer than half of the items carry the verdict, it is no plain "passed".
        """
        if not self.passed:
            return "**FAILED**"
        items = len(self.tensors)
        counts = (
            (self.count(Verdict.PASSED_BY_EXCESS), "by excess error alone"),
            (self.count(Verdict.PASSED_AGAINST_FLOAT64), "against float64, ONNX Runtime being the far one"),
            (self.count(Verdict.NOT_JUDGED), "ill-conditioned and not judged"),
        )
        few = [f"{count} {how}" for count, how in counts if count]
        said = [f"of {items} items {', '.join(few)}"] if few else []
        said += [f"output '{name}' is nearly one number throughout, which proves little" for name in self.flat]
        judged = items - self.count(Verdict.NOT_JUDGED)
        verdict = "passed" if 2 * judged >= items else f"passed on {judged} of {items}"
        return f"{verdict} ({'; '.join(said)})" if said else verdict

    def summarize(self) -> ParitySummary:
        """The worst of each metric over all gated items."""
        gated = [(tensor, tensor.metrics) for tensor in self.tensors if tensor.gated and tensor.metrics is not None]
        worst = max(gated, key=lambda pair: pair[1].max_abs, default=None)
        by_excess = self.count(Verdict.PASSED_BY_EXCESS)
        excesses = [metrics.excess for _, metrics in gated if metrics.excess is not None]
        return ParitySummary(
            self.rung,
            self.passed,
            self.gate,
            len(self.tensors),
            len(self.tensors) - self.count(Verdict.NOT_JUDGED),
            self.flat,
            self.outside,
            ill_conditioned_items=self.count(Verdict.NOT_JUDGED) + by_excess,
            by_excess_items=by_excess,
            max_abs=plain_json(max((metrics.max_abs for _, metrics in gated), default=None)),
            p99_9=plain_json(max((metrics.p99_9 for _, metrics in gated), default=None)),
            psnr_db=plain_json(min((metrics.psnr_db for _, metrics in gated), default=math.inf)),
            excess=plain_json(max(excesses, default=None)),
            worst_case=None if worst is None else worst[0].case,
        )

    def to_json(self) -> dict[str, Any]:
        """The summary and every item, as plain JSON types."""
        return {**msgspec.to_builtins(self.summarize()), "tensors": [tensor.to_json() for tensor in self.tensors]}


def compare(rung: str, gate: Gate, cases: Sequence[ComparedCase]) -> ParityReport:
    """Judge every item of every output of every case; a miss is in the report, not raised."""
    tensors = []
    for case in cases:
        for name in sorted(case.expected.keys() | case.actual.keys()):
            tensors.extend(_compare_tensor(name, gate, case))
    flat = sorted({tensor.tensor for tensor in tensors if _is_flat(tensor.tensor, cases)})
    return ParityReport(rung, gate, tuple(tensors), tuple(flat))


def _is_flat(name: str, cases: Sequence[ComparedCase]) -> bool:
    """Whether the expected output is one number throughout, or has an unknown range and is too small for any gate."""
    expected = [case.expected[name] for case in cases if name in case.expected and case.expected[name].size]
    if all(bool((array == expected[0].flat[0]).all()) for array in expected):
        return True
    unseen = MAX_NEGLIGIBLE_MAGNITUDE if cases[0].relative and not is_integer(expected[0]) else 0
    return all(bool((np.abs(array) <= unseen).all()) for array in expected)


def broadcast_hole(mask: Array, image: Array) -> Array:
    """The hole as bool: True where `mask` is above 0.

    A mask with one axis less than the image, (N, H, W), gets a last axis: (N, H, W, 1).
    """
    hole: Array = mask > 0
    return hole[..., np.newaxis] if hole.ndim < image.ndim else hole


def _compare_tensor(name: str, gate: Gate, case: ComparedCase) -> list[TensorParity]:
    def refuse(reason: str) -> list[TensorParity]:
        return [TensorParity(name, case.name, 0, "plane", None, Verdict.FAILED, (reason,))]

    if name not in case.actual:
        return refuse("the output is missing")
    if name not in case.expected:
        return refuse("its source has no such output")
    actual, expected = case.actual[name], case.expected[name]
    if actual.shape != expected.shape:
        return refuse(f"its shape is {actual.shape}, its source's {expected.shape}")
    if actual.dtype != expected.dtype:
        return refuse(f"its dtype is {actual.dtype}, its source's {expected.dtype}")
    if case.known is not None and case.mask is not None:
        if actual.shape != case.known.shape:
            return refuse(f"its shape is {actual.shape}, the known image's {case.known.shape}")
        if not _broadcasts(case.mask, actual):
            return refuse(f"its shape is {actual.shape}, the hole's {case.mask.shape}")
    if actual.ndim == 0:
        return [_compare_item(name, gate, case, None)]
    return [_compare_item(name, gate, case, item) for item in range(len(actual))]


def _broadcasts(mask: Array, output: Array) -> bool:
    """Whether numpy broadcasts the mask to the output's shape, item by item."""
    try:
        return len(mask) == len(output) and bool(np.broadcast_to(mask, output.shape).shape)
    except ValueError:
        return False


def _compare_item(name: str, gate: Gate, case: ComparedCase, index: int | None) -> TensorParity:
    """Compare item `index` of an output; None if the output has no axes."""
    item = index or 0

    def pick(tensors: Tensors | None) -> Array | None:
        return None if tensors is None else np.asarray(tensors[name] if index is None else tensors[name][index])

    actual, expected, float64, perturbed = map(pick, (case.actual, case.expected, case.float64, case.perturbed))
    assert actual is not None
    assert expected is not None
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
    metrics, verdict = None, Verdict.PASSED
    if inside.any():  # else there is no hole, or the output has no elements
        unit = error_unit(expected, case.expected[name]) if case.relative else 1
        runs = Runs(actual, expected, float64, perturbed, inside, unit)
        metrics, verdict, misses = judge(runs, gate, float32_in_doubt=case.float32_in_doubt)
        failures += misses
    return TensorParity(
        name, case.name, item, region, metrics, Verdict.FAILED if failures else verdict, tuple(failures)
    )


def require_passed(report: ParityReport, where: object, remedy: str = DO_NOT_USE) -> None:
    """Refuse a report that misses its gate.

    Raises:
        ParityError: names the rung, the input and the numbers.
        UnjudgedError: on no input was there anything to compare.
    """
    failed = [tensor for tensor in report.tensors if tensor.failures]
    if report.passed:
        return
    if not failed:
        measured = {tensor.tensor for tensor in report.tensors if tensor.metrics is not None}
        judged = {tensor.tensor for tensor in report.tensors if tensor.gated}
        which = "".join(f", output '{name}'" for name in sorted(measured - judged)[:1])
        at, remedy = f"{where}, rung '{report.rung}'{which}", "Give others, an ONNX file's with --inputs FILE.npz"
        if report.count(Verdict.PASSED_BY_EXCESS):
            met = "every input misses the gate, and passes by its excess error alone: float32 itself is in doubt"
            raise ParityError(at, met, remedy)
        raise UnjudgedError(at, "no input says anything about it", remedy)
    worst = max(failed, key=lambda tensor: tensor.metrics.max_abs if tensor.metrics else math.inf)
    raise ParityError(
        f"{where}, rung '{report.rung}', output '{worst.tensor}', input '{worst.case}' item {worst.item}",
        f"{'; '.join(worst.failures)} ({len(failed)} of {len(report.tensors)} items fail)",
        remedy,
    )
