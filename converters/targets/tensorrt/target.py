"""The target `trt`: NAME.engine, or for a pipeline one engine per net and a chain that runs them in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converters.runners import Runner
from converters.targets.target import Artifact, Target, TargetInput
from converters.targets.tensorrt.readme import format_readme
from converters.tensors import Signature


class TensorrtTarget(Target):
    """Engines of float32, TF32 off."""

    name = "trt"
    gate = "tensorrt"
    formats = ("TensorRT engine",)
    needs = "the extra 'tensorrt' to build; an NVIDIA GPU to check the numbers"
    runtime = "tensorrt"

    def missing_builder(self) -> str | None:
        from converters.targets.tensorrt.runtime import missing_tensorrt

        return missing_tensorrt()

    def missing_verifier(self) -> str | None:
        from converters.targets.tensorrt.runtime import has_gpu, missing_tensorrt

        missing = missing_tensorrt() if has_gpu() else "no GPU"
        return None if missing is None else f"built, numbers not checked: {missing}"

    def write(self, source: TargetInput, folder: Path) -> Artifact:
        from converters.targets.tensorrt.build import NOTES, build_engine

        if len(source.pieces) > 1:
            return self._write_chain(source, folder)
        build = build_engine(source.waist, source.profile)
        file = f"{source.name}.engine"
        (folder / file).write_bytes(build.engine)
        details = {**build.details, "note": NOTES[build.package]}
        return Artifact(self.name, "float32", self.gate, (file,), {build.package: build.version}, details)

    def _write_chain(self, source: TargetInput, folder: Path) -> Artifact:
        """The nets as engines; the pieces around them, which need float64 that TensorRT lacks, as ONNX files."""
        from converters.onnx_graph.join_graphs import take_out
        from converters.onnx_graph.serialize import serialize
        from converters.targets.onnx.write import convert_to_onnx
        from converters.targets.tensorrt.build import NOTES, build_engine
        from converters.targets.tensorrt.chain import Link, write_chain

        links = []
        details: dict[str, Any] = {}
        versions: dict[str, str] = {}
        for piece in source.pieces:
            graph = take_out(source.waist, [spec.name for spec in piece.inputs], [spec.name for spec in piece.outputs])
            if any(node.op_type == "Conv" for node in graph.graph.node):
                build = build_engine(graph, source.profile)
                file, data = f"{source.name}-{piece.name}.engine", build.engine
                details[file] = build.details
                versions[build.package] = build.version
                details["note"] = NOTES[build.package]
            else:
                file = f"{source.name}-{piece.name}.onnx"
                data = serialize(convert_to_onnx(graph, piece, source.facts))
            (folder / file).write_bytes(data)
            links.append(Link(piece.inputs, piece.outputs, file))
        chain = f"{source.name}-chain.json"
        write_chain(folder / chain, links)
        return Artifact(self.name, "float32", self.gate, (chain, *(link.file for link in links)), versions, details)

    def load_runtime(self) -> None:
        from converters.targets.tensorrt.runtime import load_tensorrt

        load_tensorrt()

    def open(self, paths: Sequence[Path], signature: Signature, threads: int | None = None) -> Runner:
        """`threads` has no effect: an engine runs on the GPU."""
        from converters.targets.tensorrt.chain import ChainRunner
        from converters.targets.tensorrt.runtime import TensorrtRunner

        if paths[0].suffix == ".json":
            return ChainRunner(paths, signature.inputs, signature.outputs)
        return TensorrtRunner(paths[0], signature.inputs, signature.outputs)

    def format_readme(self, name: str, signature: Signature, artifact: Artifact) -> str:
        return format_readme(artifact, signature)
