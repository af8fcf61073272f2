"""convert(): the stages in order. Each step is proven against the untouched source before the next."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from converters.bundle.folder import Bundle, read_bundle, require_writable, write_bundle, write_golden
from converters.bundle.record import SourceFile, make_manifest, write_record
from converters.bundle.run_artifact import NotRun, run_artifact
from converters.errors import BundleError, ConversionError, MissingPackageError, ParityError, explain_unforeseen
from converters.parity.compare import ParityReport, require_passed
from converters.parity.expected import AGAIN
from converters.parity.judge import Verdict
from converters.parity.report import EXCESS, clear_failed, write_parity
from converters.rewrites.tune_cpu import tune_for_cpu
from converters.runners import Runner
from converters.sources.onnx_file import SUFFIX as ONNX_SUFFIX
from converters.sources.onnx_file import OnnxFile, read_onnx
from converters.sources.onnx_source import ONNX_ARCHITECTURE, OnnxSource
from converters.sources.source import MODULE_ARCHITECTURE, MODULE_LICENSE_NOTE, Prove, Source, Waist, open_accurate
from converters.targets.profile import DEFAULT_PROFILE, Profile
from converters.targets.registry import TARGETS, list_packages, with_companions
from converters.targets.target import Artifact, TargetInput
from converters.tensors import Signature
from reference.checkpoint import read_checkpoint
from reference.checkpoint_data import Checkpoint
from reference.registry import IdentifiedModel, identify_model

if TYPE_CHECKING:
    from converters.sources.own_module import OwnModule

ReportProgress = Callable[[str], None]
ONNX_LICENSE_NOTE = "The source file's licence covers these files too; ganport does not know it."


@dataclass(frozen=True)
class Conversion:
    """What one conversion made.

    Attributes:
        bundle: The bundle, complete for the targets that it holds.
        reports: One for every rung of the ladder.
        refusals: Why a target of those asked for is not in the bundle.
    """

    bundle: Bundle
    reports: tuple[ParityReport, ...]
    refusals: tuple[ConversionError, ...] = ()


@dataclass(frozen=True)
class Settings:
    """The user's wishes, the same for every source of a run.

    Attributes:
        targets: Names in TARGETS; their companions are written too.
        out: The folder that gets the bundles.
        name: The bundle's name, instead of its architecture's or its ONNX file's.
        raw: Whether to convert the bare generator, without masking and compositing.
        size: (H, W) for static shapes, None for free ones.
        overwrite: Whether to replace a bundle that is there.
        pipeline: Whether all checkpoints together make one bundle.
        tune: Whether to rewrite the graph for a CPU.
        small: Whether the tuned ONNX file is to be as small as an untuned one; see TuningStep.
        profile: The sizes that a TensorRT engine takes.
        inputs: An .npz file of arrays to judge an ONNX file on.
    """

    targets: tuple[str, ...]
    out: Path
    name: str | None = None
    raw: bool = False
    size: tuple[int, int] | None = None
    overwrite: bool = False
    pipeline: bool = False
    tune: bool = False
    small: bool = False
    profile: Profile = DEFAULT_PROFILE
    inputs: Path | None = None


@dataclass(frozen=True)
class _Job:
    """One bundle to make: where, and from what; `open` builds the source, which may take much memory.

    `packages` are those of other people that know its architecture, version by name.
    """

    folder: Path
    architecture: str
    license_note: str
    files: tuple[SourceFile, ...]
    open: Callable[[], Source]
    packages: Mapping[str, str] = field(default_factory=dict)


def convert(
    sources: Sequence[Path | OwnModule], settings: Settings, report_progress: ReportProgress
) -> Iterator[Conversion]:
    """Convert each checkpoint, ONNX file or module to a bundle, or all checkpoints to a pipeline's.

    Every source is read and identified, and every target's builder looked for, before anything is written.

    Raises:
        CheckpointError, ArchitectureError: a checkpoint is unusable, or no pipeline is made of these.
        ConversionError: no target that was asked for can express a net, or one cannot express a pipeline.
        FeedError, UnrunnableError: ONNX Runtime does not run an ONNX file on what it would be judged on.
        MissingPackageError: a target cannot be built on this machine.
        BundleError: a bundle cannot be written where it should go.
        ParityError: the numbers differ; the report is left beside the place of the bundle.
    """
    settings = replace(settings, targets=_require_targets(settings))
    read = []
    for path in sources:
        report_progress(f"reading {path.name}")
        read.append(_read(path, settings) if isinstance(path, Path) else _require_module_options(path, settings))
    jobs = _plan(read, settings)
    folders = [job.folder for job in jobs]
    for folder in folders:
        if folders.count(folder) > 1:
            raise BundleError(
                folder, "several of the sources would become this bundle", "Convert them one by one, with --name"
            )
        require_writable(folder, settings.overwrite)
        for given in (*sources, settings.inputs):
            if isinstance(given, Path) and folder.resolve() in given.resolve().parents:
                remedy = "Convert it from elsewhere, or name another folder with -o or --name"
                raise BundleError(folder, f"it would be replaced, and '{given}' lies in it", remedy)
    for job in jobs:
        yield _Conversion(job, settings, report_progress).run()


def _require_targets(settings: Settings) -> tuple[str, ...]:
    """The targets to write, companions included; each can be written on this machine."""
    names = with_companions(settings.targets)
    for target in (TARGETS[name] for name in settings.targets):
        if settings.pipeline and target.no_pipeline is not None:
            remedy = f"Leave {target.name} out of --to, or convert the nets by themselves, without --pipeline"
            raise ConversionError(f"--pipeline --to {target.name}", target.no_pipeline, remedy)
    for target in (TARGETS[name] for name in names):
        missing = target.missing_builder()
        if missing is not None:
            raise MissingPackageError(f"--to {target.name}", missing, f"It needs {target.needs}")
    return names


def _read(path: Path, settings: Settings) -> Checkpoint | IdentifiedModel | OnnxFile:
    """A source's file; a checkpoint on its own is identified at once.

    Raises:
        ConversionError: what was asked for needs a checkpoint.
    """
    if path.suffix != ONNX_SUFFIX:
        checkpoint = read_checkpoint(path)
        return checkpoint if settings.pipeline else identify_model([checkpoint])
    _refuse_options(path, "an ONNX file", settings)
    return read_onnx(path)


def _require_module_options(module: OwnModule, settings: Settings) -> OwnModule:
    _refuse_options(module.name, "a module", settings)
    return module


def _refuse_options(where: object, kind: str, settings: Settings) -> None:
    for option, given in (("--pipeline", settings.pipeline), ("--raw", settings.raw)):
        if given:
            raise ConversionError(where, f"{option} is for checkpoints, and this is {kind}", f"Leave out {option}")


def _plan(read: Sequence[Checkpoint | IdentifiedModel | OnnxFile | OwnModule], settings: Settings) -> list[_Job]:
    if settings.pipeline:
        checkpoints = [source for source in read if isinstance(source, Checkpoint)]
        return [_plan_model(identify_model(checkpoints, as_pipeline=True), settings)]
    return [_plan_one(source, settings) for source in read if not isinstance(source, Checkpoint)]


def _plan_one(source: IdentifiedModel | OnnxFile | OwnModule, settings: Settings) -> _Job:
    if isinstance(source, OnnxFile):
        return _plan_onnx(source, settings)
    return _plan_model(source, settings) if isinstance(source, IdentifiedModel) else _plan_module(source, settings)


def _plan_module(own: OwnModule, settings: Settings) -> _Job:
    from converters.sources.module_source import open_module  # imported here because it imports torch

    folder = settings.out / (settings.name or own.name)
    note = MODULE_LICENSE_NOTE
    return _Job(folder, MODULE_ARCHITECTURE, note, own.sources, lambda: open_module(own, settings.size))


def _plan_onnx(file: OnnxFile, settings: Settings) -> _Job:
    source = OnnxSource(file, settings.size, settings.inputs)
    folder = settings.out / (settings.name or file.name)
    return _Job(folder, ONNX_ARCHITECTURE, ONNX_LICENSE_NOTE, (file,), lambda: source)


def _plan_model(model: IdentifiedModel, settings: Settings) -> _Job:
    from converters.sources.torch_source import open_torch  # imported here because it imports torch

    return _Job(
        settings.out / (settings.name or model.name),
        model.name,
        model.license_note,
        model.checkpoints,
        lambda: open_torch(model.build(settings.raw), settings.size),
        model.packages,
    )


@dataclass(frozen=True)
class _PartialBundle:
    """A bundle's folder while it is being filled."""

    folder: Path
    signature: Signature


