"""What `ganport.py` calls: arguments of Python brought to what the commands call."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from converters.bench.measure import Measurement, measure_group
from converters.bench.sources import read_sources
from converters.bundle.folder import Bundle, is_folder_name, read_bundle
from converters.bundle.run_artifact import NotRun, open_artifact
from converters.convert import Settings, convert
from converters.errors import (
    BundleError,
    ConversionError,
    FeedError,
    GanportError,
    MissingPackageError,
    ParityError,
    PhotoError,
)
from converters.inpaint import FILLING, PICTURING, Job, inpaint, open_pipeline, shipped_pipeline
from converters.parity.compare import ParitySummary
from converters.parity.inputs import long_inputs, user_inputs
from converters.photos.marks import Reading
from converters.prove import prove, prove_module
from converters.runners import Runner
from converters.targets.profile import Size, make_profile
from converters.targets.registry import TARGETS
from converters.terminal.options import ALIASES
from reference.checkpoint import SUFFIXES

if TYPE_CHECKING:
    from PIL import Image
    from torch import nn

    from converters.sources.own_module import OwnModule

Progress = Callable[[str], None]
ONNX_SUFFIX = ".onnx"
# Of the shell's option, in messages for Python.
INPUTS = "inputs"


def convert_sources(
    given: object,
    to: str | Sequence[str],
    out: Path,
    inputs: Mapping[str, Any] | None,
    outputs: Sequence[Any] | None,
    known: Mapping[str, str] | None,
    name: str | None,
    pipeline: bool,
    raw: bool,
    size: int | tuple[int, int] | None,
    tune: bool,
    small: bool,
    trt_sizes: tuple[Size, Size, Size] | None,
    overwrite: bool,
    progress: Progress | None,
) -> list[Path]:
    """The folders of the bundles; see `ganport.convert`."""
    sources = list(given) if isinstance(given, list | tuple) else [given]
    if not sources:
        raise ConversionError("source", "it is empty", "Give a checkpoint, an ONNX file or a torch module")
    choices = {"pipeline": pipeline, "raw": raw, "tune": tune, "small": small, "overwrite": overwrite}
    for option, value in choices.items():
        if not isinstance(value, bool):
            raise ConversionError(option, f"it is {value!r}", "Give True or False")
    if inputs is not None and not isinstance(inputs, Mapping):
        raise FeedError(INPUTS, f"it is of type {type(inputs).__name__}", "Give a dict: an array for each name")
    if name is not None and not (isinstance(name, str) and is_folder_name(name)):
        raise BundleError(f"name={name!r}", "it is no folder name", "Give one without slashes or control characters")
    if len(sources) > 1 and not pipeline and any(option is not None for option in (name, inputs, outputs, known)):
        raise ConversionError("source", "there are several", "Give name, inputs, outputs and known with one source")
    read = [_read_source(source, inputs, outputs, known, name) for source in sources]
    report = progress or _say_nothing
    with _write_npz(inputs if isinstance(read[0], Path) else None) as npz:
        targets, static = _read_targets(to), _read_size(size)
        if trt_sizes is not None and ("trt" not in targets or static is not None):
            raise ConversionError("trt_sizes", "there is no engine of free sizes", 'Leave it out, or give to="trt"')
        if small and not (tune and "onnx" in targets):
            raise ConversionError("small", "no tuned ONNX file is asked for", 'Give tune=True and to="onnx" with it')
        profile = make_profile(*_read_profile_sizes(trt_sizes))
        settings = Settings(targets, out, name, raw, static, overwrite, pipeline, tune, small, profile, npz)
        conversions = list(convert(read, settings, report))
    refusals = [refusal for conversion in conversions for refusal in conversion.refusals]
    if refusals:
        first = refusals[0]
        written = " and ".join(str(conversion.bundle.folder) for conversion in conversions)
        raise type(first)(first.where, f"{first.met}; what other targets wrote is in {written}", first.remedy)
    return [conversion.bundle.folder for conversion in conversions]


def _read_source(
    source: object,
    inputs: Mapping[str, Any] | None,
    outputs: Sequence[Any] | None,
    known: Mapping[str, str] | None,
    name: str | None,
) -> Path | OwnModule:
    if isinstance(source, str | Path):
        path = Path(source)
        if inputs is not None and path.suffix != ONNX_SUFFIX:
            raise FeedError(path, "inputs are for a module or an ONNX file, and this is a checkpoint", "Leave them out")
        if outputs is not None or known is not None:
            raise FeedError(path, "outputs and known are for a module, and this is a file", "Leave them out")
        return path
    from converters.sources.own_module import read_module

    return read_module(cast("nn.Module", source), inputs, outputs, known, name)


@contextmanager
def _write_npz(inputs: Mapping[str, Any] | None) -> Iterator[Path | None]:
    """An ONNX file's arrays as the file that a conversion reads."""
    if inputs is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / INPUTS
        with path.open("wb") as file:
            np.savez(file, **{name: np.asarray(array) for name, array in inputs.items()})
        yield path


