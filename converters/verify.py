"""Check a bundle that somebody was given: its hashes, then its goldens on every runtime present."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.bundle.folder import Bundle, read_bundle, verify_hashes
from converters.errors import BundleError, ParityError, ProfileError, UnrunnableError
from converters.parity.gates import GATES
from converters.parity.metrics import Metrics, error_unit, find_misses, measure
from converters.targets.registry import TARGETS, Target


@dataclass(frozen=True)
class Replay:
    """One artifact against the golden case: its metrics, or why it was not run."""

    target: str
    metrics: Metrics | None
    skipped: str | None


def verify(folder: Path) -> tuple[Replay, ...]:
    """Verify hashes, then replay the golden case on every runtime present.

    Raises:
        BundleError: a file is missing, altered or not listed.
        ParityError: an artifact does not reproduce the golden outputs.
    """
    verify_hashes(folder)
    return tuple(replay(read_bundle(folder)))


def read_target(folder: Path, artifact: Mapping[str, Any]) -> Target:
    """The target that an artifact of a manifest is of.

    Raises:
        BundleError: there is no such target.
    """
    if artifact["target"] not in TARGETS:
        raise BundleError(folder, f"its target '{artifact['target']}' is not known", "Update ganport")
    return TARGETS[artifact["target"]]


def require_gate(folder: Path, gate: str) -> None:
    """
    Raises:
        BundleError: there is no such gate.
    """
    if gate not in GATES:
        raise BundleError(folder, f"its gate '{gate}' is not known", "Update ganport")


def replay(bundle: Bundle) -> Iterator[Replay]:
    """Run the golden case on each artifact in turn.

    Raises:
        BundleError: a file of the bundle is damaged.
        ParityError: an output differs by more than the gate of its target allows.
    """
    feeds, expected = bundle.golden()
    for artifact in bundle.manifest["artifacts"]:
        target = read_target(bundle.folder, artifact)
        require_gate(bundle.folder, artifact["gate"])
        skipped = target.missing_verifier()
        if skipped is not None:
            yield Replay(target.name, None, skipped)
            continue
        paths = [bundle.folder / file for file in artifact["files"]]
        try:
            with target.open(paths, bundle.inputs, bundle.outputs) as runner:
                actual = runner.run(feeds)
        except (UnrunnableError, ProfileError) as error:
            yield Replay(target.name, None, f"golden case not run: {error.met}")
            continue
        for name, array in expected.items():
            if (actual[name].shape, actual[name].dtype) != (array.shape, array.dtype):
                raise ParityError(
                    f"{bundle.folder}, {target.name}, output '{name}'",
                    f"it is {actual[name].shape} {actual[name].dtype}, golden {array.shape} {array.dtype}",
                    "Do not use it: convert its source again",
                )
            if not array.size:
                yield Replay(target.name, None, f"golden output '{name}' has no elements")
                continue
            judging = bundle.manifest["judging"].get(name, {})
            metrics = measure(actual[name], array, unit=error_unit(array) if judging.get("relative") else 1)
            gate = judging.get("gate") or artifact["gate"]
            require_gate(bundle.folder, gate)
            misses = find_misses(metrics, GATES[gate])
            if metrics.non_finite or misses:
                raise ParityError(
                    f"{bundle.folder}, {target.name}, output '{name}'",
                    f"the golden case gives {'; '.join(misses) or 'values that are not finite'}",
                    "Do not use it: convert its source again",
                )
            yield Replay(target.name, metrics, None)
