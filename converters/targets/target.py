"""What a target is: how it writes files from a graph, what it then says of them, and how it opens them again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from converters.parity.compare import ParitySummary
from converters.runners import Runner
from converters.targets.profile import Profile
from converters.tensors import GraphPiece, Name, Signature

if TYPE_CHECKING:
    from onnx import ModelProto

    from converters.rewrites.tune_cpu import TuningStep


@dataclass(frozen=True)
class TargetInput:
    """What every target writes its files from.

    Attributes:
        name: The bundle's name; file names begin with it.
        waist: The simplified ONNX graph of the whole model.
        signature: Its inputs and outputs.
        facts: For the file's metadata.
        profile: The sizes that a TensorRT engine takes.
        pieces: The nets of a pipeline and what is around them, in the order in which they run; one piece, or none, of
            a single net.
        tuned: The graph rewritten for a CPU, if `--tune cpu` was given.
    """

    name: str
    waist: ModelProto
    signature: Signature
    facts: Mapping[str, str]
    profile: Profile
    pieces: tuple[GraphPiece, ...] = ()
    tuned: TuningStep | None = None


@dataclass(frozen=True)
class Artifact:
    """The files that one target wrote, and what was proven of them: an entry of the manifest.

    Attributes:
        target: The target's name.
        precision: Element type of weights and arithmetic.
        gate: Name of the gate that the outputs are held to.
        files: File names inside the bundle's folder, in the order in which `Target.open` takes them.
        versions: Version of each library that wrote the files, by its name.
        details: Facts of this target's own, as JSON types.
        parity: The worst errors over all parity inputs; None if the files were not run.
        verified: Whether the files were run, and passed the gate.
    """

    target: Name
    precision: str
    gate: Name
    files: Annotated[tuple[Name, ...], Meta(min_length=1)]
    versions: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    parity: ParitySummary | None = None
    verified: bool = False


@dataclass(frozen=True)
class CppRuntime:
    """A runtime that ganport's C++ library can be built with, to run a target's files.

    Attributes:
        backend: Its name in -DGANPORT_BACKEND.
        title: The runtime's own name.
        location: The CMake variable that holds the runtime's folder; the README's shell variable has the same name.
        where: What that folder is.
        dtypes: numpy names of the element types that the library can pass to it.
    """

    backend: str
    title: str
    location: str
    where: str
    dtypes: tuple[str, ...] = ("float32", "uint8", "int8", "int32", "int64", "bool", "float16", "float64")


class Target(ABC):
    """A format that models are converted to.

    Attributes:
        name: As `--to` takes it.
        gate: Name of the gate that its files are held to.
        formats: Of its files, in words.
        needs: What it needs beyond ganport's own dependencies, in words.
        runtime: The runtime that opens its files, in words.
        no_pipeline: Why the target cannot express a pipeline of several nets; None if it can.
        companions: Targets that are always written with this one.
        cpp_runtimes: The runtimes in which a C++ program can run its files.
    """

    name: str
    gate: str
    formats: tuple[str, ...]
    needs: str
    runtime: str
    no_pipeline: str | None = None
    companions: tuple[str, ...] = ()
    cpp_runtimes: tuple[CppRuntime, ...] = ()

    def missing_builder(self) -> str | None:
        """Why this machine cannot write the target's files; None if it can."""
        return None

    def missing_verifier(self) -> str | None:
        """Why this machine cannot run the target's files; None if it can."""
        return None

    @abstractmethod
    def write(self, source: TargetInput, folder: Path) -> Artifact:
        """Write the target's files into `folder`.

        Raises:
            ConversionError: the graph has no translation; nothing was written.
        """

    @abstractmethod
    def load_runtime(self) -> None:
        """Import what `open` needs, so that a benchmark does not count the import as load time."""

    @abstractmethod
    def open(self, paths: Sequence[Path], signature: Signature, threads: int | None = None) -> Runner:
        """A runner on the target's files.

        Args:
            paths: The artifact's files, in its order.
            signature: The model's inputs and outputs.
            threads: Size of the thread pool, where the runtime takes it at this point; None leaves it to the runtime.

        Raises:
            UnrunnableError: the files are sound, but this machine does not run them.
            BundleError: a file is damaged.
        """

    @abstractmethod
    def format_readme(self, name: str, signature: Signature, artifact: Artifact) -> str:
        """The section of a bundle's README that says how to run the files, as Markdown; `name` is the bundle's."""
