"""Run a NetGraph expression by what the documentation pages of its layers say, in torch.

It knows nothing of ganport's converters. A layer, option or setting that it does not know is an error, shapes that
differ where two arrays meet are one too: it broadcasts and resizes nothing, and looks at no name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from parity_tests.support.mathics import Call, Symbol

Arrays = Mapping[str, NDArray[np.float32]]
LEVELS = 255
COLORS = {"Grayscale": 1, "RGB": 3}
THREADED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Plus": torch.add,
    "Subtract": torch.sub,
    "Times": torch.mul,
    "Divide": torch.div,
}
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Ramp": torch.relu,
    "LogisticSigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
}
PADDINGS = {"Reflected": "reflect", "Fixed": "edge"}


class UndocumentedError(Exception):
    """The expression holds what no page was read for, or shapes that do not fit."""


def run_net(graph: Call, stored: Arrays, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The outputs of NetGraph[<|name -> layer...|>, {source -> target...}, port -> shape...] for one item.

    Args:
        stored: What each Stored["name"] stands for.
        feeds: By input port: float32 (C, H, W), or where the port has an encoder an image, uint8 (H, W) or (H, W, 3).
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
    require(sources.keys() == layers.keys(), "a layer without input, or a connection to no layer")
    known: dict[str, Tensor] = {}
    used: set[str] = set()

    def value(source: Any) -> Tensor:
        if isinstance(source, Call):
            require(source.head == "NetPort", source)
            return _encode(ports[source.arguments[0]], feeds[source.arguments[0]])
        used.add(source)
        if source not in known:
            given = sources[source]
            require(all(given.count(each) == 1 for each in given), f"{source} takes one source twice")
            known[source] = run_layer(layers[source], stored, [value(each) for each in given])
        return known[source]

    outputs = {port: value(source) for port, source in results.items()}
    require(used == layers.keys(), "an output that is connected to nothing")
    require(ports.keys() == feeds.keys() | outputs.keys(), f"ports {sorted(ports)}")
    return {port: _decode(ports[port], output) for port, output in outputs.items()}


def run_layer(layer: Call, stored: Arrays, inputs: list[Tensor]) -> Tensor:
    """What one layer gives; its options are checked before."""
    if layer.head == "NetChain":
        (chain,) = layer.arguments
        for link in chain:
            inputs = [run_layer(link, stored, inputs)]
        return inputs[0]
    require(layer.head in LAYERS, f"layer {layer.head}")
    run, options = LAYERS[layer.head]
    plain = [argument for argument in layer.arguments if not (isinstance(argument, Call) and argument.head == "Rule")]
    rules = [argument.arguments for argument in layer.arguments if argument not in plain]
    given = {option.name if isinstance(option, Symbol) else option: setting for option, setting in rules}
    require(len(given) == len(rules), f"an option of {layer.head} twice")
    require(given.keys() <= options.keys(), f"options {sorted(given)} of {layer.head}")
    settings = {option: _array(setting, stored) for option, setting in {**options, **given}.items()}
    return run(inputs, plain, settings)


def require(condition: bool, met: object) -> None:
    if not condition:
        raise UndocumentedError(met)


def _array(setting: Any, stored: Arrays) -> Any:
    if isinstance(setting, Call) and setting.head == "Stored":
        return torch.from_numpy(stored[setting.arguments[0]].copy())
    return None if setting == Symbol("None") else setting


def _single(inputs: list[Tensor]) -> Tensor:
    require(len(inputs) == 1, f"{len(inputs)} inputs")
    return inputs[0]


def _pair(setting: Any) -> tuple[int, int]:
    """n for both dimensions, or {n1, n2}."""
    return (setting, setting) if isinstance(setting, int) else (setting[0], setting[1])


def _convolve(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    x = _single(inputs)
    channels, kernel = arguments
    require(tuple(options["Weights"].shape) == (channels, x.shape[0], *kernel), options["Weights"].shape)
    sizes = [_pair(options[name]) for name in ("Stride", "PaddingSize", "Dilation")]
    return functional.conv2d(x[None], options["Weights"], options["Biases"], *sizes)[0]


def _deconvolve(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    x = _single(inputs)
    channels, kernel = arguments
    require(tuple(options["Weights"].shape) == (x.shape[0], channels, *kernel), options["Weights"].shape)
    stride, crop, dilation = (_pair(options[name]) for name in ("Stride", "PaddingSize", "Dilation"))
    full = functional.conv_transpose2d(x[None], options["Weights"], options["Biases"], stride, dilation=dilation)[0]
    return full[:, crop[0] : full.shape[1] - crop[0], crop[1] : full.shape[2] - crop[1]]


def _normalize(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """Statistics over levels 2 ;; All, the deviation by the whole length; scaled by level 1."""
    x = _single(inputs)
    require(arguments == [Call("Span", (2, Symbol("All")))], arguments)
    for name in ("Scaling", "Biases"):
        require(tuple(options[name].shape) == (x.shape[0],), options[name].shape)
    mean = x.mean((1, 2), keepdim=True)
    variance = ((x - mean) ** 2).mean((1, 2), keepdim=True)
    normalized = (x - mean) / torch.sqrt(variance + options["Epsilon"])
    return normalized * options["Scaling"][:, None, None] + options["Biases"][:, None, None]


def _pad(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    (amounts,) = arguments
    x, padding = _single(inputs).numpy(), options["Padding"]
    require(len(amounts) == x.ndim, amounts)
    if isinstance(padding, str):
        require(padding in PADDINGS, padding)
        return torch.from_numpy(np.pad(x, amounts, mode=PADDINGS[padding]))
    return torch.from_numpy(np.pad(x, amounts, constant_values=padding))


def _apply(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    (function,) = arguments
    if isinstance(function, Symbol):
        require(function.name in FUNCTIONS, function)
        return FUNCTIONS[function.name](_single(inputs))
    require(function.head == "Function" and len(function.arguments) == 1, function)
    result = _calculate(function.arguments[0], _single(inputs))
    assert isinstance(result, Tensor)
    return result


def _calculate(expression: Any, x: Tensor) -> Tensor | float:
    """Arithmetic on # and numbers, numbers among themselves in float64."""
    if isinstance(expression, int | float):
        return expression
    require(isinstance(expression, Call), expression)
    if expression == Call("Slot", (1,)):
        return x
    parts = [_calculate(argument, x) for argument in expression.arguments]
    if expression.head == "Plus":
        return sum(parts[1:], parts[0])
    if expression.head == "Times":
        return math.prod(parts[1:], start=parts[0])
    require(expression.head == "Power", expression)
    return parts[0] ** parts[1]


