"""Compare what a file computes with what its source computes, and judge it.

Nothing is clamped or rounded before it is compared; the worst item of the worst input decides; a NaN fails anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from converters.errors import ParityError
from converters.parity.gates import (
    EXCESS_ALONE,
    ILL_CONDITIONED,
    ILL_CONDITIONED_LEVELS,
    ILL_CONDITIONED_PERTURBED,
    MAX_FLOAT64_DISAGREEMENT,
    Gate,
)
from converters.parity.metrics import Metrics, error_unit, find_misses, is_integer, max_difference, measure, plain_json
from converters.tensors import Array, Tensors

# Magnitude of an output of unknown range that is within every gate of 0.
MAX_NEGLIGIBLE_MAGNITUDE = 1e-6
DO_NOT_USE = "The file is not what its source computes: do not use it"


@dataclass(frozen=True)
class ComparedCase:
    """One parity input: a runner's outputs, the standard's in float32 and, if it runs so, in float64.

    Attributes:
        mask: The hole where above 0, broadcast to the outputs, if they are composited; None judges the whole plane.
        known: The image whose known pixels must come back bit for bit; goes with `mask`.
        relative: Whether an output's errors are in units of its largest expected magnitude.
        perturbed: The standard's float32 outputs on the inputs moved by one float32 step, if it was run on such.
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
    perturbed: Tensors | None = None
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
        flat: Outputs that should be (nearly) one number throughout: what gives that passes, whatever it computes.
        outside: Inputs whose size the file, or an engine's profile, does not take.
    """

    rung: str
    gate: Gate
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
        said += [f"output '{name}' is nearly one number throughout, which proves little" for name in self.flat]
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
            **{key: plain_json(value) for key, value in worst.items()},
            "worst_case": None if self.worst is None else self.worst.case,
        }

    def to_json(self) -> dict[str, Any]:
        return {**self.summary(), "tensors": [tensor.to_json() for tensor in self.tensors]}


def _max_abs(tensor: TensorParity) -> float:
    assert tensor.metrics is not None
    return tensor.metrics.max_abs


def compare(rung: str, gate: Gate, cases: Sequence[ComparedCase]) -> ParityReport:
    """Judge every item of every output of every case; a miss is in the report, not raised."""
    tensors = []
    for case in cases:
        for name in sorted(case.expected.keys() | case.actual.keys()):
            tensors.extend(_compare_tensor(name, gate, case))
    flat = sorted({tensor.tensor for tensor in tensors if _is_flat(tensor.tensor, cases)})
    return ParityReport(rung, gate, tuple(tensors), tuple(flat))


def _is_flat(name: str, cases: Sequence[ComparedCase]) -> bool:
    """Whether it is one number throughout, or, of an unknown range, nothing that a gate would see."""
    expected = [case.expected[name] for case in cases if name in case.expected and case.expected[name].size]
    if all(bool((array == expected[0].flat[0]).all()) for array in expected):
        return True
    unseen = MAX_NEGLIGIBLE_MAGNITUDE if cases[0].relative and not is_integer(expected[0]) else 0
    return all(bool((np.abs(array) <= unseen).all()) for array in expected)


def broadcast_hole(mask: Array, image: Array) -> Array:
    """Where `mask` is above 0, in as many axes as the image has: channels first (N, 1, H, W), or last (N, H, W, 1)."""
    hole: Array = mask > 0
    return hole[..., np.newaxis] if hole.ndim < image.ndim else hole


def _compare_tensor(name: str, gate: Gate, case: ComparedCase) -> list[TensorParity]:
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


def _compare_item(name: str, gate: Gate, case: ComparedCase, index: int | None) -> TensorParity:
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
    unit = error_unit(expected, case.expected[name]) if case.relative else 1
    perturbed = None if case.perturbed is None else pick(case.perturbed)
    metrics = measure(actual, expected, float64, inside, unit, perturbed)
    limit = ILL_CONDITIONED_LEVELS if is_integer(expected) else ILL_CONDITIONED * unit
    ill_conditioned = float64 is not None and max_difference(expected, float64, inside) > limit
    if float64 is not None and perturbed is not None and not is_integer(expected):
        ill_conditioned |= max_difference(perturbed, float64, inside) > ILL_CONDITIONED_PERTURBED * unit
    if case.excess_decides:
        misses = find_misses(metrics, gate)
        trusted = float64 is not None and max_difference(expected, float64, inside) <= MAX_FLOAT64_DISAGREEMENT * unit
        by_excess = bool(misses) and ill_conditioned and trusted and gate.excess is not None
        failures += find_misses(metrics, Gate(None, None, None, EXCESS_ALONE)) if by_excess else misses
        return TensorParity(name, case.name, item, region, metrics, by_excess, tuple(failures), by_excess)
    if not ill_conditioned:
        failures += find_misses(metrics, gate)
    return TensorParity(name, case.name, item, region, metrics, ill_conditioned, tuple(failures))


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
