"""The targets: what each writes, what it needs, and how its file is opened again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from converters.runners import OnnxRunner, Runner
from converters.tensors import TensorSpec

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True)
class Source:
    """What every target starts from: the waist and its contract."""

    name: str
    waist: ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Artifact:
    """What one target wrote.

    Attributes:
        target: The target's name.
        precision: Element type of weights and arithmetic.
        files: File names inside the bundle's folder, in the order that `Target.open` takes them.
        versions: Libraries that wrote the files, name to version.
        details: What the target wants to say about them, JSON types.
    """

    target: str
    precision: str
    files: tuple[str, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


class Target(Protocol):
    """One row of TARGETS."""

    name: str
    gate: str
    formats: tuple[str, ...]
    needs: str

    def missing_builder(self) -> str | None:
        """Why this machine cannot write the target's files, or None if it can."""
        ...

    def missing_verifier(self) -> str | None:
        """Why this machine cannot run the target's files, or None if it can."""
        ...

    def write(self, source: Source, folder: Path) -> Artifact:
        """Write the target's files into `folder`.

        Raises:
            ConversionError: the waist has no translation; nothing was written.
        """
        ...

    def open(self, paths: Sequence[Path], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Runner:
        """A runner on the target's files."""
        ...


class OnnxTarget:
    """NAME.onnx."""

    name = "onnx"
    gate = "onnx"
    formats: tuple[str, ...] = ("ONNX",)
    needs = "nothing more"

    def missing_builder(self) -> str | None:
        return None

    def missing_verifier(self) -> str | None:
        return None

    def write(self, source: Source, folder: Path) -> Artifact:
        import onnx

        from converters.to_onnx import convert_to_onnx, serialize

        model = convert_to_onnx(source.waist, source.inputs, source.outputs, source.facts)
        file = f"{source.name}.onnx"
        (folder / file).write_bytes(serialize(model))
        return Artifact(
            self.name,
            "float32",
            (file,),
            {"onnx": onnx.__version__},
            {"opset": model.opset_import[0].version, "ir_version": model.ir_version},
        )

    def open(self, paths: Sequence[Path], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Runner:
        return OnnxRunner(paths[0], inputs, outputs)


TARGETS: dict[str, Target] = {target.name: target for target in (OnnxTarget(),)}