def _read_targets(to: str | Sequence[str]) -> tuple[str, ...]:
    parts = to.split(",") if isinstance(to, str) else to
    if not isinstance(parts, Collection) or not all(isinstance(name, str) for name in parts):
        raise ConversionError(f"to={to!r}", "it names no targets", f"Give one or several of {', '.join(TARGETS)}")
    given = [name.strip() for name in parts]
    names = [ALIASES.get(name, name) for name in given]
    for name in names:
        if name not in TARGETS:
            raise ConversionError(
                f"to={to!r}", f"'{name}' is no target", f"Give one or several of {', '.join(TARGETS)}"
            )
    if not names:
        raise ConversionError("to", "it is empty", f"Give one or several of {', '.join(TARGETS)}")
    return tuple(name for name in TARGETS if name in names)


def _read_size(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else (size, size)
    whole = all(isinstance(side, Integral) and not isinstance(side, bool) and side > 0 for side in sides)
    if len(sides) != 2 or not whole:
        raise ConversionError("size", f"it is {size!r}", "Give (H, W) in pixels, or one number for both")
    height, width = map(int, sides)
    return height, width


def _read_profile_sizes(sizes: object) -> Sequence[tuple[int, int] | None]:
    if sizes is None:
        return (None, None, None)
    if not isinstance(sizes, Sequence) or len(sizes) != 3 or not all(isinstance(size, Sequence) for size in sizes):
        raise ConversionError("trt_sizes", f"it is {sizes!r}", "Give three sizes, (H, W) each")
    return [_read_size(size) for size in sizes]


def _say_nothing(step: str) -> None:
    """For those who want no progress."""


def open_target(bundle: Bundle, target: str, threads: int | None) -> Runner:
    """A runner on a target's files; see `ganport.Bundle.open`."""
    artifact = bundle.manifest.find_artifact(target)
    if artifact is None:
        held = ", ".join(artifact.target for artifact in bundle.manifest.artifacts)
        why = bundle.manifest.not_verified.get(target, "it was not asked for")
        raise BundleError(bundle.folder, f"it holds no files of '{target}' ({why})", f"Open one of {held}")
    runner = open_artifact(bundle, artifact, threads)
    if isinstance(runner, NotRun):
        needs = TARGETS[target].needs
        raise MissingPackageError(f"{bundle.folder}, {target}", runner.why, f"To run it here takes {needs}")
    return runner


def prove_bundle(
    folder: Path,
    checkpoint: str | Path | Sequence[str | Path] | None,
    module: nn.Module | None,
    images: str | Path | None,
    masks: str | Path | None,
    progress: Progress | None,
) -> dict[str, ParitySummary]:
    """The worst of each metric by rung; see `ganport.prove`."""
    report = progress or _say_nothing
    if (checkpoint is None) == (module is None):
        raise BundleError(folder, "it is proven against what it was made from", "Give either checkpoint or module")
    if (images is None) != (masks is None):
        raise FeedError("images and masks", "one of them is missing", "Give both")
    if module is not None:
        reports, _, _ = prove_module(folder, module, report)
    else:
        paths = [checkpoint] if isinstance(checkpoint, str | Path) else list(checkpoint or ())
        make = long_inputs if images is None or masks is None else user_inputs(Path(images), Path(masks))
        reports, _, _ = prove(folder, [Path(path) for path in paths], make, report)
    missed = [report.rung for report in reports if not report.passed]
    if missed:
        raise ParityError(folder, f"rung {', '.join(missed)} misses its gate", "Do not ship it: convert again")
    return {report.rung: report.summarize() for report in reports}


def measure(
    sources: Sequence[Path],
    size: int | tuple[int, int],
    batch: int,
    threads: int,
    runs: int,
    progress: Progress | None,
) -> list[Measurement]:
    """The measurements; see `ganport.bench`."""
    for path in sources:
        if not path.is_dir() and path.suffix not in (*SUFFIXES, ONNX_SUFFIX):
            raise BundleError(path, "it is no bundle, checkpoint or ONNX file", "Name a bundle's folder or a file")
    wanted = _read_size(size)
    if wanted is None:
        raise ConversionError("size", "it is None", "Give (H, W) in pixels, or one number for both")
    groups = read_sources(sources, wanted, batch)
    return [row for group in groups for row in measure_group(group, threads, runs, progress or _say_nothing)[0]]


def fill(
    photo: Any,
    mask: Any,
    draw: Any,
    erase: Any,
    folder: Path | None,
    threshold: int | None = None,
    invert: bool = False,
    context: int | None = None,
) -> tuple[Any, tuple[str, ...]]:
    """The filled photo, of the photo's kind, and what was read; see `ganport.inpaint`. Without a mask, `ganport.apply`.

    The pictures pass through files, so that they are read by the command's rules.
    """
    from PIL import Image

    bundle = shipped_pipeline() if folder is None else read_bundle(folder)
    kinds = PICTURING if mask is None else FILLING
    with tempfile.TemporaryDirectory() as scratch, open_pipeline(bundle, kinds) as runner:
        given = {"photo": photo, "mask": mask, "draw": draw, "erase": erase}
        paths = {name: _write_picture(Path(scratch), name, it) for name, it in given.items() if it is not None}
        out = Path(scratch) / "filled.png"
        reading = Reading(threshold=threshold, invert=invert)
        lines = (paths.get("draw"), paths.get("erase"))
        job = Job(paths["photo"], paths.get("mask"), out, None, *lines, reading, context)
        try:
            outcome = inpaint(job, runner)
        except GanportError as error:
            raise type(error)(error.where.replace(f"{scratch}/", ""), error.met, error.remedy) from error
        with Image.open(out) as image:
            image.load()
        notes = tuple(note.replace(f"{scratch}/", "") for note in outcome.notes)
    return (np.asarray(image) if isinstance(photo, np.ndarray) else image), notes


def _write_picture(folder: Path, name: str, picture: Any) -> Path:
    """A picture as a file without loss; its path, without suffix, is its name in messages."""
    from PIL import Image

    path = folder / name
    image: Image.Image = picture
    if isinstance(picture, np.ndarray):
        if picture.dtype not in (np.bool_, np.uint8) or picture.ndim not in (2, 3) or picture.size == 0:
            met = f"it is {picture.dtype} {picture.shape}"
            raise PhotoError(name, met, "Give (H, W) or (H, W, 3) uint8, a mask also as bool")
        try:
            image = Image.fromarray(picture.astype(np.uint8) * 255 if picture.dtype == np.bool_ else picture)
        except TypeError as error:
            raise PhotoError(name, f"it is {picture.dtype} {picture.shape}", "Give 1, 3 or 4 channels, last") from error
    elif not isinstance(picture, Image.Image):
        raise PhotoError(name, f"it is a {type(picture).__name__}", "Give a PIL image or a numpy array")
    kind = "PNG" if image.mode in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA") else "TIFF"
    image.save(path, format=kind, **({"icc_profile": p} if (p := image.info.get("icc_profile")) else {}))
    return path
