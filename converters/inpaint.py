"""Fill holes in photos with a pipeline bundle: one photo, or a folder of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.bundle.checksums import verify_hashes
from converters.bundle.folder import Bundle, read_bundle
from converters.bundle.run_artifact import NotRun, open_artifact
from converters.errors import BundleError, GanportError, PhotoError, ProfileError, UnrunnableError, explain_unforeseen
from converters.photos.crop import Crop, choose_crop
from converters.photos.image_files import (
    Photo,
    read_photo,
    require_output,
    require_output_size,
    write_photo,
    write_plane,
)
from converters.photos.marks import BY_THE_RULES, Marks, Reading, read_drawing, read_mask
from converters.photos.matching import match_names
from converters.runners import Runner, memory_of_machine
from converters.tensors import Array
from reference.registry import shipped_bundle

INPUTS = ("photo", "mask", "edge_edits")
SMALLEST = 12
# The GPU's file first, if there is one and a GPU to run it.
PREFERRED = ("trt", "onnx")
OUTPUT_SUFFIX = "-inpainted"
# Of the shipped pair in ONNX Runtime, measured at 1 and 3 million pixels: 0.99 and 2.90 GB, 8.5 and 23 s of a core.
# Wider nets need more.
BYTES_PER_PIXEL, MICROSECONDS_PER_PIXEL = 950, 8


@dataclass(frozen=True)
class Job:
    """One photo whose hole is to be filled.

    Attributes:
        photo: An image file.
        mask: An image file of the hole.
        out: PNG or WebP to write.
        edges_out: Where to write the edges that the second net was given.
        draw: An image of lines, where edges are drawn.
        erase: An image of lines, where edges are erased, unless `draw` draws there.
        reading: How the mask is read.
    """

    photo: Path
    mask: Path
    out: Path
    edges_out: Path | None = None
    draw: Path | None = None
    erase: Path | None = None
    reading: Reading = BY_THE_RULES


@dataclass(frozen=True)
class Prepared:
    """The contents of a job's files.

    Attributes:
        photo: The photo.
        mask: The hole, and how it was read.
        edits: (H, W) int8: 1 draws an edge, -1 erases one, 0 leaves it.
        crop: What of the photo is given to the nets.
        notes: What the user may not expect of how the files were read, each beginning with the file.
    """

    photo: Photo
    mask: Marks
    edits: Array
    crop: Crop
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: The job.
        hole: The share of the photo that was filled, from 0 to 1; None if the job failed.
        notes: See Prepared.
        error: Why it failed; None if it did not.
    """

    job: Job
    hole: float | None = None
    notes: tuple[str, ...] = ()
    error: GanportError | None = None


def prepare(job: Job) -> Prepared:
    """Read a job's files, and check that its results can be written.

    Raises:
        PhotoError: a file cannot be read, does not fit, or cannot be written.
    """
    given = {path.resolve() for path in (job.photo, job.mask, job.draw, job.erase) if path is not None}
    for path in (job.out, job.edges_out):
        if path is not None:
            require_output(path)
            if path.resolve() in given:
                raise PhotoError(path, "it is one of the files given", "Name another file to write")
    if job.edges_out is not None and job.edges_out.resolve() == job.out.resolve():
        raise PhotoError(job.out, "the result and the edges cannot both go there", "Name two files")
    photo = read_photo(job.photo)
    height, width = size = photo.rgb.shape[0], photo.rgb.shape[1]
    if min(size) < SMALLEST:
        raise PhotoError(job.photo, f"it is {width}x{height} pixels", f"Give {SMALLEST} or more on each side")
    for path in (job.out, job.edges_out):
        if path is not None:
            require_output_size(path, size)
    mask = read_mask(job.mask, photo, job.reading)
    notes = [f"{job.photo}: {note}" for note in photo.notes]
    notes += [
        f"{job.mask}: the hole is {100 * mask.share:.1f} % of the photo",
        *(f"{job.mask}: {n}" for n in mask.notes),
    ]
    edits = np.zeros(size, np.int8)
    for path, value in ((job.erase, -1), (job.draw, 1)):
        if path is not None:
            lines = read_drawing(path, photo)
            edits[lines.marked] = value
            notes += [
                f"{path}: {100 * lines.share:.1f} % of the photo is lines",
                *(f"{path}: {n}" for n in lines.notes),
            ]
    crop = choose_crop(mask.marked, edits)
    if crop.size != size:
        notes.append(
            f"{job.photo}: the nets get {crop.size[1]}x{crop.size[0]} of its {width}x{height} pixels, around the hole"
        )
    _require_memory(job.photo, crop)
    return Prepared(photo, mask, edits, crop, tuple(notes))


