"""Every exception that ganport raises on purpose; GanportError is the base of all.

Each message names the place, what was found there, and what to do. The command line prints the message and exits with
the exception's `exit_code`. A traceback means a defect in ganport.
"""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path


class GanportError(Exception):
    """A failure that the user can act on.

    Args:
        where: The file, option, node or parity rung at fault.
        met: What was found there, without a full stop.
        remedy: What to do about it, without a full stop.

    Attributes:
        exit_code: Exit code of the command line: 1 unless the class sets another.
    """

    exit_code = 1

    def __init__(self, where: object, met: str, remedy: str) -> None:
        super().__init__(f"{where}: {met}. {remedy}.")
        self.where = str(where)
        self.met = met
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[GanportError], tuple[str, str, str]]:
        """Pickle the three arguments, so that the exception can pass from one process to another."""
        return type(self), (self.where, self.met, self.remedy)


class CheckpointError(GanportError):
    """A checkpoint file cannot be read, or holds objects that a checkpoint must not hold."""


class ArchitectureError(GanportError):
    """No architecture, or more than one, fits the checkpoint."""


class PluginError(GanportError):
    """What another installed package adds to ganport cannot be used."""


class ExportError(GanportError):
    """The torch module cannot be written as ONNX."""


class ConversionError(GanportError):
    """A target's files cannot be written from the ONNX graph."""


class UnsupportedOpError(ConversionError):
    """An ONNX operator, or one of its inputs or attributes, has no translation into the target."""


class FeedError(GanportError):
    """An array given to a runner does not fit the model's contract."""


class ProfileError(FeedError):
    """An input's size lies outside a TensorRT engine's profile."""


class UnrunnableError(GanportError):
    """A file is valid, but this machine cannot run it."""


class PhotoError(GanportError):
    """An image file cannot be read, does not fit, or cannot be written."""


class NoImageError(PhotoError):
    """A file is no image of a known format."""


class TooLargeImageError(PhotoError):
    """An image has more pixels than are taken."""


class ConsumerError(GanportError):
    """The sources of a program that uses bundles without Python (consumers/) cannot be written."""


class BundleError(GanportError):
    """A bundle, or a file of it, cannot be written or read, or does not match its hashes."""


class ParityError(GanportError):
    """Outputs differ by more than the gate allows."""

    exit_code = 3


class UnjudgedError(ParityError):
    """Nothing could be compared, so that nothing is proven: no numbers differ."""

    exit_code = 1


class MissingPackageError(GanportError):
    """This machine lacks a package or a device that the target needs."""

    exit_code = 4


# Of an exception's text, in characters.
MAX_SAID = 300
# What libraries say where an allocation fails, if they do not raise MemoryError.
OUT_OF_MEMORY = re.compile("(can't|cannot|not|failed to) allocate|bad_?alloc|not enough memory", re.IGNORECASE)
GIVE_LESS = "Give smaller inputs, or let it have more with --max-memory"
OR_REPORT = "The file may be damaged; if it is sound, please report this line"


@contextlib.contextmanager
def explain_unforeseen(error_type: type[GanportError], where: object) -> Iterator[None]:
    """Turn an exception that a stage did not foresee into the stage's own.

    Our own exceptions pass, and those of the operating system, which say themselves what is wrong with which file.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, GanportError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        said = " ".join(str(error).split())[:MAX_SAID]
        if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(said):
            raise error_type(where, "it needs more memory than there is", GIVE_LESS) from error
        place = traceback.extract_tb(error.__traceback__)[-1]
        met = f"{type(error).__name__}, not foreseen, in {Path(place.filename).name}, line {place.lineno}: {said}"
        raise error_type(where, met, OR_REPORT) from error


def why_missing(load: Callable[[], object]) -> str | None:
    """Why an optional package is missing.

    Args:
        load: Imports the package.

    Returns:
        What the MissingPackageError says that `load` raises; None if it raises none.
    """
    try:
        load()
    except MissingPackageError as error:
        return error.met
    return None
