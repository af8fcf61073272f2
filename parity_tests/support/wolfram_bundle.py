"""The files that the Wolfram target writes, evaluated by Mathics and run by the interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto
from wolframclient.deserializers import binary_deserialize

from converters.targets.profile import DEFAULT_PROFILE
from converters.targets.target import Artifact, TargetInput
from converters.targets.wolfram.target import WolframTarget
from converters.tensors import Signature, Tensors, TensorSpec
from parity_tests.support.mathics import Call, Kernel, quote
from parity_tests.support.wolfram_interpreter import run_net
from reference.model import ReferenceModel


def write_files(folder: Path, name: str, graph: ModelProto, model: ReferenceModel) -> Artifact:
    """What `ganport convert --to wolfram` adds to a bundle."""
    return WolframTarget().write(
        TargetInput(name, graph, Signature(model.inputs, model.outputs), {}, DEFAULT_PROFILE), folder
    )


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """A WXF file, by the reader of the package that wrote it."""
    return dict(binary_deserialize(path.read_bytes()))


def load(package: Path, weights: Sequence[str], version: float = 13.0) -> Kernel:
    """A kernel that has evaluated the package, which will find these arrays in its WXF file."""
    kernel = Kernel(version)
    kernel.store(weights)
    kernel.get(package)
    return kernel


class InterpretedRunner:
    """The package's NetGraph of arrays, built anew for each size, on every item of a batch."""

    def __init__(self, folder: Path, artifact: Artifact, model: ReferenceModel, version: float = 13.0) -> None:
        self.version = version
        self.inputs: Sequence[TensorSpec] = model.inputs
        self.outputs: Sequence[TensorSpec] = model.outputs
        self.weights = read_weights(folder / artifact.files[1])
        self.builder = artifact.details["function"]
        self.kernel = load(folder / artifact.files[0], list(self.weights), version)

    def build(self, options: str) -> Call:
        """What the builder gives for these options, without a word."""
        graph = self.kernel.evaluate(f"{self.builder}[{options}]")
        assert self.kernel.said == []
        assert isinstance(graph, Call)
        return graph

    def run(self, feeds: Tensors) -> Tensors:
        batch, _, height, width = feeds[self.inputs[0].name].shape
        graph = self.build(f'{quote("Ports")} -> "Arrays", "ImageSize" -> {{{width}, {height}}}')
        items = [
            run_net(graph, self.weights, {name: feeds[name][i] for name in feeds}, self.version) for i in range(batch)
        ]
        return {spec.name: np.stack([item[spec.name] for item in items]) for spec in self.outputs}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None: ...
