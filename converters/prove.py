"""Prove a finished bundle against the checkpoint it was made from, on the long set of inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from converters.bundle import read_bundle
from converters.checkpoint import read_checkpoint
from converters.errors import BundleError, UnrunnableError
from converters.parity import ParityReport
from converters.parity_inputs import ParityInput, short_inputs
from converters.pipeline import run_reference
from converters.targets import TARGETS
from reference import identify


def prove(
    folder: Path, checkpoint: Path, inputs: Sequence[ParityInput], progress: Callable[[str], None]
) -> tuple[list[ParityReport], dict[str, str]]:
    """One report per target of the bundle that runs here, and why the others do not.

    A bundle of static shapes is also judged on the short set at its own size.
    The bundle's hashes are not looked at: that is `verify`. A report that misses its gate is returned, not raised.

    Raises:
        BundleError: the bundle was made from another checkpoint.
    """
    bundle = read_bundle(folder)
    source = read_checkpoint(checkpoint)
    if source.sha256 != bundle.manifest["source"]["sha256"]:
        raise BundleError(
            folder,
            f"it was made from another checkpoint than {checkpoint.name} (sha256 differs)",
            "Name the checkpoint it was made from",
        )
    model = identify(source).build(source, raw=bundle.manifest["raw"])
    static_size = bundle.manifest["contract"]["static_size"]
    if static_size is not None:  # inputs of another size cannot be run
        inputs = (*short_inputs(tuple(static_size)), *inputs)
    progress(f"running the torch module on {len(inputs)} inputs in float32 and float64")
    expected = run_reference(model, inputs)
    reports, unverified = [], {}
    for artifact in bundle.manifest["artifacts"]:
        target = TARGETS[artifact["target"]]
        missing = target.missing_verifier()
        if missing is not None:
            unverified[target.name] = missing
            continue
        progress(f"proving {target.name}")
        paths = [folder / file for file in artifact["files"]]
        try:
            with target.open(paths, bundle.inputs, bundle.outputs) as runner:
                reports.append(expected.compare(target.name, target.gate, runner))
        except UnrunnableError as error:
            unverified[target.name] = f"numbers not checked: {error.met}"
    return reports, unverified
