"""convert(): the stages in order. Each step is proven against the untouched source before the next."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from converters.bundle.folder import Bundle, read_bundle, require_writable, write_bundle, write_golden
from converters.bundle.readme import Record, SourceFile, write_manifest
from converters.errors import BundleError, ConversionError, MissingPackageError, ParityError, UnrunnableError
from converters.parity.compare import ParityReport, require_passed
from converters.parity.expected import Model
from converters.parity.report import clear_failed, write_parity
from converters.rewrites.tune_cpu import tune_for_cpu
from converters.runners import Runner
from converters.sources.onnx_file import SUFFIX as ONNX_SUFFIX
from converters.sources.onnx_file import OnnxFile, read_onnx
from converters.sources.onnx_source import (
    ONNX_ARCHITECTURE,
    OnnxSource,
    Prove,
    Standard,
    TorchSource,
    open_torch,
    open_waist,
)
from converters.targets.registry import TARGETS, Artifact, Source, Target, with_companions
from converters.targets.tensorrt.build import DEFAULT_PROFILE, Profile
from reference.checkpoint import Checkpoint, read_checkpoint
from reference.model import Architecture, Pipeline, ReferenceModel
from reference.registry import identify, identify_pipeline

Progress = Callable[[str], None]
Stage = tuple[Architecture, Checkpoint]
ONNX_LICENSE_NOTE = "The source file's licence covers these files too; ganport does not know it."


@dataclass(frozen=True)
class Conversion:
    """What one conversion showed: the bundle, what was proven of each target, and what was not."""

    bundle: Bundle
    artifacts: tuple[Artifact, ...]
    reports: tuple[ParityReport, ...]
    unverified: Mapping[str, str]


@dataclass(frozen=True)
class Settings:
    """The user's wishes, the same for every source of a run; targets bring with them those beside them.

    `skip_refused` leaves out a target that cannot express the net, and says why, unless none is left.
    """

    targets: tuple[str, ...]
    out: Path
    name: str | None = None
    raw: bool = False
    size: tuple[int, int] | None = None
    overwrite: bool = False
    pipeline: bool = False
    tune: bool = False
    profile: Profile = DEFAULT_PROFILE
    inputs: Path | None = None
    skip_refused: bool = False


@dataclass(frozen=True)
class _Job:
    """One bundle to make: of what, and how the standard that its files are held to is opened."""

    architecture: str
    license_note: str
    sources: tuple[SourceFile, ...]
    open: Callable[[], Standard]
    folder: Path


def convert(sources: Sequence[Path], settings: Settings, progress: Progress) -> Iterator[Conversion]:
    """Convert each checkpoint or ONNX file to a bundle, or all checkpoints to a pipeline's.

    Every source is read and identified, and every target's builder looked for, before anything is written.

    Raises:
        CheckpointError, ArchitectureError: a checkpoint is unusable, or no pipeline is made of these.
        ConversionError: a target cannot express a net, or a pipeline.
        FeedError, UnrunnableError: ONNX Runtime does not run an ONNX file on what it would be judged on.
        MissingPackageError: a target cannot be built on this machine.
        BundleError: a bundle cannot be written where it should go.
        ParityError: the numbers differ; the report is left beside the place of the bundle.
    """
    for target in (TARGETS[name] for name in settings.targets):
        if settings.pipeline and target.no_pipeline is not None:
            raise ConversionError(
                f"--pipeline --to {target.name}", target.no_pipeline, "Convert the two nets: leave out --pipeline"
            )
    settings = replace(settings, targets=with_companions(settings.targets))
    for target in (TARGETS[name] for name in settings.targets):
        missing = target.missing_builder()
        if missing is not None:
            raise MissingPackageError(f"--to {target.name}", missing, f"It needs {target.needs}")
    read = []
    for path in sources:
        progress(f"reading {path.name}")
        read.append(_read(path, settings))
    jobs = [_plan_pipeline(read, settings)] if settings.pipeline else [_plan(source, settings) for source in read]
    folders = [job.folder for job in jobs]
    for folder in folders:
        if folders.count(folder) > 1:
            raise BundleError(
                folder, "several of the sources would become this bundle", "Convert them one by one, with --name"
            )
        require_writable(folder, settings.overwrite)
    for job in jobs:
        yield _convert_one(job, settings, progress)


def _read(path: Path, settings: Settings) -> Stage | OnnxFile:
    """
    Raises:
        ConversionError: what was asked for needs a checkpoint.
    """
    if path.suffix != ONNX_SUFFIX:
        checkpoint = read_checkpoint(path)
        return identify(checkpoint), checkpoint
    for option, given in (("--pipeline", settings.pipeline), ("--raw", settings.raw)):
        if given:
            raise ConversionError(path, f"{option} is for checkpoints, and this is an ONNX file", f"Leave out {option}")
    return read_onnx(path)


def _plan(source: Stage | OnnxFile, settings: Settings) -> _Job:
    if isinstance(source, OnnxFile):
        standard = OnnxSource(source, settings.size, settings.inputs)
        folder = settings.out / (settings.name or source.name)
        return _Job(ONNX_ARCHITECTURE, ONNX_LICENSE_NOTE, (source,), lambda: standard, folder)
    architecture, checkpoint = source
    return _Job(
        architecture.name,
        architecture.license_note,
        (checkpoint,),
        lambda: open_torch(architecture.build(checkpoint, raw=settings.raw), settings.size),
        settings.out / (settings.name or architecture.name),
    )


def _plan_pipeline(read: Sequence[Stage | OnnxFile], settings: Settings) -> _Job:
    pipeline, stages = order_stages([stage for stage in read if not isinstance(stage, OnnxFile)])
    return _Job(
        pipeline.name,
        pipeline.license_note,
        tuple(checkpoint for _, checkpoint in stages),
        lambda: TorchSource(build_stages(pipeline, stages)),
        settings.out / (settings.name or pipeline.name),
    )


def _convert_one(job: _Job, settings: Settings, progress: Progress) -> Conversion:
    folder = job.folder

    def report_progress(step: str) -> None:
        progress(f"{folder.name}: {step}")

    report_progress("running what its files are held to")
    standard = job.open()
    model, expected = standard.model, standard.expect()
    reports: list[ParityReport] = []

    def prove(rung: str, gate: str, runner: Runner) -> None:
        for report in expected.compare(rung, gate, runner):
            reports.append(report)
            require_passed(report, folder.name, standard.remedy)

    failed = folder.parent / f"{folder.name}.failed"
    clear_failed(failed)
    try:
        with write_bundle(folder) as partial:
            waist = standard.build_waist(prove, report_progress)

            tuned = None
            for tuned in tune_for_cpu(waist.graph) if settings.tune else ():
                report_progress(f"rewriting for a CPU: {tuned.rung}")
                prove(tuned.rung, tuned.gate, open_waist(tuned.graph, model))

            hashes = " ".join(source.sha256 for source in job.sources)
            facts = {"architecture": job.architecture, "source_sha256": hashes}
            profile = settings.profile.fit(model.inputs)
            source = Source(folder.name, waist.graph, model.inputs, model.outputs, facts, profile, waist.pieces, tuned)
            artifacts, unverified, refusal = [], {}, None
            for target in (TARGETS[name] for name in settings.targets):
                report_progress(f"writing {target.name}")
                try:
                    artifact = target.write(source, partial)
                except ConversionError as error:
                    if not settings.skip_refused:
                        where = f"{folder.name}, --to {target.name}, {error.where}"
                        remedy = f"{error.remedy}, or leave {target.name} out of --to"
                        raise type(error)(where, error.met, remedy) from error
                    refusal = error
                    unverified[target.name] = f"refused: {error.where}: {error.met}"
                    continue
                artifacts.append(artifact)
                report_progress(f"proving {target.name}")
                reason = _prove_artifact(target, artifact, partial, model, prove)
                if reason is not None:
                    unverified[target.name] = reason

            if refusal is not None and not artifacts:
                raise refusal

            report_progress("packing")
            doubtful = {tensor.case for report in reports for tensor in report.tensors if tensor.by_excess}
            golden = standard.expect_golden(doubtful)
            write_golden(partial, golden.feeds[0], golden.float32[0])
            write_parity(partial, reports, expected.inputs, unverified)
            record = Record(
                folder.name,
                job.sources,
                job.architecture,
                job.license_note,
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


def _prove_artifact(target: Target, artifact: Artifact, folder: Path, model: Model, prove: Prove) -> str | None:
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


def order_stages(read: Sequence[Stage]) -> tuple[Pipeline, Sequence[Stage]]:
    """The pipeline that the checkpoints make, and they in its order.

    Raises:
        ArchitectureError: they make none.
    """
    pipeline = identify_pipeline([architecture.name for architecture, _ in read])
    return pipeline, sorted(read, key=lambda stage: pipeline.stages.index(stage[0].name))


def build_stages(pipeline: Pipeline, stages: Sequence[Stage]) -> ReferenceModel:
    """The pipeline's model."""
    return pipeline.build(*(architecture.build(checkpoint) for architecture, checkpoint in stages))