# torch's exporter changes torch for all threads.
_one_at_a_time = threading.RLock()


class _Conversion:
    """One job on its way: what was proven so far, and what was not."""

    def __init__(self, job: _Job, settings: Settings, report_progress: ReportProgress) -> None:
        self._job = job
        self._settings = settings
        self._progress = report_progress
        self._reports: list[ParityReport] = []
        self._unverified: dict[str, str] = {}
        self._refusals: list[ConversionError] = []

    def run(self) -> Conversion:
        """Make the bundle; other threads that make one meanwhile wait.

        Raises:
            ParityError: see convert.
        """
        with _one_at_a_time:
            return self._run()

    def _run(self) -> Conversion:
        folder = self._job.folder
        self._report_progress("running what its files are held to")
        source = self._job.open()
        expected = source.run_inputs()
        if expected.no_float64 is not None:
            self._unverified[EXCESS] = expected.no_float64

        def prove(rung: str, gate: str, runner: Runner) -> None:
            for report in expected.compare(rung, gate, runner):
                self._reports.append(report)
                require_passed(report, folder.name, source.remedy)

        failed = folder.parent / f"{folder.name}.failed"
        clear_failed(failed)
        try:
            with write_bundle(folder, self._settings.overwrite) as partial:
                waist = source.build_waist(prove, self._report_progress)
                artifacts = self._write_artifacts(source, waist, partial, prove)

                self._report_progress("packing")
                doubtful = {
                    tensor.case.removesuffix(AGAIN)
                    for report in self._reports
                    for tensor in report.tensors
                    if tensor.verdict not in (Verdict.PASSED, Verdict.FAILED)
                }
                golden = source.run_golden(doubtful)
                write_golden(partial, golden.feeds[0], golden.float32[0])
                write_parity(partial, self._reports, expected.inputs, self._unverified)
                manifest = make_manifest(
                    folder.name,
                    self._job.files,
                    self._job.architecture,
                    self._job.license_note,
                    source.model,
                    artifacts,
                    self._unverified,
                    raw=self._settings.raw,
                    size=self._settings.size,
                    plugins={**self._job.packages, **list_packages(artifact.target for artifact in artifacts)},
                )
                write_record(partial, manifest, self._reports)
        except ParityError:
            with contextlib.suppress(OSError):  # the miss is what the user must hear of
                failed.mkdir(parents=True, exist_ok=True)
                write_parity(failed, self._reports, expected.inputs, {})
            raise
        return Conversion(read_bundle(folder), tuple(self._reports), tuple(self._refusals))

    def _report_progress(self, step: str) -> None:
        self._progress(f"{self._job.folder.name}: {step}")

    def _write_artifacts(self, source: Source, waist: Waist, folder: Path, prove: Prove) -> list[Artifact]:
        """Write and prove every target's files; one that cannot express the net is left out, and the reason noted.

        Raises:
            ConversionError: none can.
        """
        target_input = self._make_input(source, waist, prove)
        bundle = _PartialBundle(folder, target_input.signature)
        artifacts: list[Artifact] = []
        for target in (TARGETS[name] for name in self._settings.targets):
            self._report_progress(f"writing {target.name}")
            try:
                with explain_unforeseen(ConversionError, f"writing {target.name}"):
                    artifact = target.write(target_input, folder)
            except ConversionError as error:
                self._refuse(target.name, error)
                continue
            self._report_progress(f"proving {target.name}")
            try:
                artifacts.append(self._prove_artifact(bundle, artifact, prove))
            except BundleError as error:  # the target's runtime fails on what was just written
                for file in artifact.files:
                    (folder / file).unlink()
                where = error.where.removeprefix(f"{folder}/")
                self._refuse(target.name, ConversionError(where, error.met, error.remedy))
        if not artifacts:
            raise self._refusals[0]
        return artifacts

    def _refuse(self, target: str, error: ConversionError) -> None:
        where = f"{self._job.folder.name}, --to {target}, {error.where}"
        self._refusals.append(type(error)(where, error.met, f"{error.remedy}, or leave {target} out of --to"))
        self._unverified[target] = f"refused: {error.where}: {error.met}"

    def _make_input(self, source: Source, waist: Waist, prove: Prove) -> TargetInput:
        """What the targets write from; each rewrite for a CPU is proven."""
        tuned = None
        for tuned in tune_for_cpu(waist.graph, small=self._settings.small) if self._settings.tune else ():
            self._report_progress(f"rewriting for a CPU: {tuned.rung}")
            prove(tuned.rung, tuned.gate, open_accurate(tuned.graph, source.model))
        hashes = " ".join(file.sha256 for file in self._job.files)
        return TargetInput(
            self._job.folder.name,
            waist.graph,
            Signature(source.model.inputs, source.model.outputs),
            {"architecture": self._job.architecture, "source_sha256": hashes},
            self._settings.profile.fit(source.model.inputs),
            waist.pieces,
            tuned,
        )

    def _prove_artifact(self, bundle: _PartialBundle, artifact: Artifact, prove: Prove) -> Artifact:
        """The artifact with what was proven of it; why nothing was is noted."""
        target = artifact.target
        result = run_artifact(bundle, artifact, lambda runner: prove(target, artifact.gate, runner))
        if isinstance(result, NotRun):
            self._unverified[target] = result.why
        report = next((report for report in self._reports if report.rung == target), None)
        parity = None if report is None else report.summarize()
        return replace(artifact, parity=parity, verified=not isinstance(result, NotRun))
