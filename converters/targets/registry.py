"""The targets: what each writes, what it needs, and how its file is opened again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from converters.errors import UnrunnableError
from converters.runners import OnnxRunner, Runner
from converters.tensors import TensorSpec

if TYPE_CHECKING:
    from onnx import ModelProto

    from converters.rewrites.tune_cpu import TuningStep
    from converters.targets.tensorrt.build import Profile
    from reference.model import Piece

# Metadata key (after `ganport.`) of what was chosen for each convolution of a tuned file, as JSON.
TUNING_FACT = "tuning"


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
        tuned: The waist rewritten for a CPU, if that was asked for.
    """

    name: str
    waist: ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    facts: Mapping[str, str]
    profile: Profile
    pieces: tuple[Piece, ...] = ()
    tuned: TuningStep | None = None


@dataclass(frozen=True)
class Artifact:
    """What one target wrote.

    Attributes:
        target: The target's name.
        precision: Element type of weights and arithmetic.
        gate: Name of the gate that the files are held to.
        files: File names inside the bundle's folder, in the order that `Target.open` takes them.
        versions: Libraries that wrote the files, name to version.
        details: What the target wants to say about them, JSON types.
    """

    target: str
    precision: str
    gate: str
    files: tuple[str, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


class Target(Protocol):
    """One row of TARGETS.

    Attributes:
        no_pipeline: Why the target cannot express a pipeline, None if it can.
        companions: Targets that are always written with this one.
    """

    name: str
    gate: str
    formats: tuple[str, ...]
    needs: str
    no_pipeline: str | None
    companions: tuple[str, ...]

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


def _describe_tuning(tuned: TuningStep) -> dict[str, Any]:
    return {"tuned_for": "cpu", "convolutions": [asdict(choice) for choice in tuned.choices]}


def _read_precision(model: ModelProto) -> str:
    """numpy's names of the float types of inputs and weights; of all types where there is none."""
    from onnx import helper

    graph = model.graph
    kinds = {value.type.tensor_type.elem_type for value in graph.input} | {t.data_type for t in graph.initializer}
    names = sorted(helper.tensor_dtype_to_np_dtype(kind).name for kind in kinds)
    return " and ".join([name for name in names if "float" in name] or names)


class OnnxTarget:
    """NAME.onnx."""

    name = "onnx"
    gate = "onnx"
    formats: tuple[str, ...] = ("ONNX",)
    needs = "nothing more"
    no_pipeline: str | None = None
    companions: tuple[str, ...] = ()

    def missing_builder(self) -> str | None:
        return None

    def missing_verifier(self) -> str | None:
        return None

    def write(self, source: Source, folder: Path) -> Artifact:
        import onnx

        from converters.targets.onnx.write import convert_to_onnx, serialize

        graph, gate, facts, tuning = source.waist, self.gate, dict(source.facts), {}
        if source.tuned is not None:
            graph, gate, tuning = source.tuned.graph, source.tuned.gate, _describe_tuning(source.tuned)
            facts[TUNING_FACT] = json.dumps(tuning)
        model = convert_to_onnx(graph, source.inputs, source.outputs, facts)
        file = f"{source.name}.onnx"
        (folder / file).write_bytes(serialize(model))
        details = {"opset": model.opset_import[0].version, "ir_version": model.ir_version, **tuning}
        return Artifact(self.name, _read_precision(model), gate, (file,), {"onnx": onnx.__version__}, details)

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
    companions: tuple[str, ...] = ()

    def missing_builder(self) -> str | None:
        return None

    def missing_verifier(self) -> str | None:
        from converters.targets.mxnet.runtime import missing_mxnet

        missing = missing_mxnet()
        return None if missing is None else f"written, numbers not checked: {missing}"

    def write(self, source: Source, folder: Path) -> Artifact:
        from converters.targets.mxnet.write import convert_to_mxnet

        graph, gate, details = source.waist, self.gate, {}
        if source.tuned is not None:
            graph, gate, details = source.tuned.planned, source.tuned.gate, _describe_tuning(source.tuned)
        files = convert_to_mxnet(graph)
        symbol, params = f"{source.name}-symbol.json", f"{source.name}-0000.params"
        (folder / symbol).write_text(files.symbol_json)
        (folder / params).write_bytes(files.params)
        return Artifact(self.name, _read_precision(graph), gate, (symbol, params), {"mxnet format": "1.9.1"}, details)

    def open(self, paths: Sequence[Path], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Runner:
        from converters.targets.mxnet.runtime import MxnetRunner

        return MxnetRunner(paths[0], paths[1], inputs, outputs)


class TensorrtTarget:
    """NAME.engine."""

    name = "trt"
    gate = "tensorrt"
    formats: tuple[str, ...] = ("TensorRT engine",)
    needs = "the extra 'tensorrt' to build; an NVIDIA GPU to check the numbers"
    no_pipeline: str | None = None
    companions: tuple[str, ...] = ()

    def missing_builder(self) -> str | None:
        from converters.targets.tensorrt.runtime import missing_tensorrt

        return missing_tensorrt()

    def missing_verifier(self) -> str | None:
        from converters.targets.tensorrt.runtime import has_gpu

        return None if has_gpu() else "built, numbers not checked: no GPU"

    def write(self, source: Source, folder: Path) -> Artifact:
        from converters.targets.tensorrt.build import NOTES, build_engine

        if len(source.pieces) > 1:
            return self._write_chain(source, folder)
        build = build_engine(source.waist, source.profile)
        file = f"{source.name}.engine"
        (folder / file).write_bytes(build.engine)
        details = {**build.details, "note": NOTES[build.package]}
        return Artifact(self.name, "float32", self.gate, (file,), {build.package: build.version}, details)

    def _write_chain(self, source: Source, folder: Path) -> Artifact:
        """The nets as engines; what is around them, which TensorRT cannot express (float64), as ONNX files."""
        from converters.onnx_graph.join_graphs import take_out
        from converters.targets.onnx.write import convert_to_onnx, serialize
        from converters.targets.tensorrt.build import NOTES, build_engine
        from converters.targets.tensorrt.chain import write_chain

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
        return Artifact(self.name, "float32", self.gate, (chain, *(file for file, _, _ in links)), versions, details)

    def open(self, paths: Sequence[Path], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Runner:
        from converters.targets.tensorrt.chain import ChainRunner
        from converters.targets.tensorrt.runtime import TensorrtRunner

        if paths[0].suffix == ".json":
            return ChainRunner(paths[0], inputs, outputs)
        return TensorrtRunner(paths[0], inputs, outputs)


class WolframTarget:
    """NAME.wl, which builds a NetGraph; NAME-weights.wxf, its arrays; NAME-check.wl, which checks all three routes."""

    name = "wolfram"
    gate = "mxnet"
    formats: tuple[str, ...] = ("Wolfram Language", "WXF")
    needs = "the extra 'wolfram' to write; Mathematica or a Wolfram Engine to check the numbers"
    no_pipeline: str | None = (
        "a NetGraph has no loop that runs until nothing changes, as Canny's hysteresis does, and no 8-bit arithmetic"
    )
    companions: tuple[str, ...] = ("onnx", "mxnet")

    def missing_builder(self) -> str | None:
        from converters.targets.wolfram.weights import missing_wolframclient

        return missing_wolframclient()

    def missing_verifier(self) -> str | None:
        return "written, numbers not checked: no Mathematica kernel here has run it"

    def write(self, source: Source, folder: Path) -> Artifact:
        from converters.parity.gates import GATES
        from converters.targets.wolfram.weights import serialize_weights, wolframclient_version
        from converters.targets.wolfram.write import WolframFiles, convert_to_wolfram, format_check, format_package

        net = convert_to_wolfram(source.waist)
        files = WolframFiles(source.name)
        largest = GATES[self.gate].max_abs
        assert largest is not None
        (folder / files.package).write_text(format_package(files, net, source.inputs, source.outputs), encoding="ascii")
        (folder / files.weights).write_bytes(serialize_weights(net.weights))
        (folder / files.check).write_text(format_check(files, source.inputs, source.outputs, largest), encoding="ascii")
        return Artifact(
            self.name,
            "float32",
            self.gate,
            (files.package, files.weights, files.check),
            {"wolframclient": wolframclient_version()},
            {"function": files.builder, "layers": len(net.layers)},
        )

    def open(self, paths: Sequence[Path], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Runner:
        raise UnrunnableError(
            paths[0],
            "no Mathematica kernel runs it here",
            f"Where there is one, run wolframscript -file {paths[2].name}",
        )


TARGETS: dict[str, Target] = {
    target.name: target for target in (OnnxTarget(), MxnetTarget(), TensorrtTarget(), WolframTarget())
}


def with_companions(names: Sequence[str]) -> tuple[str, ...]:
    """The targets of these names and those that are written with them, in the order of TARGETS."""
    wanted = {name for chosen in names for name in (chosen, *TARGETS[chosen].companions)}
    return tuple(name for name in TARGETS if name in wanted)
