"""convert(): the stages in order. Each step is proven against the untouched torch module before the next."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from converters.bundle import Bundle, read_bundle, require_writable, write_bundle, write_golden
from converters.checkpoint import Checkpoint, read_checkpoint
from converters.errors import MissingPackageError, ParityError, ProfileError, UnrunnableError
from converters.from_torch import export_onnx, fix_size
from converters.manifest import Record, write_manifest
from converters.parity import GATES, ComparedCase, ParityReport, compare, require_passed
from converters.parity_inputs import ParityInput, golden_input, short_inputs
from converters.parity_report import write_parity
from converters.rewrites.accurate_norm import rewrite_accurate_norm
from converters.runners import OnnxRunner, Runner, TorchRunner
from converters.simplify import simplify
from converters.spectral_norm import fold_spectral_norm
from converters.targets import TARGETS, Artifact, Source, Target
from converters.tensors import Tensors, TensorSpec
from converters.to_onnx import serialize
from converters.to_tensorrt import DEFAULT_PROFILE, Profile
from reference import Architecture, ReferenceModel, identify

if TYPE_CHECKING:
    from onnx import ModelProto

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Conversion:
    """What one conversion showed: the bundle, what was proven of each target, and what was not."""

    bundle: Bundle
    artifacts: tuple[Artifact, ...]
    reports: tuple[ParityReport, ...]
    unverified: Mapping[str, str]


@dataclass(frozen=True)
class Settings:
    """The user's wishes, the same for every checkpoint of a run."""

    targets: tuple[str, ...]
    out: Path
    name: str | None = None
    raw: bool = False
    size: tuple[int, int] | None = None
    overwrite: bool = False
    profile: Profile = DEFAULT_PROFILE


@dataclass(frozen=True)
class Expected:
    """Parity inputs of one model, and what the untouched torch module gives for them in float32 and float64."""

    model: ReferenceModel
    inputs: tuple[ParityInput, ...]
    feeds: tuple[Tensors, ...]
    float32: tuple[Tensors, ...]
    float64: tuple[Tensors, ...]

    def compare(self, rung: str, gate: str, runner: Runner) -> ParityReport:
        """Run every input in `runner` and judge the outputs by GATES[gate]."""
        cases, outside = [], []
        for i, given in enumerate(self.inputs):
            mask = self.feeds[i]["mask"] if self.model.composited else None
            known = self.feeds[i]["image"] if self.model.composited else None
            if _differs_in_size(runner.inputs, self.feeds[i]):
                outside.append(given.name)
                continue
            try:
                actual = runner.run(self.feeds[i])
            except ProfileError:
                outside.append(given.name)
                continue
            cases.append(ComparedCase(given.name, actual, self.float32[i], self.float64[i], mask, known))
        return replace(compare(rung, GATES[gate], cases), outside=tuple(outside))


def _differs_in_size(inputs: Sequence[TensorSpec], feeds: Tensors) -> bool:
    """Whether a file of static shapes is of another size than the feeds."""
    wanted = ((size, axis) for spec in inputs for size, axis in zip(feeds[spec.name].shape, spec.shape, strict=True))
    return any(isinstance(axis, int) and size != axis for size, axis in wanted)


def convert(checkpoints: Sequence[Path], settings: Settings, progress: Progress) -> Iterator[Conversion]:
    """Convert each checkpoint to a bundle.

    Every checkpoint is read and identified, and every target's builder looked for, before anything is written.

    Raises:
        CheckpointError, ArchitectureError: a checkpoint is unusable.
        MissingPackageError: a target cannot be built on this machine.
        BundleError: a bundle cannot be written where it should go.
        ParityError: the numbers differ; the report is left beside the place of the bundle.
    """
    for target in settings.targets:
        missing = TARGETS[target].missing_builder()
        if missing is not None:
            raise MissingPackageError(f"--to {target}", missing, f"It needs {TARGETS[target].needs}")
    jobs = []
    for path in checkpoints:
        progress(f"reading {path.name}")
        checkpoint = read_checkpoint(path)
        architecture = identify(checkpoint)
        folder = settings.out / (settings.name or architecture.name)
        require_writable(folder, settings.overwrite)
        jobs.append((checkpoint, architecture, folder))
    for checkpoint, architecture, folder in jobs:
        yield _convert_one(checkpoint, architecture, folder, settings, progress)


