"""The target `wolfram`: a package that builds a NetGraph, its weights, and a program that checks every route."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from converters.errors import UnrunnableError
from converters.runners import Runner
from converters.targets.target import Artifact, Target, TargetInput
from converters.targets.wolfram.readme import format_readme
from converters.tensors import Signature

# The net whose bundle gets the program from photo to photo, which needs the edge net's bundle, too.
PIPELINES_LAST_NET, PIPELINE = "edgeconnect-inpaint", "EdgeConnectInpaint.wl"


def _takes_photos(signature: Signature) -> bool:
    """Whether a net takes photo, edges and mask as they are, of any size: not with `--raw` or `--size`."""
    return len(signature.inputs) > 1 and all(isinstance(axis, str) for axis in signature.inputs[0].shape[2:])


class WolframTarget(Target):
    """NAME.wl builds a NetGraph from the arrays of NAME-weights.wxf; NAME-check.wl runs the golden case."""

    name = "wolfram"
    gate = "mxnet"
    formats = ("Wolfram Language", "WXF")
    needs = "the extra 'wolfram' to write; Mathematica or a Wolfram Engine to check the numbers"
    runtime = "mathematica"
    no_pipeline = (
        "a NetGraph has no loop that runs until nothing changes, as Canny's hysteresis does, and no 8-bit arithmetic"
    )
    companions = ("onnx", "mxnet")

    def missing_builder(self) -> str | None:
        from converters.targets.wolfram.weights import missing_wolframclient

        return missing_wolframclient()

    def missing_verifier(self) -> str | None:
        return "written, numbers not checked: no Mathematica kernel here has run it"

    def write(self, source: TargetInput, folder: Path) -> Artifact:
        from converters.parity.gates import GATES
        from converters.targets.wolfram.fix_size import translate
        from converters.targets.wolfram.weights import serialize_weights, wolframclient_version
        from converters.targets.wolfram.write import (
            TEMPLATES,
            WolframFiles,
            format_check,
            format_package,
            format_paclet,
        )

        sized = translate(source.waist, source.signature)
        net, inputs, outputs = sized.net, sized.signature.inputs, sized.signature.outputs
        files = WolframFiles(source.name)
        largest = GATES[self.gate].max_abs
        assert largest is not None
        (folder / files.package).write_text(format_package(files, net, inputs, outputs), encoding="ascii")
        (folder / files.weights).write_bytes(serialize_weights(net.weights))
        (folder / files.check).write_text(format_check(files, inputs, outputs, largest), encoding="ascii")
        (folder / files.paclet).write_text(format_paclet(files, net), encoding="ascii")
        extra: tuple[str, ...] = ()
        if source.facts.get("architecture") == PIPELINES_LAST_NET and _takes_photos(source.signature):
            (folder / PIPELINE).write_text((TEMPLATES / PIPELINE).read_text(encoding="ascii"), encoding="ascii")
            extra = (PIPELINE,)
        return Artifact(
            self.name,
            "float32",
            self.gate,
            (files.package, files.weights, files.check, files.paclet, *extra),
            {"wolframclient": wolframclient_version()},
            {
                "function": files.builder,
                "run": files.run,
                "layers": len(net.layers),
                "version": net.version,
                **({} if sized.size is None else {"size": list(sized.size)}),
            },
        )

    def load_runtime(self) -> None:
        """Nothing to import: no kernel runs here."""

    def open(self, paths: Sequence[Path], signature: Signature, threads: int | None = None) -> Runner:
        """
        Raises:
            UnrunnableError: always.
        """
        raise UnrunnableError(
            paths[0],
            "no Mathematica kernel runs it here",
            f"Where there is one, run wolframscript -file {paths[2].name}",
        )

    def format_readme(self, name: str, signature: Signature, artifact: Artifact) -> str:
        return format_readme(signature, artifact)
