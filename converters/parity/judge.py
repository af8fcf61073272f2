"""Judge one item of one output: by the whole gate, or by less where the source's own float32 is in doubt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from converters.parity.gates import (
    ILL_CONDITIONED,
    ILL_CONDITIONED_LEVELS,
    ILL_CONDITIONED_PERTURBED,
    MAX_EXCESS_ALONE,
    MAX_FAR_FLOAT32,
    MAX_FLOAT64_DISAGREEMENT,
    Gate,
)
from converters.parity.metrics import Metrics, find_misses, is_integer, max_difference, measure
from converters.tensors import Array


class Verdict(Enum):
    """What came of comparing one item of one output.

    PASSED: it holds every limit of the gate; or there was nothing to measure, and known pixels came back bit for bit.
    PASSED_BY_EXCESS: it misses the gate on an ill-conditioned input, and its excess error alone is small enough.
    PASSED_AGAINST_FLOAT64: the source's float32 run is far from float64, and the file holds the gate against float64.
    NOT_JUDGED: the input is so ill-conditioned that no error says anything; only shape, type, finite values and known
        pixels were checked.
    FAILED: `TensorParity.failures` says why.
    """

    PASSED = "passed"
    PASSED_BY_EXCESS = "passed by excess"
    PASSED_AGAINST_FLOAT64 = "passed against float64"
    NOT_JUDGED = "not judged"
    FAILED = "failed"


@dataclass(frozen=True)
class Runs:
    """One item of an output, as a file and its source gave it; all arrays are of one shape.

    Attributes:
        actual: The file's.
        expected: The source's in float32.
        float64: The source's in float64, if it was run so.
        perturbed: The source's in float32 on inputs moved by one float32 step, if it was run on such.
        inside: bool, True in at least one place: where errors are measured.
        unit: Errors are in units of this.
    """

    actual: Array
    expected: Array
    float64: Array | None
    perturbed: Array | None
    inside: Array
    unit: float


def judge(runs: Runs, gate: Gate, *, float32_in_doubt: bool) -> tuple[Metrics, Verdict, list[str]]:
    """The errors, what they were judged by, and a sentence for each limit that they miss.

    An item on which float32 is well-conditioned, or that holds the whole gate, is judged by the gate. Of the others,
    one whose float64 run is near enough is judged by its excess error, and the rest is not judged; but where the source
    is a file in a runtime (`float32_in_doubt`), it must hold the gate against float64, or it misses.
    """
    metrics = measure(runs.actual, runs.expected, runs.float64, runs.inside, runs.unit, runs.perturbed)
    misses = find_misses(metrics, gate)
    comparable = _is_comparable(runs)
    if not _is_ill_conditioned(runs) or (comparable and not misses):
        return metrics, Verdict.PASSED, misses
    if comparable and gate.excess is not None:
        allowed = MAX_EXCESS_ALONE if float32_in_doubt else gate.excess
        return metrics, Verdict.PASSED_BY_EXCESS, find_misses(metrics, Gate(None, None, None, allowed))
    if not float32_in_doubt:
        return metrics, Verdict.NOT_JUDGED, []
    against = _measure_against_float64(runs, gate) if misses else None
    if against is not None:
        return against, Verdict.PASSED_AGAINST_FLOAT64, []
    return metrics, Verdict.PASSED, misses


def _measure_against_float64(runs: Runs, gate: Gate) -> Metrics | None:
    """The errors against the float64 run, if they hold the gate and the float32 run is the far one of the two."""
    if runs.float64 is None or is_integer(runs.expected):
        return None
    own = max_difference(runs.expected, runs.float64, runs.inside)
    if own > MAX_FAR_FLOAT32 * runs.unit:
        return None
    metrics = measure(runs.actual, runs.float64, None, runs.inside, runs.unit)
    metrics = replace(metrics, excess=max_difference(runs.actual, runs.float64, runs.inside) / own)
    return None if find_misses(metrics, gate) else metrics


def _is_comparable(runs: Runs) -> bool:
    """Whether the float64 run is so near to the float32 runs that an error in units of theirs says something."""
    if runs.float64 is None:
        return False
    if max_difference(runs.expected, runs.float64, runs.inside) > MAX_FLOAT64_DISAGREEMENT * runs.unit:
        return False
    return is_integer(runs.expected) or not _is_moved_far(runs)


def _is_ill_conditioned(runs: Runs) -> bool:
    """Whether float32 itself is so far from float64 on this input that agreement with it alone proves little."""
    if runs.float64 is None:
        return False
    limit = ILL_CONDITIONED_LEVELS if is_integer(runs.expected) else ILL_CONDITIONED * runs.unit
    if max_difference(runs.expected, runs.float64, runs.inside) > limit:
        return True
    return _is_moved_far(runs)


def _is_moved_far(runs: Runs) -> bool:
    """Whether one float32 step of the inputs moves the float32 output so far that agreement would be luck."""
    if runs.float64 is None or runs.perturbed is None:
        return False
    limit = ILL_CONDITIONED_LEVELS if is_integer(runs.expected) else ILL_CONDITIONED_PERTURBED * runs.unit
    return max_difference(runs.perturbed, runs.float64, runs.inside) > limit
