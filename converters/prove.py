"""Prove a finished bundle against what it was made from, on more inputs than a conversion runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from converters.bundle.folder import read_bundle
from converters.convert import build_stages, order_stages
from converters.errors import BundleError, UnrunnableError
from converters.parity.compare import ParityReport
from converters.parity.expected import NamedInput, ReferenceOutputs, run_reference
from converters.parity.inputs import MakeInputs, short_inputs
from converters.sources.onnx_file import SUFFIX as ONNX_SUFFIX
from converters.sources.onnx_file import read_onnx
from converters.sources.onnx_source import OnnxSource
from converters.verify import read_target, require_gate
from reference.checkpoint import read_checkpoint
from reference.registry import identify


def prove(
    folder: Path,
    sources: Sequence[Path],
    make_inputs: MakeInputs,
    progress: Callable[[str], None],
    npz: Path | None = None,
) -> tuple[list[ParityReport], Sequence[NamedInput], dict[str, str]]:
    """Reports per target of the bundle that runs here, what they were judged on, and why the others do not run.

    Args:
        folder: The bundle.
        sources: What it was made from: a checkpoint, a pipeline's, or an ONNX file.
        make_inputs: Makes what a checkpoint's bundle is judged on.
        npz: Arrays to judge an ONNX file's bundle on, instead of seeded numbers.

    A bundle of static shapes is also judged on the short set at its own size.
    The bundle's hashes are not looked at: that is `verify`. A report that misses its gate is returned, not raised.

    Raises:
        BundleError: the bundle was made from other files.
    """
    bundle = read_bundle(folder)
    progress("running what the bundle was made from")
    if any(path.suffix == ONNX_SUFFIX for path in sources):
        expected = _expect_onnx(folder, bundle.manifest, sources, npz)
    else:
        expected = _expect_torch(folder, bundle.manifest, sources, make_inputs)
    reports = []
    built = {artifact["target"] for artifact in bundle.manifest["artifacts"]}
    unverified = {name: why for name, why in bundle.manifest["not_verified"].items() if name not in built}
    for artifact in bundle.manifest["artifacts"]:
        target = read_target(folder, artifact)
        missing = target.missing_verifier()
        if missing is not None:
            unverified[target.name] = missing
            continue
        progress(f"proving {target.name}")
        require_gate(folder, artifact["gate"])
        paths = [folder / file for file in artifact["files"]]
        try:
            with target.open(paths, bundle.inputs, bundle.outputs) as runner:
                reports += expected.compare(target.name, artifact["gate"], runner)
        except UnrunnableError as error:
            unverified[target.name] = f"numbers not checked: {error.met}"
    return reports, expected.inputs, unverified


def _expect_torch(
    folder: Path, manifest: Mapping[str, Any], sources: Sequence[Path], make_inputs: MakeInputs
) -> ReferenceOutputs:
    read = [read_checkpoint(path) for path in sources]
    _require_sources(folder, manifest, {checkpoint.path: checkpoint.sha256 for checkpoint in read})
    stages = [(identify(checkpoint), checkpoint) for checkpoint in read]
    if len(stages) == 1:
        model = stages[0][0].build(stages[0][1], raw=manifest["raw"])
    else:
        model = build_stages(*order_stages(stages))
    inputs = make_inputs(model.inputs)
    static_size = manifest["contract"]["static_size"]
    if static_size is not None:  # inputs of another size cannot be run
        inputs = (*short_inputs(model.inputs, tuple(static_size)), *inputs)
    return run_reference(model, inputs)


def _expect_onnx(
    folder: Path, manifest: Mapping[str, Any], sources: Sequence[Path], npz: Path | None
) -> ReferenceOutputs:
    files = [read_onnx(path) for path in sources]
    _require_sources(folder, manifest, {file.path: file.sha256 for file in files})
    size = manifest["contract"]["static_size"]
    return OnnxSource(files[0], None if size is None else tuple(size), npz).expect()


def _require_sources(folder: Path, manifest: Mapping[str, Any], given: Mapping[Path, str]) -> None:
    known = {source["sha256"]: source["file"] for source in manifest["sources"]}
    for path, sha256 in given.items():
        if sha256 not in known:
            raise BundleError(
                folder,
                f"it was made from another file than {path.name} (sha256 differs)",
                "Name the file it was made from",
            )
    if len(given) != len(known):
        raise BundleError(
            folder,
            f"it was made from {' and '.join(known.values())}, of which {len(given)} were given",
            "Name each with --checkpoint",
        )
