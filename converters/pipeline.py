"""convert(): the stages in order. Each step is proven against the untouched torch module before the next."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from converters.bundle import Bundle, read_bundle, require_writable, write_bundle, write_golden
from converters.checkpoint import Checkpoint, read_checkpoint
from converters.errors import (
    BundleError,
    ConversionError,
    MissingPackageError,
    ParityError,
    ProfileError,
    UnrunnableError,
)
from converters.from_torch import export_onnx, fix_size
from converters.manifest import Record, write_manifest
from converters.parity import GATES, ComparedCase, ParityReport, compare, hole_of, require_passed
from converters.parity_inputs import ParityInput, golden_input, short_inputs
from converters.parity_report import clear_failed, write_parity
from converters.rewrites.accurate_norm import rewrite_accurate_norm
from converters.runners import OnnxRunner, Runner, TorchRunner
from converters.simplify import simplify
from converters.spectral_norm import fold_spectral_norm
from converters.targets import TARGETS, Artifact, Source, Target, with_those_beside
from converters.tensors import Tensors, TensorSpec
from converters.to_onnx import serialize
from converters.to_tensorrt import DEFAULT_PROFILE, Profile
from converters.tune_cpu import tune_for_cpu
from reference import Architecture, Pipeline, ReferenceModel, identify, identify_pipeline

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
    """The user's wishes, the same for every checkpoint of a run; targets bring with them those beside them."""

    targets: tuple[str, ...]
    out: Path
    name: str | None = None
    raw: bool = False
    size: tuple[int, int] | None = None
    overwrite: bool = False
    pipeline: bool = False
    tune: bool = False
    profile: Profile = DEFAULT_PROFILE


@dataclass(frozen=True)
class Expected:
    """Parity inputs of one model, and what the untouched torch module gives for them in float32 and float64."""

    model: ReferenceModel
    inputs: tuple[ParityInput, ...]
    feeds: tuple[Tensors, ...]
    float32: tuple[Tensors, ...]
    float64: tuple[Tensors, ...]

    def compare(self, rung: str, gate: str, runner: Runner) -> list[ParityReport]:
        """Run every input in `runner`; a report on the outputs judged by GATES[gate], then on each with its own."""
        actual: dict[int, Tensors] = {}
        for i, feeds in enumerate(self.feeds):
            if _differs_in_size(runner.inputs, feeds):
                continue
            with contextlib.suppress(ProfileError):
                actual[i] = runner.run(feeds)
        outside = tuple(given.name for i, given in enumerate(self.inputs) if i not in actual)
        reports = []
        for judging in dict.fromkeys(self.model.judging_of(spec.name) for spec in self.model.outputs):
            names = {name for outputs in (self.float32[0], *actual.values()) for name in outputs}
            names = {name for name in names if self.model.judging_of(name) == judging}
            cases = [self._case(i, outputs, names, judging.known) for i, outputs in actual.items()]
            own = rung if judging.gate is None else f"{rung}, {' and '.join(sorted(names))}"
            reports.append(replace(compare(own, GATES[judging.gate or gate], cases), outside=outside))
        return sorted(reports, key=lambda report: report.rung != rung)

    def _case(self, i: int, outputs: Tensors, names: set[str], known: str | None) -> ComparedCase:
        actual, float32, float64 = (
            {name: array for name, array in tensors.items() if name in names}
            for tensors in (outputs, self.float32[i], self.float64[i])
        )
        feeds = self.feeds[i]
        mask = None if known is None else hole_of(feeds["mask"], feeds[known])
        return ComparedCase(
            self.inputs[i].name, actual, float32, float64, mask, None if known is None else feeds[known]
        )


def _differs_in_size(inputs: Sequence[TensorSpec], feeds: Tensors) -> bool:
    """Whether a file of static shapes is of another size than the feeds."""
    wanted = ((size, axis) for spec in inputs for size, axis in zip(feeds[spec.name].shape, spec.shape, strict=True))
    return any(isinstance(axis, int) and size != axis for size, axis in wanted)


@dataclass(frozen=True)
class _Job:
    """One bundle to make."""

    architecture: Architecture | Pipeline
    checkpoints: tuple[Checkpoint, ...]
    build: Callable[[], ReferenceModel]
    folder: Path