def _convert_one(
    checkpoint: Checkpoint, architecture: Architecture, folder: Path, settings: Settings, progress: Progress
) -> Conversion:
    def say(step: str) -> None:
        progress(f"{folder.name}: {step}")

    say("running the torch module in float32 and float64")
    model = architecture.build(checkpoint, raw=settings.raw)
    if settings.size is not None:
        model = fix_size(model, settings.size)
    expected = run_reference(model, short_inputs(settings.size))
    reports: list[ParityReport] = []

    def prove(rung: str, gate: str, runner: Runner) -> None:
        reports.append(expected.compare(rung, gate, runner))
        require_passed(reports[-1], folder.name)

    failed = folder.parent / f"{folder.name}.failed"
    shutil.rmtree(failed, ignore_errors=True)
    try:
        with write_bundle(folder) as partial:
            say("folding spectral norm")
            folded = fold_spectral_norm(model.module)
            prove("fold", "fold", TorchRunner(folded, model.inputs, model.outputs))

            say("exporting to ONNX")
            exported = export_onnx(model, folded, settings.size)
            prove("export", "onnx", open_waist(exported, model))

            say("simplifying")
            waist = simplify(exported)
            prove("simplify", "onnx", open_waist(waist, model))

            facts = {"architecture": architecture.name, "source_sha256": checkpoint.sha256}
            source = Source(folder.name, waist, model.inputs, model.outputs, facts, settings.profile)
            artifacts, unverified = [], {}
            for target in (TARGETS[name] for name in settings.targets):
                say(f"writing {target.name}")
                artifact = target.write(source, partial)
                artifacts.append(artifact)
                say(f"proving {target.name}")
                reason = _prove_artifact(target, artifact, partial, model, prove)
                if reason is not None:
                    unverified[target.name] = reason

            say("packing")
            golden = run_reference(model, [golden_input(settings.size)])
            write_golden(partial, golden.feeds[0], golden.float32[0])
            write_parity(partial, reports, expected.inputs, unverified)
            record = Record(
                folder.name,
                checkpoint,
                architecture,
                model,
                settings.raw,
                settings.size,
                artifacts,
                reports,
                unverified,
            )
            write_manifest(partial, record)
    except ParityError:
        failed.mkdir(parents=True)
        write_parity(failed, reports, expected.inputs, {})
        raise
    return Conversion(read_bundle(folder), tuple(artifacts), tuple(reports), unverified)


def _prove_artifact(
    target: Target, artifact: Artifact, folder: Path, model: ReferenceModel, prove: Callable[[str, str, Runner], None]
) -> str | None:
    """Run the ladder's rung of an artifact; why it could not be run, or None."""
    missing = target.missing_verifier()
    if missing is not None:
        return missing
    try:
        with target.open([folder / file for file in artifact.files], model.inputs, model.outputs) as runner:
            prove(target.name, target.gate, runner)
    except UnrunnableError as error:
        return f"built, numbers not checked: {error.met}"
    return None


def run_reference(model: ReferenceModel, inputs: Sequence[ParityInput]) -> Expected:
    """What the untouched module gives for `inputs`, in float32 and in float64."""
    feeds = tuple(model.make_feeds(given.photo, given.edges, given.mask) for given in inputs)
    single = TorchRunner(model.module, model.inputs, model.outputs)
    double = TorchRunner(copy.deepcopy(model.module).double(), model.inputs, model.outputs)
    return Expected(
        model,
        tuple(inputs),
        feeds,
        tuple(single.run(feed) for feed in feeds),
        tuple(double.run(feed) for feed in feeds),
    )


def open_waist(waist: ModelProto, model: ReferenceModel) -> Runner:
    """ONNX Runtime on a waist, its norms spelled out: the runtime's own norm operator is not accurate enough."""
    return OnnxRunner(serialize(rewrite_accurate_norm(waist)), model.inputs, model.outputs)
