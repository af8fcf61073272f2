"""Every exception that ganport raises on purpose.

    GanportError                 exit code 1
    ├── CheckpointError          the file cannot be read, or holds what no checkpoint may hold
    ├── ArchitectureError        no architecture, or more than one, fits the checkpoint
    ├── ExportError              the torch module cannot be written as ONNX
    ├── ConversionError          a target cannot be written from the ONNX graph
    │   └── UnsupportedOpError   an operator, or one of its attributes, has no translation
    ├── FeedError                an array handed to a runner does not fit the model's contract
    │   └── ProfileError         its size lies outside an engine's profile
    ├── UnrunnableError          a file is sound, but this machine does not run it
    ├── PhotoError               an image file cannot be read, does not fit, or cannot be written
    ├── ConsumerError            a consumer's sources cannot be written
    ├── BundleError              a bundle cannot be written, read, or is not what its hashes say
    ├── ParityError              exit code 3: the numbers differ by more than the gate allows
    └── MissingPackageError      exit code 4: this machine lacks what the target needs

Each message says where, what was met, and what to do. The command line prints it and leaves
with `exit_code`; a traceback means a defect of ganport's own.
"""

from __future__ import annotations


class GanportError(Exception):
    """A failure the user can act on.

    Args:
        where: The file, option, node or rung at fault.
        met: What was found there, without a full stop.
        remedy: What to do about it, without a full stop.
    """

    exit_code = 1

    def __init__(self, where: object, met: str, remedy: str) -> None:
        super().__init__(f"{where}: {met}. {remedy}.")
        self.where = str(where)
        self.met = met
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[GanportError], tuple[str, str, str]]:
        """So that it passes from one process to another."""
        return type(self), (self.where, self.met, self.remedy)


class CheckpointError(GanportError):
    """The file cannot be read, or holds what no checkpoint may hold."""


class ArchitectureError(GanportError):
    """No architecture, or more than one, fits the checkpoint."""


class ExportError(GanportError):
    """The torch module cannot be written as ONNX."""


class ConversionError(GanportError):
    """A target cannot be written from the ONNX graph."""


class UnsupportedOpError(ConversionError):
    """An operator, or one of its attributes, has no translation."""


class FeedError(GanportError):
    """An array handed to a runner does not fit the model's contract."""


class ProfileError(FeedError):
    """An input's size lies outside an engine's profile."""


class UnrunnableError(GanportError):
    """A file is sound, but this machine does not run it."""


class PhotoError(GanportError):
    """An image file cannot be read, does not fit, or cannot be written."""


class ConsumerError(GanportError):
    """A consumer's sources cannot be written."""


class BundleError(GanportError):
    """A bundle cannot be written, read, or is not what its hashes say."""


class ParityError(GanportError):
    """The numbers differ by more than the gate allows."""

    exit_code = 3


class MissingPackageError(GanportError):
    """This machine lacks what the target needs."""

    exit_code = 4