def convert(checkpoints: Sequence[Path], settings: Settings, progress: Progress) -> Iterator[Conversion]:
    """Convert each checkpoint to a bundle, or all of them to a pipeline's.

    Every checkpoint is read and identified, and every target's builder looked for, before anything is written.

    Raises:
        CheckpointError, ArchitectureError: a checkpoint is unusable, or no pipeline is made of these.
        ConversionError: a target cannot express a pipeline.
        MissingPackageError: a target cannot be built on this machine.
        BundleError: a bundle cannot be written where it should go.
        ParityError: the numbers differ; the report is left beside the place of the bundle.
    """
    for target in (TARGETS[name] for name in settings.targets):
        if settings.pipeline and target.no_pipeline is not None:
            raise ConversionError(
                f"--pipeline --to {target.name}", target.no_pipeline, "Convert the two nets: leave out --pipeline"
            )
    settings = replace(settings, targets=with_those_beside(settings.targets))
    for target in (TARGETS[name] for name in settings.targets):
        missing = target.missing_builder()
        if missing is not None:
            raise MissingPackageError(f"--to {target.name}", missing, f"It needs {target.needs}")
    read = []
    for path in checkpoints:
        progress(f"reading {path.name}")
        checkpoint = read_checkpoint(path)
        read.append((identify(checkpoint), checkpoint))
    jobs = [_plan_pipeline(read, settings)] if settings.pipeline else [_plan(*each, settings) for each in read]
    folders = [job.folder for job in jobs]
    for folder in folders:
        if folders.count(folder) > 1:
            raise BundleError(
                folder, "several of the checkpoints would become this bundle", "Convert them one by one, with --name"
            )
        require_writable(folder, settings.overwrite)
    for job in jobs:
        yield _convert_one(job, settings, progress)


def _plan(architecture: Architecture, checkpoint: Checkpoint, settings: Settings) -> _Job:
    def build() -> ReferenceModel:
        model = architecture.build(checkpoint, raw=settings.raw)
        return model if settings.size is None else fix_size(model, settings.size)

    return _Job(architecture, (checkpoint,), build, settings.out / (settings.name or architecture.name))


def _plan_pipeline(read: Sequence[tuple[Architecture, Checkpoint]], settings: Settings) -> _Job:
    pipeline, stages = order_stages(read)
    return _Job(
        pipeline,
        tuple(checkpoint for _, checkpoint in stages),
        lambda: build_stages(pipeline, stages),
        settings.out / (settings.name or pipeline.name),
    )


def _convert_one(job: _Job, settings: Settings, progress: Progress) -> Conversion:
    folder = job.folder

    def say(step: str) -> None:
        progress(f"{folder.name}: {step}")

    say("running the torch module in float32 and float64")
    model = job.build()
    expected = run_reference(model, short_inputs(model.inputs, settings.size))
    reports: list[ParityReport] = []

    def prove(rung: str, gate: str, runner: Runner) -> None:
        for report in expected.compare(rung, gate, runner):
            reports.append(report)
            require_passed(report, folder.name)

    failed = folder.parent / f"{folder.name}.failed"
    clear_failed(failed)
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

            tuned = None
            for tuned in tune_for_cpu(waist) if settings.tune else ():
                say(f"rewriting for a CPU: {tuned.rung}")
                prove(tuned.rung, tuned.gate, open_waist(tuned.graph, model))

            hashes = " ".join(checkpoint.sha256 for checkpoint in job.checkpoints)
            facts = {"architecture": job.architecture.name, "source_sha256": hashes}
            pieces, profile = model.pieces(folded), settings.profile.fit(model.inputs)
            source = Source(folder.name, waist, model.inputs, model.outputs, facts, profile, pieces, tuned)
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
            golden = run_reference(model, [golden_input(model.inputs, settings.size)])
            write_golden(partial, golden.feeds[0], golden.float32[0])
            write_parity(partial, reports, expected.inputs, unverified)
            record = Record(
                folder.name,
                job.checkpoints,
                job.architecture.name,
                job.architecture.license_note,
                model,
                settings.raw,
                settings.size,
                artifacts,
                reports,
                unverified,
            )
            write_manifest(partial, record)
    except ParityError:
        with contextlib.suppress(OSError):  # the miss is what the user must hear of
            failed.mkdir(parents=True, exist_ok=True)
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
            prove(target.name, artifact.gate, runner)
    except UnrunnableError as error:
        return f"built, numbers not checked: {error.met}"
    return None


Stages = Sequence[tuple[Architecture, Checkpoint]]


def order_stages(read: Stages) -> tuple[Pipeline, Stages]:
    """The pipeline that the checkpoints make, and they in its order.

    Raises:
        ArchitectureError: they make none.
    """
    pipeline = identify_pipeline([architecture.name for architecture, _ in read])
    return pipeline, sorted(read, key=lambda stage: pipeline.stages.index(stage[0].name))


def build_stages(pipeline: Pipeline, stages: Stages) -> ReferenceModel:
    """The pipeline's model."""
    return pipeline.build(*(architecture.build(checkpoint) for architecture, checkpoint in stages))


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
