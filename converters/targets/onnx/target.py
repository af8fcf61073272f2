"""The target `onnx`: NAME.onnx, for ONNX Runtime and whatever else reads ONNX."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from converters.runners import OnnxRunner, Runner
from converters.targets.onnx.readme import format_readme
from converters.targets.target import Artifact, CppRuntime, Target, TargetInput
from converters.tensors import Signature


class OnnxTarget(Target):
    """One self-contained ONNX file of opset 18."""

    name = "onnx"
    gate = "onnx"
    formats = ("ONNX",)
    needs = "nothing more"
    runtime = "onnxruntime"
    cpp_runtimes = (
        CppRuntime("onnxruntime", "ONNX Runtime", "ONNXRUNTIME_ROOT", "the folder of its unpacked release archive"),
        CppRuntime("openvino", "OpenVINO", "OpenVINO_DIR", "the folder that holds its `OpenVINOConfig.cmake`"),
    )

    def write(self, source: TargetInput, folder: Path) -> Artifact:
        import onnx

        from converters.onnx_graph.serialize import serialize
        from converters.onnx_graph.shapes import read_precision
        from converters.targets.onnx.write import TUNING_FACT, convert_to_onnx

        graph, gate, facts, tuning = source.waist, self.gate, dict(source.facts), {}
        if source.tuned is not None:
            graph, tuning = source.tuned.graph, {**source.tuned.describe(), "small": source.tuned.small}
            gate = source.tuned.gate_of_file(self.gate)
            facts[TUNING_FACT] = json.dumps(tuning)
        model = convert_to_onnx(graph, source.signature, facts)
        file = f"{source.name}.onnx"
        (folder / file).write_bytes(serialize(model))
        details = {"opset": model.opset_import[0].version, "ir_version": model.ir_version, **tuning}
        return Artifact(self.name, read_precision(model), gate, (file,), {"onnx": onnx.__version__}, details)

    def load_runtime(self) -> None:
        import onnxruntime  # noqa: F401

    def open(self, paths: Sequence[Path], signature: Signature, threads: int | None = None) -> Runner:
        return OnnxRunner(paths[0], signature.inputs, signature.outputs, threads)

    def format_readme(self, name: str, signature: Signature, artifact: Artifact) -> str:
        return format_readme(artifact.files[0])