def _thread(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    (function,) = arguments
    require(isinstance(function, Symbol) and function.name in THREADED, function)
    a, b = inputs
    require(a.shape == b.shape, (a.shape, b.shape))
    return THREADED[function.name](a, b)


def _catenate(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    (level,) = arguments
    return torch.cat(inputs, level - 1)


def _replicate(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    (count,) = arguments
    return torch.stack([_single(inputs)] * count)


def _flatten(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """FlattenLayer[i]: the first i + 1 dimensions together."""
    (joined,) = arguments
    return _single(inputs).flatten(0, joined)


# Each layer, and its options as they are where they are not given.
LAYERS: dict[str, tuple[Callable[[list[Tensor], list[Any], dict[str, Any]], Tensor], dict[str, Any]]] = {
    "ConvolutionLayer": (
        _convolve,
        {"Weights": None, "Biases": None, "Stride": 1, "PaddingSize": 0, "Dilation": 1},
    ),
    "DeconvolutionLayer": (
        _deconvolve,
        {"Weights": None, "Biases": None, "Stride": 1, "PaddingSize": 0, "Dilation": 1},
    ),
    "NormalizationLayer": (_normalize, {"Scaling": None, "Biases": None, "Epsilon": 0.001}),
    "PaddingLayer": (_pad, {"Padding": 0}),
    "ElementwiseLayer": (_apply, {}),
    "ThreadingLayer": (_thread, {}),
    "CatenateLayer": (_catenate, {}),
    "ReplicateLayer": (_replicate, {}),
    "FlattenLayer": (_flatten, {}),
}


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
