"""Whether an artifact runs on this machine: the one answer for every command that runs a bundle's files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from converters.bundle.checksums import MANIFEST, require_unchanged
from converters.bundle.folder import Bundle
from converters.errors import BundleError, MissingPackageError, UnrunnableError, explain_unforeseen
from converters.runners import Runner
from converters.targets.registry import find_target
from converters.targets.target import Artifact
from converters.tensors import Signature

T = TypeVar("T")


class Files(Protocol):
    """Where artifacts lie, and what they take and give: a bundle, finished or not."""

    @property
    def folder(self) -> Path: ...

    @property
    def signature(self) -> Signature: ...


@dataclass(frozen=True)
class NotRun:
    """Why an artifact does not run on this machine."""

    why: str


def why_not_run(bundle: Files, artifact: Artifact) -> str | None:
    """What is missing on this machine to run an artifact; None if nothing is.

    Raises:
        BundleError: its target is not known.
    """
    return find_target(bundle.folder, artifact.target).missing_verifier()


def open_artifact(bundle: Files, artifact: Artifact, threads: int | None = None) -> Runner | NotRun:
    """A runner on an artifact's files, or why there is none.

    Args:
        bundle: Holds the artifact's files.
        artifact: One of the bundle's.
        threads: Size of the thread pool, where the runtime takes it at this point.

    Raises:
        BundleError: its target is not known; a file of a finished bundle is missing, altered, not listed in
            SHA256SUMS or outside of the bundle; or the runtime does not read a file.
    """
    if isinstance(bundle, Bundle):
        require_unchanged(bundle.folder, (MANIFEST, *artifact.files))
    missing = why_not_run(bundle, artifact)
    if missing is not None:
        return NotRun(missing)
    target = find_target(bundle.folder, artifact.target)
    try:
        with explain_unforeseen(BundleError, f"{bundle.folder}, {artifact.target}"):
            return target.open([bundle.folder / file for file in artifact.files], bundle.signature, threads)
    except (MissingPackageError, UnrunnableError) as error:
        return _explain(error)


def run_artifact(bundle: Files, artifact: Artifact, use: Callable[[Runner], T]) -> T | NotRun:
    """What `use` makes of an artifact's runner, or why the artifact does not run on this machine.

    Raises:
        BundleError: see open_artifact.
    """
    runner = open_artifact(bundle, artifact)
    if isinstance(runner, NotRun):
        return runner
    try:
        with explain_unforeseen(BundleError, f"{bundle.folder}, {artifact.target}"), runner:
            return use(runner)
    except UnrunnableError as error:
        return _explain(error)


def _explain(error: MissingPackageError | UnrunnableError) -> NotRun:
    return NotRun(f"numbers not checked: {error.met}")
