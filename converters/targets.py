"""The targets: what each writes, what it needs, and how its file is opened again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from converters.runners import OnnxRunner, Runner
from converters.tensors import TensorSpec

if TYPE_CHECKING:
    from onnx import ModelProto

    from converters.to_tensorrt import Profile
    from reference import Piece


@dataclass(frozen=True)
class Source:
    """What every target starts from: the waist and its contract.

    Attributes:
        name: The bundle's, and so of its files.
        waist: The simplified graph of the whole model.
        inputs: Contract.
        outputs: Contract.
        facts: For the file's metadata.
        profile: Sizes that an engine takes.
        pieces: What the model is made of, for a target that cannot take it whole.
    """

    name: str
    waist: ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    facts: Mapping[str, str]
    profile: Profile
    pieces: tuple[Piece, ...] = ()


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
    """One row of TARGETS; `no_pipeline` says why the target cannot express a pipeline, None if it can."""

    name: str
    gate: str
    formats: tuple[str, ...]
    needs: str
    no_pipeline: str | None

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
    no_pipeline: str | None = None

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


class MxnetTarget:
    """NAME-symbol.json and NAME-0000.params: the pair that mx.model.load_checkpoint(NAME, 0) reads."""

    name = "mxnet"
    gate = "mxnet"
    formats: tuple[str, ...] = ("MXNet symbol", "MXNet params")
    needs = "nothing to write; the extra 'mxnet' to check the numbers"
    no_pipeline: str | None = (
        "a symbol has no loop that runs until nothing changes, as Canny's hysteresis does, and no 8-bit arithmetic"
    )

    def missing_builder(self) -> str | None:
        return None

    def missing_verifier(self) -> str | None:
        from converters.mxnet_runtime import missing_mxnet

        missing = missing_mxnet()
        return None if missing is None else f"written, numbers not checked: {missing}"

    def write(self, source: Source, folder: Path) -> Artifact:
        from converters.to_mxnet import convert_to_mxnet

        files = convert_to_mxnet(source.waist)
        symbol, params = f"{source.name}-symbol.json", f"{source.name}-0000.params"
        (folder / symbol).write_text(files.symbol_json)
        (folder / params).write_bytes(files.params)
        return Artifact(self.name, "float32", (symbol, params), {"mxnet format": "1.9.1"})

    def open(self, paths: Sequence[Path], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Runner:
        from converters.mxnet_runtime import MxnetRunner

        return MxnetRunner(paths[0], paths[1], inputs, outputs)


class TensorrtTarget:
    """NAME.engine."""

    name = "trt"
    gate = "tensorrt"
    formats: tuple[str, ...] = ("TensorRT engine",)
    needs = "the extra 'tensorrt' to build; an NVIDIA GPU to check the numbers"
    no_pipeline: str | None = None

    def missing_builder(self) -> str | None:
        from converters.tensorrt_runtime import missing_tensorrt

        return missing_tensorrt()

    def missing_verifier(self) -> str | None:
        from converters.tensorrt_runtime import has_gpu

        return None if has_gpu() else "built, numbers not checked: no GPU"

    def write(self, source: Source, folder: Path) -> Artifact:
        from converters.to_tensorrt import NOTES, build_engine

        if len(source.pieces) > 1:
            return self._write_chain(source, folder)
        build = build_engine(source.waist, source.profile)
        file = f"{source.name}.engine"
        (folder / file).write_bytes(build.engine)
        details = {**build.details, "note": NOTES[build.package]}
        return Artifact(self.name, "float32", (file,), {build.package: build.version}, details)

    def _write_chain(self, source: Source, folder: Path) -> Artifact:
        """The nets as engines; what is around them, which TensorRT cannot express (float64), as ONNX files."""
        from converters.chain import write_chain
        from converters.join_graphs import take_out
        from converters.to_onnx import convert_to_onnx, serialize
        from converters.to_tensorrt import NOTES, build_engine

        links = []
        details: dict[str, Any] = {}
        versions: dict[str, str] = {}
        for piece in source.pieces:
            inputs, outputs = (
                [replace(spec, name=piece.wire(spec.name)) for spec in specs] for specs in (piece.inputs, piece.outputs)
            )
            graph = take_out(source.waist, [spec.name for spec in inputs], [spec.name for spec in outputs])
            if any(node.op_type == "Conv" for node in graph.graph.node):
                build = build_engine(graph, source.profile)
                file, data = f"{source.name}-{piece.name}.engine", build.engine
                details[file] = build.details
                versions[build.package] = build.version
                details["note"] = NOTES[build.package]
            else:
                file = f"{source.name}-{piece.name}.onnx"
                data = serialize(convert_to_onnx(graph, inputs, outputs, source.facts))
            (folder / file).write_bytes(data)
            links.append((file, inputs, outputs))
        chain = f"{source.name}-chain.json"
        write_chain(folder / chain, links)
        return Artifact(self.name, "float32", (chain, *(file for file, _, _ in links)), versions, details)

    def open(self, paths: Sequence[Path], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Runner:
        from converters.chain import ChainRunner
        from converters.tensorrt_runtime import TensorrtRunner

        if paths[0].suffix == ".json":
            return ChainRunner(paths[0], inputs, outputs)
        return TensorrtRunner(paths[0], inputs, outputs)


TARGETS: dict[str, Target] = {target.name: target for target in (OnnxTarget(), MxnetTarget(), TensorrtTarget())}
