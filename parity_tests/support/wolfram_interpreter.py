"""Run a NetGraph expression by what the documentation pages of its layers say, in torch.

It knows nothing of ganport's converters. A layer, option or setting that it does not know is an error, shapes that
differ where two arrays meet are one too: it broadcasts and resizes nothing, and looks at no name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parity_tests.support.mathics import Call, Symbol
from parity_tests.support.wolfram_layers import CONSTANT_LAYERS, Arrays, require, run_layer

LEVELS = 255
COLORS = {"Grayscale": 1, "RGB": 3}


def run_net(
    graph: Call, stored: Arrays, feeds: Mapping[str, NDArray[Any]], version: float = 13.0
) -> dict[str, NDArray[Any]]:
    """The outputs of NetGraph[<|name -> layer...|>, {source -> target...}, port -> shape...] for one item.

    Args:
        stored: What each Stored["name"] stands for.
        feeds: By input port: float32 (C, H, W), or where the port has an encoder an image, uint8 (H, W) or (H, W, 3).
        version: Of the language: a layer or option that it lacks is an error.
    """
    require(graph.head == "NetGraph", graph.head)
    layers, connections, *options = graph.arguments
    ports = dict(rule.arguments for rule in options)
    sources: dict[str, list[Any]] = {}
    results: dict[str, Any] = {}
    for rule in connections:
        given, target = rule.arguments
        if isinstance(target, Call):
            require(target.head == "NetPort" and target.arguments[0] not in results, f"port {target} given twice")
            results[target.arguments[0]] = given
        else:
            sources.setdefault(target, []).extend(given if isinstance(given, list) else [given])
    require(
        sources.keys() == {name for name, layer in layers.items() if layer.head not in CONSTANT_LAYERS},
        "a layer without input, or a connection to no layer",
    )
    known: dict[str, Tensor] = {}
    used = set(results.values())

    def value(source: Any) -> Tensor:
        if isinstance(source, Call):
            require(source.head == "NetPort", source)
            return _encode(ports[source.arguments[0]], feeds[source.arguments[0]])
        return known[source]

    while len(known) < len(layers):
        ready = [
            name
            for name in layers
            if name not in known
            and all(isinstance(source, Call) or source in known for source in sources.get(name, []))
        ]
        require(bool(ready), "layers in a circle, or a source that is no layer")
        for name in ready:
            given = sources.get(name, [])
            require(all(given.count(each) == 1 for each in given), f"{name} takes one source twice")
            known[name] = run_layer(layers[name], stored, [value(each) for each in given], version)
            used.update(each for each in given if isinstance(each, str))
    outputs = {port: value(source) for port, source in results.items()}
    require(used == layers.keys(), "an output that is connected to nothing")
    require(ports.keys() == feeds.keys() | outputs.keys(), f"ports {sorted(ports)}")
    return {port: _decode(ports[port], output) for port, output in outputs.items()}


def _encode(port: Any, fed: NDArray[Any]) -> Tensor:
    """{c, h, w} takes such an array; NetEncoder[{"Image", {w, h}, ColorSpace -> c}] an image, to 0..1."""
    if isinstance(port, list):
        require(list(fed.shape) == port and fed.dtype == np.float32, (fed.shape, port))
        return torch.from_numpy(fed)
    require(port.head == "NetEncoder", port)
    ((kind, size, rule),) = port.arguments
    require(kind == "Image" and rule.head == "Rule" and rule.arguments[0] == Symbol("ColorSpace"), port)
    planes = fed if fed.ndim == 3 else fed[:, :, None]
    require(fed.dtype == np.uint8 and planes.shape == (size[1], size[0], COLORS[rule.arguments[1]]), (fed.shape, port))
    return torch.from_numpy(planes.transpose(2, 0, 1).astype(np.float32) / np.float32(LEVELS))


def _decode(port: Any, result: Tensor) -> NDArray[Any]:
    """{c, h, w} gives the array; NetDecoder[{"Image", ColorSpace -> c}] an image (h, w, c) of values in 0..1."""
    if isinstance(port, list):
        require(list(result.shape) == port, (result.shape, port))
        return result.numpy()
    require(port.head == "NetDecoder", port)
    ((kind, rule),) = port.arguments
    require(kind == "Image" and rule.arguments[0] == Symbol("ColorSpace"), port)
    require(result.shape[0] == COLORS[rule.arguments[1]], (result.shape, port))
    return result.numpy().transpose(1, 2, 0)
