"""Run photos through a pipeline bundle, one or a folder of them: fill their holes, or make pictures of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.bundle.checksums import verify_hashes
from converters.bundle.folder import Bundle, read_bundle
from converters.bundle.run_artifact import NotRun, open_artifact, why_not_run
from converters.errors import BundleError, GanportError, PhotoError
from converters.photos.crop import Crop
from converters.photos.image_files import require_output, require_output_size, write_photo, write_plane
from converters.photos.marks import BY_THE_RULES, Reading
from converters.photos.one_photo import EDITS, MASK, PHOTO, Prepared, make_feeds, paste, read_prepared
from converters.runners import Runner, memory_of_machine
from converters.tensors import Array
from reference.registry import shipped_bundle

# The inputs of pipelines that fill holes, and of those that make a picture of a photo.
FILLING = ((PHOTO, MASK, EDITS), (PHOTO, MASK))
PICTURING = ((PHOTO,),)
MAKE_PIPELINE = "Make a pipeline's bundle: ganport convert CHECKPOINT --pipeline --to onnx"
# The GPU's file first, if there is one and a GPU to run it.
GPU, CPU = PREFERRED = ("trt", "onnx")
OUTPUT_SUFFIX, PICTURE_SUFFIX = "-inpainted", "-applied"
# Of the shipped pair in ONNX Runtime, measured at 1 and 3 million pixels: 0.99 and 2.90 GB, 8.5 and 23 s of a core.
# Wider nets need more.
BYTES_PER_PIXEL, MICROSECONDS_PER_PIXEL = 950, 8


@dataclass(frozen=True)
class Job:
    """One photo whose hole is to be filled, or of which a picture is to be made.

    Attributes:
        photo: An image file.
        mask: An image file of the hole; None of a photo that becomes a picture as a whole.
        out: PNG or WebP to write.
        edges_out: Where to write the edges that the second net was given.
        draw: An image of lines, where edges are drawn.
        erase: An image of lines, where edges are erased, unless `draw` draws there.
        reading: How the mask is read.
        context: How many pixels around the hole the nets are given; None leaves that to choose_crop.
    """

    photo: Path
    mask: Path | None
    out: Path
    edges_out: Path | None = None
    draw: Path | None = None
    erase: Path | None = None
    reading: Reading = BY_THE_RULES
    context: int | None = None

    @property
    def edits(self) -> tuple[tuple[Path, int], ...]:
        """The images of lines, the later ones above the earlier, and what they mean in the pipeline's input."""
        given = ((self.erase, -1), (self.draw, 1))
        return tuple((path, value) for path, value in given if path is not None)


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: The job.
        hole: The share of the photo that was filled, from 0 to 1; None if the job failed or has no mask.
        notes: See Prepared.
        error: Why it failed; None if it did not.
        there: Whether its result was there already, made of the same files in the same way.
    """

    job: Job
    hole: float | None = None
    notes: tuple[str, ...] = ()
    error: GanportError | None = None
    there: bool = False


def prepare(job: Job, smallest: int = 1, files: Mapping[Path, bytes] | None = None) -> Prepared:
    """Read a job's files, and check that its results can be written.

    Args:
        job: The job.
        smallest: The least H and W that the pipeline takes.
        files: The bytes of the job's files, if they were read already.

    Raises:
        PhotoError: a file cannot be read, does not fit, or cannot be written.
    """
    read = {path.resolve() for path in (job.photo, job.mask, job.draw, job.erase) if path is not None}
    for path in (job.out, job.edges_out):
        if path is not None:
            require_output(path)
            if path.resolve() in read:
                raise PhotoError(path, "it is one of the files given", "Name another file to write")
    if job.edges_out is not None and job.edges_out.resolve() == job.out.resolve():
        raise PhotoError(job.out, "the result and the edges cannot both go there", "Name two files")
    given = read_prepared(job.photo, job.mask, job.edits, job.reading, job.context, smallest, files)
    height, width = given.hole.shape
    for path in (job.out, job.edges_out):
        if path is not None:
            require_output_size(path, (height, width))
    _require_memory(job.photo, given.crop)
    return given


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


@dataclass(frozen=True)
class Filled:
    """What the pipeline made of a job.

    Attributes:
        given: The contents of the job's files.
        rgb: (H, W, 3) uint8.
        edges: (H, W) float32 in [0, 1]: what the second net was given; None unless the job asks for it.
    """

    given: Prepared
    rgb: Array
    edges: Array | None


def inpaint(job: Job, runner: Runner) -> Outcome:
    """Fill the hole of one photo, or make a picture of it, and write it; see compute.

    Raises:
        PhotoError: a file cannot be read, does not fit, or cannot be written; see compute.
        UnrunnableError: see compute.
    """
    filled = compute(job, runner)
    write_photo(job.out, filled.given.photo, filled.rgb, filled.given.opaque)
    if job.edges_out is not None and filled.edges is not None:
        write_plane(job.edges_out, filled.edges)
    return Outcome(job, filled.given.share, filled.given.notes)


def compute(job: Job, runner: Runner, files: Mapping[Path, bytes] | None = None) -> Filled:
    """Fill the hole of one photo, or make a picture of it; known pixels come back as they are. Nothing is written.

    Args:
        job: The photo.
        runner: A pipeline's.
        files: The bytes of the job's files, if they were read already.

    Raises:
        PhotoError: a file cannot be read, does not fit, or cannot be written; or edges are given or asked for, and the
            pipeline knows none.
        UnrunnableError: the runtime fails, for want of memory most likely.
    """
    names = [spec.name for spec in runner.inputs]
    for path in (*(path for path, _ in job.edits), job.edges_out):
        if path is not None and EDITS not in names:
            raise PhotoError(path, "the pipeline's net knows no edges", "Leave out --draw, --erase and --edges-out")
    given = prepare(job, max(spec.minimum for spec in runner.inputs), files)
    results = runner.run(make_feeds(given, names))
    filled = paste(given, results["result"][0])
    if job.edges_out is None:
        return Filled(given, filled, None)
    edges = np.zeros(given.hole.shape, np.float32)
    given.crop.cut(edges)[:] = results["edges"][0, 0]
    return Filled(given, filled, edges)


def default_output(photo: Path, suffix: str = OUTPUT_SUFFIX) -> Path:
    """NAME-inpainted.png beside the photo."""
    return photo.with_name(f"{photo.stem}{suffix}.png")


def open_pipeline(bundle: Bundle, kinds: Sequence[tuple[str, ...]] = FILLING, threads: int | None = None) -> Runner:
    """A runner on the bundle's file for this machine: the GPU's where there is a GPU, else ONNX Runtime's.

    Args:
        bundle: A pipeline's.
        kinds: The inputs that it may have.
        threads: Size of ONNX Runtime's thread pool; None leaves the choice to it.

    Raises:
        BundleError: the bundle is of one net, or of another kind of pipeline, or holds no file that runs here.
    """
    inputs = tuple(spec.name for spec in bundle.signature.inputs)
    if inputs not in kinds:
        met, remedy = f"it is of {bundle.manifest.architecture}, which takes {', '.join(inputs)}", MAKE_PIPELINE
        if inputs in (*FILLING, *PICTURING):
            remedy = "Give photo and mask to ganport inpaint, a photo alone to ganport apply"
        raise BundleError(bundle.folder, met, remedy)
    found = {artifact.target: "it takes no photo" for artifact in bundle.manifest.artifacts}
    for artifact in filter(None, map(bundle.manifest.find_artifact, PREFERRED)):
        runner = open_artifact(bundle, artifact, threads)
        if not isinstance(runner, NotRun):
            return runner
        found[artifact.target] = runner.why
    reasons = "; ".join(f"{target}: {why}" for target, why in found.items())
    raise BundleError(bundle.folder, f"it holds nothing that runs here ({reasons})", "Convert again with --to onnx")


def runs_on_gpu(bundle: Bundle) -> bool:
    """Whether open_pipeline takes the GPU's file."""
    artifact = bundle.manifest.find_artifact(GPU)
    return artifact is not None and why_not_run(bundle, artifact) is None


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
