"""Prove a finished bundle against what it was made from, on more inputs than a conversion runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from converters.bundle.folder import Bundle, read_bundle
from converters.bundle.run_artifact import NotRun, run_artifact
from converters.errors import BundleError
from converters.parity.compare import ParityReport
from converters.parity.expected import NamedInput, ReferenceOutputs
from converters.parity.gates import require_gate
from converters.parity.inputs import MakeInputs, ParityInput, short_inputs
from converters.parity.report import EXCESS
from converters.runners import Runner
from converters.sources.onnx_file import SUFFIX as ONNX_SUFFIX
from converters.sources.onnx_file import read_onnx
from converters.sources.onnx_source import OnnxSource
from converters.sources.source import MODULE_ARCHITECTURE
from converters.targets.target import Artifact
from reference.checkpoint import read_checkpoint
from reference.model import PHOTO_SUFFIX
from reference.registry import identify_model

if TYPE_CHECKING:
    from torch import nn

# Inputs are run in groups of about so many pixels: more than the long set has, and little enough for any memory.
GROUP_PIXELS = 2**21
# Of a module's numbers; its conversion has those from 0 on.
PROVE_SEED = 100


@dataclass(frozen=True)
class JudgedInput:
    """A parity input, as a report names it."""

    name: str
    sha256: str


def prove(
    folder: Path,
    sources: Sequence[Path],
    make_inputs: MakeInputs,
    report_progress: Callable[[str], None],
    npz: Path | None = None,
) -> tuple[list[ParityReport], Sequence[NamedInput], dict[str, str]]:
    """Compare every artifact of a bundle with the bundle's source; the bundle's hashes are not looked at.

    Args:
        folder: The bundle.
        sources: What it was made from: a checkpoint, a pipeline's checkpoints, or an ONNX file.
        make_inputs: Makes the parity inputs of a checkpoint's bundle, which are run in groups of GROUP_PIXELS. A bundle
            of static shapes is also judged on the short set at its own size.
        report_progress: Told of each step as it begins.
        npz: Arrays to judge an ONNX file's bundle on, instead of seeded numbers.

    Returns:
        Reports, those that miss their gate included; the parity inputs; and why targets were not run, by name.

    Raises:
        BundleError: the bundle was made from other files.
    """
    bundle = read_bundle(folder)
    if bundle.manifest.architecture == MODULE_ARCHITECTURE:
        raise BundleError(
            folder,
            "it was made from a torch module",
            f"Prove it in Python, with that module: ganport.prove({str(folder)!r}, module=make_generator().eval())",
        )
    report_progress("running what the bundle was made from")
    if any(path.suffix == ONNX_SUFFIX for path in sources):
        groups = iter([_run_onnx(bundle, sources, npz)])
    else:
        groups = _run_torch(bundle, sources, make_inputs)
    return _judge(bundle, groups, report_progress)


def prove_module(
    folder: Path, module: nn.Module, report_progress: Callable[[str], None]
) -> tuple[list[ParityReport], Sequence[NamedInput], dict[str, str]]:
    """Compare every artifact of a module's bundle with the module, on other numbers than the conversion did.

    Args:
        folder: The bundle.
        module: A torch module with the state dict that the bundle was made from.
        report_progress: Told of each step as it begins.

    Returns:
        See prove.

    Raises:
        BundleError: the bundle was made from something else.
        FeedError: the module does not take what the bundle's contract says.
    """
    from converters.sources.module_source import open_module
    from converters.sources.own_module import MODULE_FORMAT, read_module

    bundle = read_bundle(folder)
    signature, policies = bundle.signature, bundle.manifest.judging
    known = {name: policy.known for name, policy in policies.items() if policy.known is not None}
    own = read_module(module, {spec.name: spec for spec in signature.inputs}, signature.outputs, known)
    made_from = {source.sha256 for source in bundle.manifest.sources if source.format == MODULE_FORMAT}
    if own.sources[0].sha256 not in made_from:
        raise BundleError(
            folder, "it was made from another module (its state dict differs)", "Give the one it was made from"
        )
    report_progress("running what the bundle was made from")
    return _judge(bundle, iter([open_module(own, seed=PROVE_SEED).run_inputs()]), report_progress)


def _judge(
    bundle: Bundle, groups: Iterator[ReferenceOutputs], report_progress: Callable[[str], None]
) -> tuple[list[ParityReport], Sequence[NamedInput], dict[str, str]]:
    manifest = bundle.manifest
    unverified = {name: why for name, why in manifest.not_verified.items() if manifest.find_artifact(name) is None}
    unverified.pop(EXCESS, None)
    judged: list[JudgedInput] = []
    reports: dict[str, dict[str, ParityReport]] = {artifact.target: {} for artifact in manifest.artifacts}
    for expected in groups:
        if expected.no_float64 is not None:
            unverified[EXCESS] = expected.no_float64
        judged += (JudgedInput(given.name, given.sha256) for given in expected.inputs)
        for artifact in manifest.artifacts:
            if artifact.target in unverified:
                continue
            report_progress(f"proving {artifact.target}{'' if len(judged) < 2 else f', {len(judged)} inputs'}")
            require_gate(bundle.folder, artifact.gate)
            found = run_artifact(bundle, artifact, partial(_compare, expected, artifact))
            if isinstance(found, NotRun):
                unverified[artifact.target] = found.why
                continue
            ours = reports[artifact.target]
            ours |= {new.rung: ours[new.rung].join(new) if new.rung in ours else new for new in found}
    proven = [report for target, ours in reports.items() if target not in unverified for report in ours.values()]
    return proven, judged, unverified


def _compare(expected: ReferenceOutputs, artifact: Artifact, runner: Runner) -> list[ParityReport]:
    return expected.compare(artifact.target, artifact.gate, runner)


def _run_torch(bundle: Bundle, sources: Sequence[Path], make_inputs: MakeInputs) -> Iterator[ReferenceOutputs]:
    from converters.sources.torch_source import run_reference  # imported here because it imports torch

    read = [read_checkpoint(path) for path in sources]
    _require_sources(bundle, {checkpoint.path: checkpoint.sha256 for checkpoint in read})
    from_photo = bundle.manifest.architecture.endswith(PHOTO_SUFFIX)
    model = identify_model(read, as_pipeline=from_photo).build(bundle.manifest.raw)
    inputs = make_inputs(model.inputs)
    size = bundle.manifest.contract.static_size
    if size is not None:  # inputs of another size cannot be run
        inputs = chain(short_inputs(model.inputs, size), inputs)
    return (run_reference(model, group) for group in _group(inputs))


def _group(inputs: Iterable[ParityInput]) -> Iterator[list[ParityInput]]:
    """Inputs in order, in groups that end where they reach GROUP_PIXELS."""
    group: list[ParityInput] = []
    for given in inputs:
        group.append(given)
        if sum(each.mask.size for each in group) >= GROUP_PIXELS:
            yield group
            group = []
    if group:
        yield group


def _run_onnx(bundle: Bundle, sources: Sequence[Path], npz: Path | None) -> ReferenceOutputs:
    files = [read_onnx(path) for path in sources]
    _require_sources(bundle, {file.path: file.sha256 for file in files})
    return OnnxSource(files[0], bundle.manifest.contract.static_size, npz).run_inputs()


def _require_sources(bundle: Bundle, given: Mapping[Path, str]) -> None:
    known = {source.sha256: source.file for source in bundle.manifest.sources}
    for path, sha256 in given.items():
        if sha256 not in known:
            raise BundleError(
                bundle.folder,
                f"it was made from another file than {path.name} (sha256 differs)",
                "Name the file it was made from",
            )
    if len(given) != len(known):
        raise BundleError(
            bundle.folder,
            f"it was made from {' and '.join(known.values())}, of which {len(given)} were given",
            "Name each with --checkpoint",
        )
