"""The target `mxnet`: NAME-symbol.json and NAME-0000.params, the pair that mx.model.load_checkpoint(NAME, 0) reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from converters.errors import BundleError
from converters.runners import Runner
from converters.targets.mxnet.readme import format_readme
from converters.targets.target import Artifact, CppRuntime, Target, TargetInput
from converters.tensors import Signature


class MxnetTarget(Target):
    """A symbol and its params for MXNet 1.9.1; writing them needs no MXNet."""

    name = "mxnet"
    gate = "mxnet"
    formats = ("MXNet symbol", "MXNet params")
    needs = "nothing to write; the extra 'mxnet' to check the numbers"
    runtime = "mxnet"
    no_pipeline = (
        "a symbol has no loop that runs until nothing changes, as Canny's hysteresis does, and no 8-bit arithmetic"
    )
    cpp_runtimes = (
        CppRuntime(
            "mxnet",
            "MXNet 1.9.1",
            "MXNET_ROOT",
            "the folder that holds its `include/`, such as that of its Python package",
            dtypes=("float32",),  # all that MXNet's predict interface takes
        ),
    )

    def missing_verifier(self) -> str | None:
        from converters.targets.mxnet.runtime import missing_mxnet

        missing = missing_mxnet()
        return None if missing is None else f"written, numbers not checked: {missing}"

    def write(self, source: TargetInput, folder: Path) -> Artifact:
        from converters.onnx_graph.shapes import read_precision
        from converters.targets.mxnet.write import convert_to_mxnet

        graph, gate, details = source.waist, self.gate, {}
        if source.tuned is not None:
            graph, details = source.tuned.planned, source.tuned.describe()
            gate = source.tuned.gate_of_file(self.gate)
        files = convert_to_mxnet(graph)
        symbol, params = f"{source.name}-symbol.json", f"{source.name}-0000.params"
        (folder / symbol).write_text(files.symbol_json)
        (folder / params).write_bytes(files.params)
        return Artifact(self.name, read_precision(graph), gate, (symbol, params), {"mxnet format": "1.9.1"}, details)

    def load_runtime(self) -> None:
        from converters.targets.mxnet.runtime import load_mxnet

        load_mxnet()

    def open(self, paths: Sequence[Path], signature: Signature, threads: int | None = None) -> Runner:
        """`threads` has no effect: MXNet reads OMP_NUM_THREADS, once, when it is imported."""
        from converters.targets.mxnet.runtime import MxnetRunner

        if len(paths) != 2:
            raise BundleError(
                paths[0].parent, f"it names {len(paths)} files for mxnet, not 2", "Convert its source again"
            )
        return MxnetRunner(paths[0], paths[1], signature.inputs, signature.outputs)

    def format_readme(self, name: str, signature: Signature, artifact: Artifact) -> str:
        return format_readme(name, signature)
