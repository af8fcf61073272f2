"""manifest.json as types: what a bundle says of itself, written and read through the same classes.

Keys that are not listed here are ignored on reading, so that an older ganport opens what a newer one wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from converters.parity.gates import Gate
from converters.targets.target import Artifact
from converters.tensors import Count, Length, Name, Signature
from reference.model import OutputPolicy

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class SourceRecord:
    """A file that the bundle was made from.

    Attributes:
        file: Its name, without the folder.
        format: "ONNX", or a checkpoint's format.
        sha256: Of its bytes, in hex.
        settings: What stood beside a checkpoint's tensors, such as the iteration, as text.
    """

    file: Name
    format: str
    sha256: str
    settings: Mapping[str, str]


@dataclass(frozen=True)
class ContractRecord(Signature):
    """Inputs and outputs, and (H, W) where `--size` fixed them."""

    static_size: tuple[Count, Count] | None


@dataclass(frozen=True)
class FileRecord:
    """A file of the bundle: its sha256 in hex, its size in bytes, and its format in words."""

    sha256: str
    size: Length
    format: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        schema_version: SCHEMA_VERSION.
        name: The bundle's.
        architecture: Name of the architecture or pipeline; "onnx" for a bundle made from an ONNX file.
        hyperparameters: Read from the checkpoint's shapes.
        raw: Whether it is the bare generator, without masking and compositing.
        judging: How an output is judged, by its name, if not on the whole plane by the target's gate.
        sources: The files that the bundle was made from.
        contract: Inputs and outputs.
        artifacts: One per target that wrote files.
        gates: The limits of every gate, by its name.
        not_verified: Why a target's files were not run, by its name; under "excess error", why none was judged.
        files: Every other file in the bundle.
        versions: Of ganport, Python, the libraries and the plugins' packages that made the bundle.
        license_note: Which licence covers the files.
    """

    schema_version: int
    name: Name
    architecture: Name
    hyperparameters: Mapping[str, int]
    raw: bool
    judging: Mapping[str, OutputPolicy]
    sources: Annotated[tuple[SourceRecord, ...], Meta(min_length=1)]
    contract: ContractRecord
    artifacts: Annotated[tuple[Artifact, ...], Meta(min_length=1)]
    gates: Mapping[str, Gate]
    not_verified: Mapping[str, str]
    files: Mapping[str, FileRecord]
    versions: Mapping[str, str]
    license_note: str

    def find_artifact(self, target: str) -> Artifact | None:
        """What the target of that name wrote; None if it wrote nothing."""
        return next((artifact for artifact in self.artifacts if artifact.target == target), None)
