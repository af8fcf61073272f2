"""Nets that are ready to be run: the layers of an ONNX node, and small nets as the package that the target writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.bundle.folder import Bundle
from converters.onnx_graph.simplify import simplify
from converters.sources.export_torch import export_onnx, fix_size
from converters.sources.spectral_norm import fold_spectral_norm
from converters.targets.target import Artifact
from converters.targets.wolfram.ops import Net
from converters.targets.wolfram.syntax import format_list, format_string
from converters.targets.wolfram.write import TEMPLATES
from parity_tests.support.architecture_cases import CASES
from parity_tests.support.mathics import Call, Kernel
from parity_tests.support.wolfram_bundle import InterpretedRunner, write_files
from parity_tests.support.wolfram_interpreter import run_net
from reference.checkpoint import read_checkpoint
from reference.model import ReferenceModel
from reference.registry import identify

# Architectures whose layers depend on the size: their packages are written for one.
OF_ONE_SIZE = ("aot-gan", "deepfill-v2", "lama", "mi-gan")

Feeds = dict[str, NDArray[np.float32]]
# The functions of the package that a layer's text calls, one after another.
_TEMPLATE = (TEMPLATES / "package.wl").read_text(encoding="ascii")
HELPERS = _TEMPLATE.partition("(* versions:")[2].partition("*)")[2].partition("layers[weights_]")[0]


def _evaluate(net: Net, ports: dict[str, tuple[int, ...]], kernel: Kernel) -> Call:
    """The NetGraph that the net's layers and connections are, its ports of the shapes (C, H, W)."""
    layers = ", ".join(f"{format_string(name)} -> {layer}" for name, layer in net.layers.items())
    shapes = ", ".join(f"{format_string(name)} -> {format_list(shape)}" for name, shape in ports.items())
    kernel.store(net.weights)
    kernel.evaluate_all(HELPERS)
    kernel.evaluate('weights = Map[asArray, Import["any", "WXF"]]')
    graph = kernel.evaluate(f"NetGraph[<|{layers}|>, {{{', '.join(net.connections)}}}, {shapes}]")
    assert kernel.said == []
    assert isinstance(graph, Call)
    return graph


def run_layers(
    net: Net, feeds: Feeds, outputs: dict[str, tuple[int, ...]], version: float = 13.0
) -> dict[str, NDArray[np.float32]]:
    """Each item of the batch by itself, as a NetGraph runs them."""
    shapes = {**{name: array.shape[1:] for name, array in feeds.items()}, **outputs}
    graph = _evaluate(net, shapes, Kernel(version))
    (batch,) = {len(array) for array in feeds.values()}
    items = [
        run_net(graph, net.weights, {name: array[i] for name, array in feeds.items()}, version) for i in range(batch)
    ]
    return {name: np.stack([item[name] for item in items]) for name in outputs}


@dataclass(frozen=True)
class WrittenNet:
    """A package in its folder, and the untouched model that it was made of."""

    folder: Path
    model: ReferenceModel
    artifact: Artifact

    def open(self, version: float = 13.0) -> InterpretedRunner:
        return InterpretedRunner(self.folder, self.artifact, self.model, version)


def read_net(path: Path, bundle: Bundle) -> WrittenNet:
    """The package of a bundle that was made from the checkpoint `path`."""
    checkpoint = read_checkpoint(path)
    artifact = bundle.manifest.find_artifact("wolfram")
    assert artifact is not None
    return WrittenNet(bundle.folder, identify(checkpoint).build(checkpoint), artifact)


def write_net(architecture: str, folder: Path, *, raw: bool = False, size: tuple[int, int] | None = None) -> WrittenNet:
    """Write a small net's package into `folder`.

    Args:
        size: (H, W) for static shapes.
    """
    (case,) = (case for case in CASES if case.name == architecture)
    checkpoint = read_checkpoint(case.write(folder))
    model = identify(checkpoint).build(checkpoint, raw=raw)
    if size is not None:
        model = fix_size(model, size)
    graph = simplify(export_onnx(model, fold_spectral_norm(model.module), size))
    return WrittenNet(folder, model, write_files(folder, "net", graph, model))
