"""One photo of many: the same function in every engine.

A result is a PNG file whose text holds a hash of all that it was made of. So a later run knows what is done: it leaves
a result that is whole and of the same hash, and makes all others again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from converters.bundle.checksums import SUMS
from converters.bundle.folder import read_bundle
from converters.errors import GanportError, PhotoError, UnrunnableError, explain_unforeseen
from converters.files import hash_file
from converters.inpaint import Job, Outcome, compute, open_pipeline
from converters.photos.image_files import encode_photo, read_bytes, write_whole
from converters.runners import Runner

# The key of the hash in the text of a result.
SOURCE_KEY = "ganport-source"
# How often a photo is tried.
TRIES = 2
FEWER_WORKERS = "Give a lower number with --workers, or scale it down"

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What all photos of a run have in common; it is sent to every process.

    Attributes:
        bundle: The pipeline's folder.
        kinds: The inputs that the pipeline may have.
        threads: Of the runtime, in each process. One, so that bytes are the same whatever the number of processes:
            with other numbers, ONNX Runtime gives other last bits in some nets (seen in deepfill-v2).
    """

    bundle: Path
    kinds: Sequence[tuple[str, ...]]
    threads: int = 1

    def open(self) -> Runner:
        """A runner of the pipeline.

        Raises:
            BundleError: see open_pipeline.
        """
        return open_pipeline(read_bundle(self.bundle), self.kinds, self.threads)


@dataclass(frozen=True)
class Loaded:
    """A job's files.

    Attributes:
        files: Their bytes.
        source: The hash of all that the result will be made of.
    """

    files: Mapping[Path, bytes]
    source: str


def hash_bundle(bundle: Path) -> str:
    """The hash of a bundle's files: that of its SHA256SUMS, to which its files are held when it is opened."""
    return hash_file(bundle / SUMS)


def run_job(job: Job, bundle_hash: str, runner: Runner, tries: int = TRIES) -> Outcome:
    """Make the result of one photo and write it, unless it is there already.

    Args:
        job: The photo; its result is a PNG file in a folder that exists.
        bundle_hash: See hash_bundle.
        runner: The pipeline's.
        tries: How often to try, at least once.
    """
    loaded = load_job(job, bundle_hash, tries)
    return loaded if isinstance(loaded, Outcome) else finish_job(job, loaded, runner, tries)


def load_job(
    job: Job, bundle_hash: str, tries: int = TRIES, read: Callable[[Path], bytes] = read_bytes
) -> Loaded | Outcome:
    """Read a job's files, by `read`; an Outcome if its result is there, or if they cannot be read."""

    def load() -> Loaded | Outcome:
        given = (job.photo, job.mask, job.draw, job.erase)
        files = {path: read(path) for path in given if path is not None}
        source = _hash_source(job, files, bundle_hash)
        return Outcome(job, there=True) if is_made_of(job.out, source) else Loaded(files, source)

    return _try(job, load, tries)


def finish_job(job: Job, loaded: Loaded, runner: Runner, tries: int = TRIES) -> Outcome:
    """Make the result of a job whose files were read, and write it."""

    def finish() -> Outcome:
        data, outcome = make_result(job, loaded, runner)
        write_whole(job.out, data)
        return outcome

    return _try(job, finish, tries)


def make_result(job: Job, loaded: Loaded, runner: Runner) -> tuple[bytes, Outcome]:
    """The bytes of a job's PNG file, and what became of the job. Nothing is read or written.

    Raises:
        GanportError: see converters.inpaint.compute.
    """
    filled = compute(job, runner, loaded.files)
    data = encode_photo(".png", filled.given.photo, filled.rgb, filled.given.opaque, {SOURCE_KEY: loaded.source})
    return data, Outcome(job, filled.given.share, filled.given.notes)


def explain_end(job: Job, end: str = "killed") -> UnrunnableError:
    """Why a photo failed that ended its process each time; `end` tells how."""
    met = f"the process that worked on it ended {TRIES} times ({end}), for want of memory most likely"
    return UnrunnableError(job.photo, met, FEWER_WORKERS)


def is_made_of(result: Path, source: str) -> bool:
    """Whether a result is there, whole, and of this hash."""
    from PIL import Image

    try:
        with Image.open(result, formats=["PNG"]) as image:
            if image.info.get(SOURCE_KEY) != source:
                return False
            image.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True


def _hash_source(job: Job, files: Mapping[Path, bytes], bundle_hash: str) -> str:
    """A hash of the files' bytes, not of their names, of the bundle, the options, and ganport's version."""

    def hash_of(path: Path | None) -> str | None:
        return None if path is None else hashlib.sha256(files[path]).hexdigest()

    parts = {
        "ganport": version("ganport"),
        "bundle": bundle_hash,
        "photo": hash_of(job.photo),
        "mask": hash_of(job.mask),
        "draw": hash_of(job.draw),
        "erase": hash_of(job.erase),
        "reading": asdict(job.reading),
        "context": job.context,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _try(job: Job, step: Callable[[], T], tries: int) -> T | Outcome:
    """What `step` gives; an Outcome with the last error if it fails each time."""
    for left in reversed(range(tries)):
        try:
            with explain_unforeseen(PhotoError, job.photo):
                return step()
        except (GanportError, OSError) as error:
            if left == 0:
                return Outcome(job, error=_explain(job, error))
    raise AssertionError("tries is 1 or more")


def _explain(job: Job, error: GanportError | OSError) -> GanportError:
    if isinstance(error, GanportError):
        return error
    return PhotoError(error.filename or job.photo, error.strerror or str(error), "Check space and permissions")
