"""Prove a finished bundle against the checkpoint it was made from, on the long set of inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from converters.bundle import read_bundle
from converters.checkpoint import read_checkpoint
from converters.errors import BundleError, UnrunnableError
from converters.parity import ParityReport
from converters.parity_inputs import MakeInputs, ParityInput, short_inputs
from converters.pipeline import build_stages, order_stages, run_reference
from converters.targets import TARGETS
from converters.verify import read_gate
from reference import identify


def prove(
    folder: Path, checkpoints: Sequence[Path], make_inputs: MakeInputs, progress: Callable[[str], None]
) -> tuple[list[ParityReport], tuple[ParityInput, ...], dict[str, str]]:
    """Reports per target of the bundle that runs here, what they were judged on, and why the others do not run.

    Args:
        folder: The bundle.
        checkpoints: What it was made from: one, or a pipeline's.
        make_inputs: Makes what to judge on.

    A bundle of static shapes is also judged on the short set at its own size.
    The bundle's hashes are not looked at: that is `verify`. A report that misses its gate is returned, not raised.

    Raises:
        BundleError: the bundle was made from other checkpoints.
    """
    bundle = read_bundle(folder)
    read = [read_checkpoint(path) for path in checkpoints]
    known = {source["sha256"]: source["file"] for source in bundle.manifest["sources"]}
    for checkpoint in read:
        if checkpoint.sha256 not in known:
            raise BundleError(
                folder,
                f"it was made from another checkpoint than {checkpoint.path.name} (sha256 differs)",
                "Name the checkpoint it was made from",
            )
    if len(read) != len(known):
        raise BundleError(
            folder,
            f"it was made from {' and '.join(known.values())}, of which {len(read)} were given",
            "Name each with --checkpoint",
        )
    stages = [(identify(checkpoint), checkpoint) for checkpoint in read]
    if len(stages) == 1:
        model = stages[0][0].build(stages[0][1], raw=bundle.manifest["raw"])
    else:
        model = build_stages(*order_stages(stages))
    inputs = make_inputs(model.inputs)
    static_size = bundle.manifest["contract"]["static_size"]
    if static_size is not None:  # inputs of another size cannot be run
        inputs = (*short_inputs(model.inputs, tuple(static_size)), *inputs)
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
        gate = read_gate(folder, artifact)
        paths = [folder / file for file in artifact["files"]]
        try:
            with target.open(paths, bundle.inputs, bundle.outputs) as runner:
                reports += expected.compare(target.name, gate, runner)
        except UnrunnableError as error:
            unverified[target.name] = f"numbers not checked: {error.met}"
    return reports, inputs, unverified