def _require_memory(photo: Path, crop: Crop) -> None:
    """Refuse what this machine cannot compute, before anything is computed.

    Raises:
        PhotoError: the nets would need more memory than there is.
    """
    pixels = crop.size[0] * crop.size[1]
    needed, present = pixels * BYTES_PER_PIXEL, memory_of_machine()
    if needed > present:
        met = (
            f"its hole and what is around it are {crop.size[1]}x{crop.size[0]} pixels, for which the nets need about "
            f"{needed / 2**30:.1f} GiB and {pixels * MICROSECONDS_PER_PIXEL / 60e6:.0f} minutes of a core, and this "
            f"machine has {present / 2**30:.1f} GiB"
        )
        raise PhotoError(photo, met, "Scale photo and mask down, or fill the hole part by part")


def inpaint(job: Job, runner: Runner) -> Outcome:
    """Fill the hole of one photo; known pixels come back as they are.

    Raises:
        PhotoError: a file cannot be read, does not fit, or cannot be written.
        UnrunnableError: the runtime fails, for want of memory most likely.
    """
    given = prepare(job)
    hole, crop = given.mask.marked, given.crop
    feeds = {
        "photo": np.ascontiguousarray(crop.cut(given.photo.rgb))[None],
        "mask": crop.cut(hole).astype(np.uint8)[None],
        "edge_edits": np.ascontiguousarray(crop.cut(given.edits))[None],
    }
    results = runner.run(feeds)
    filled = given.photo.rgb.copy()
    crop.cut(filled)[:] = results["result"][0]
    write_photo(job.out, given.photo, filled, hole)
    if job.edges_out is not None:
        edges = np.zeros(hole.shape, np.float32)
        crop.cut(edges)[:] = results["edges"][0, 0]
        write_plane(job.edges_out, edges)
    return Outcome(job, given.mask.share, given.notes)


def inpaint_all(jobs: Sequence[Job], runner: Runner, progress: Callable[[int, Job], None]) -> Iterator[Outcome]:
    """Fill every photo that can be filled.

    Args:
        jobs: The photos; the folders of their outputs exist.
        runner: A pipeline's.
        progress: Called before each job, with the number of finished jobs and the job.

    Yields:
        What became of each job, as soon as it is done.
    """
    for done, job in enumerate(jobs):
        progress(done, job)
        try:
            with explain_unforeseen(PhotoError, job.photo):
                outcome = inpaint(job, runner)
        except (PhotoError, UnrunnableError, ProfileError) as error:
            outcome = Outcome(job, error=error)
        yield outcome


def default_output(photo: Path) -> Path:
    """NAME-inpainted.png beside the photo."""
    return photo.with_name(f"{photo.stem}{OUTPUT_SUFFIX}.png")


def match_folders(photos: Path, masks: Path, out: Path, reading: Reading) -> tuple[list[Job], Sequence[Path]]:
    """A job for each photo of a folder and the mask of the same name, whatever the suffixes.

    Returns:
        The jobs, and the files among the photos that are no images.

    Raises:
        PhotoError: see match_names.
    """
    matched = match_names(photos, masks)
    jobs = [Job(photo, mask, out / f"{photo.stem}.png", reading=reading) for photo, mask in matched.pairs]
    return jobs, matched.skipped


def open_pipeline(bundle: Bundle) -> Runner:
    """A runner on the bundle's file for this machine: the GPU's where there is a GPU, else ONNX Runtime's.

    Raises:
        BundleError: the bundle is of one net, not of a pipeline, or holds no file that runs here.
    """
    if tuple(spec.name for spec in bundle.signature.inputs) != INPUTS:
        raise BundleError(
            bundle.folder,
            f"it is of {bundle.manifest.architecture}, which takes no photo",
            "Make a pipeline bundle: ganport convert EDGE INPAINT --pipeline --to onnx",
        )
    found = {artifact.target: "it takes no photo" for artifact in bundle.manifest.artifacts}
    for artifact in filter(None, map(bundle.manifest.find_artifact, PREFERRED)):
        runner = open_artifact(bundle, artifact)
        if not isinstance(runner, NotRun):
            return runner
        found[artifact.target] = runner.why
    reasons = "; ".join(f"{target}: {why}" for target, why in found.items())
    raise BundleError(bundle.folder, f"it holds nothing that runs here ({reasons})", "Convert again with --to onnx")


def shipped_pipeline() -> Bundle:
    """The bundle of the pair that ships, which is installed with ganport; its hashes are checked.

    Raises:
        BundleError: it is missing or damaged.
    """
    folder = shipped_bundle()
    try:
        verify_hashes(folder)
        return read_bundle(folder)
    except BundleError as error:
        remedy = "Install ganport again, or name a pipeline's bundle with --bundle"
        raise BundleError(folder, error.met, remedy) from error
