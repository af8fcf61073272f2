"""Check a bundle that somebody was given: its hashes, then its golden case on every runtime present."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from converters.bundle.checksums import verify_hashes
from converters.bundle.folder import Bundle, read_bundle
from converters.bundle.run_artifact import NotRun, run_artifact
from converters.errors import BundleError
from converters.parity.compare import ParityReport, require_passed
from converters.parity.expected import ReferenceOutputs
from converters.parity.gates import require_gate
from converters.targets.target import Artifact

REMEDY = "Do not use it: convert its source again"


@dataclass(frozen=True)
class Replay:
    """One artifact's output on the golden case.

    Attributes:
        target: The artifact's target.
        max_abs: Largest absolute error where the output is judged; None if nothing was measured.
        skipped: Why nothing was measured.
        output: Name of the output; None if none was compared.
    """

    target: str
    max_abs: float | None
    skipped: str | None
    output: str | None = None


@dataclass(frozen=True)
class GoldenCase:
    """The golden case, as a report names it."""

    sha256: str
    name: str = "golden"


def verify(folder: Path) -> tuple[Replay, ...]:
    """Verify hashes, then replay the golden case on every runtime present.

    Raises:
        BundleError: a file is missing, altered or not listed.
        ParityError: an artifact does not reproduce the golden outputs.
    """
    verify_hashes(folder)
    return tuple(replay(read_bundle(folder)))


def replay(bundle: Bundle) -> Iterator[Replay]:
    """Run the golden case on each artifact in turn, and judge it as a conversion does, but for the excess error.

    Raises:
        BundleError: a file of the bundle is damaged.
        ParityError: an output misses its gate, or known pixels do not come back bit for bit; or the golden outputs
            themselves are no such answer.
    """
    _require_judging(bundle)
    feeds, outputs = bundle.golden()
    digest = hashlib.sha256(b"".join(feeds[name].tobytes() for name in sorted(feeds)))
    named = (GoldenCase(digest.hexdigest()),)
    policies = bundle.manifest.judging
    golden = ReferenceOutputs(bundle.signature.outputs, named, (feeds,), (outputs,), None, policies=policies)
    for report in golden.compare_outputs("golden", "equal", [(0, outputs)]):
        _require_passed(report, bundle.folder)
    for artifact in bundle.manifest.artifacts:
        require_gate(bundle.folder, artifact.gate)
        yield from _replay_artifact(bundle, artifact, golden)


def _require_judging(bundle: Bundle) -> None:
    """
    Raises:
        BundleError: the manifest judges an output by a gate that is not known, or in a hole that no input tells of.
    """
    inputs = {spec.name for spec in bundle.signature.inputs}
    for output, policy in bundle.manifest.judging.items():
        if policy.gate is not None:
            require_gate(bundle.folder, policy.gate)
        if policy.known is not None and not {policy.known, "mask"} <= inputs:
            met = (
                f"the hole of its output '{output}' follows from '{policy.known}' and 'mask', which are no inputs both"
            )
            raise BundleError(bundle.folder, met, "Convert its source again")


def _replay_artifact(bundle: Bundle, artifact: Artifact, golden: ReferenceOutputs) -> Iterator[Replay]:
    target = artifact.target
    reports = run_artifact(bundle, artifact, lambda runner: golden.compare(target, artifact.gate, runner))
    if isinstance(reports, NotRun):
        yield Replay(target, None, reports.why)
        return
    for report in reports:
        if report.outside:
            yield Replay(target, None, "golden case not run: its size lies outside the engine's profile")
            continue
        _require_passed(report, bundle.folder)
        yield from _summarize(report, target)


def _require_passed(report: ParityReport, folder: Path) -> None:
    """Refuse a report that fails; one that had nothing to measure, as of an output without elements, passes."""
    if any(tensor.metrics is not None or tensor.failures for tensor in report.tensors):
        require_passed(report, folder, REMEDY)


def _summarize(report: ParityReport, target: str) -> Iterator[Replay]:
    """A row for each output."""
    for name in dict.fromkeys(tensor.tensor for tensor in report.tensors):
        errors = [tensor.metrics.max_abs for tensor in report.tensors if tensor.tensor == name and tensor.metrics]
        why = None if errors else f"golden output '{name}' has no elements to judge"
        yield Replay(target, max(errors, default=None), why, name)
