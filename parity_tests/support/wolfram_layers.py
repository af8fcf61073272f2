"""What each layer of a NetGraph computes, by its documentation page, in torch.

What a docstring or comment says of a layer is what its page says; "the old page" is that of version 11. Nothing is
broadcast or resized by itself: shapes that differ where two arrays meet are an error.
"""

from __future__ import annotations

import functools
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
    "Sqrt": torch.sqrt,
}
PADDINGS = {"Reflected": "reflect", "Fixed": "edge"}
# The versions [from, to) whose pages have a layer, option or head of arrays; others have them in all versions of
# interest. "ChannelGroups" is not on the old pages; the rest is said by the pages' own notes on what replaced what.
VERSIONS = {
    "NormalizationLayer": (12, math.inf),
    "InstanceNormalizationLayer": (11.1, 12),
    "NetArrayLayer": (12.2, math.inf),
    "ConstantArrayLayer": (11.1, 12.2),
    "NumericArray": (12, math.inf),
    "RawArray": (10.4, 12),
    "ChannelGroups": (12, math.inf),
    "Scheme": (12, math.inf),
}


class UndocumentedError(Exception):
    """The expression holds what no page was read for, or shapes that do not fit."""


def run_layer(layer: Call, stored: Arrays, inputs: list[Tensor], version: float = 13.0) -> Tensor:
    """What one layer gives; its options are checked before."""
    if layer.head == "NetChain":
        (chain,) = layer.arguments
        for link in chain:
            inputs = [run_layer(link, stored, inputs, version)]
        return inputs[0]
    require(layer.head in LAYERS, f"layer {layer.head}")
    run, options = LAYERS[layer.head]
    plain = [argument for argument in layer.arguments if not (isinstance(argument, Call) and argument.head == "Rule")]
    rules = [argument.arguments for argument in layer.arguments if argument not in plain]
    given = {option.name if isinstance(option, Symbol) else option: setting for option, setting in rules}
    require(len(given) == len(rules), f"an option of {layer.head} twice")
    require(given.keys() <= options.keys(), f"options {sorted(given)} of {layer.head}")
    for name in (layer.head, *given):
        _require_version(name, version)
    settings = {option: _array(setting, stored, version) for option, setting in {**options, **given}.items()}
    return run(inputs, plain, settings)


def _require_version(name: str, version: float) -> None:
    first, last = VERSIONS.get(name, (0, math.inf))
    require(first <= version < last, f"{name} in version {version}")


def require(condition: bool, met: object) -> None:
    if not condition:
        raise UndocumentedError(met)


def _array(setting: Any, stored: Arrays, version: float) -> Any:
    """NumericArray[data, type] and the older RawArray[type, data] stand for their data."""
    if isinstance(setting, Call) and setting.head in ("NumericArray", "RawArray"):
        _require_version(setting.head, version)
        kind, data = setting.arguments if setting.head == "RawArray" else reversed(setting.arguments)
        require(kind == "Real32" and isinstance(data, Call) and data.head == "Stored", setting)
        return torch.from_numpy(stored[data.arguments[0]].copy())
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
    groups = options["ChannelGroups"]
    require(channels % groups == 0 and x.shape[0] % groups == 0, groups)
    require(tuple(options["Weights"].shape) == (channels, x.shape[0] // groups, *kernel), options["Weights"].shape)
    sizes = [_pair(options[name]) for name in ("Stride", "PaddingSize", "Dilation")]
    return functional.conv2d(x[None], options["Weights"], options["Biases"], *sizes, groups)[0]


def _deconvolve(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    x = _single(inputs)
    channels, kernel = arguments
    groups = options["ChannelGroups"]
    require(channels % groups == 0 and x.shape[0] % groups == 0, groups)
    require(tuple(options["Weights"].shape) == (x.shape[0], channels // groups, *kernel), options["Weights"].shape)
    stride, crop, dilation = (_pair(options[name]) for name in ("Stride", "PaddingSize", "Dilation"))
    full = functional.conv_transpose2d(
        x[None], options["Weights"], options["Biases"], stride, groups=groups, dilation=dilation
    )[0]
    return full[:, crop[0] : full.shape[1] - crop[0], crop[1] : full.shape[2] - crop[1]]


def _normalize_instance(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """The old page: as NormalizationLayer over the spatial dimensions; "Gamma" scales, "Beta" is added."""
    require(arguments == [], arguments)
    renamed = {"Scaling": options["Gamma"], "Biases": options["Beta"], "Epsilon": options["Epsilon"]}
    return _normalize(inputs, [Call("Span", (2, Symbol("All")))], renamed)


def _normalize(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """Statistics over levels 2 ;; All, the deviation by the whole length; scaled by level 1.

    In float64, for the page gives a formula and not its rounding.
    """
    x = _single(inputs).double()
    require(arguments == [Call("Span", (2, Symbol("All")))], arguments)
    for name in ("Scaling", "Biases"):
        require(tuple(options[name].shape) == (x.shape[0],), options[name].shape)
    mean = x.mean((1, 2), keepdim=True)
    variance = ((x - mean) ** 2).mean((1, 2), keepdim=True)
    normalized = (x - mean) / torch.sqrt(variance + options["Epsilon"])
    return (normalized * options["Scaling"][:, None, None] + options["Biases"][:, None, None]).float()


def _pad(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    (amounts,) = arguments
    x, padding = _single(inputs).numpy(), options["Padding"]
    require(len(amounts) == x.ndim, amounts)
    if isinstance(padding, str):
        require(padding in PADDINGS, padding)
        return torch.from_numpy(np.pad(x, amounts, mode=PADDINGS[padding]))
    return torch.from_numpy(np.pad(x, amounts, constant_values=padding))


def _apply(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """A function by its symbol, a pure function, or "ELU": x where x >= 0, else Exp[x] - 1."""
    (function,) = arguments
    if function == "ELU":
        x = _single(inputs)
        return torch.where(x >= 0, x, torch.exp(x) - 1)
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
    if expression.head in ("Max", "Min"):
        tensors = [part if isinstance(part, Tensor) else torch.full_like(x, part) for part in parts]
        return functools.reduce(torch.maximum if expression.head == "Max" else torch.minimum, tensors)
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
    """ReplicateLayer[n, m]: a new dimension of size n at place m, the first if it is left out."""
    count, place = (*arguments, 1)[:2]
    return torch.stack([_single(inputs)] * count, place - 1)


def _flatten(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """FlattenLayer[i]: the first i + 1 dimensions together."""
    (joined,) = arguments
    return _single(inputs).flatten(0, joined)


def _reshape(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """The same numbers in the same order."""
    (sizes,) = arguments
    require(math.prod(sizes) == _single(inputs).numel() and min(sizes) > 0, sizes)
    return _single(inputs).reshape(sizes)


def _transpose(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """TransposeLayer[{m1 <-> n1, ...}]: levels exchanged one pair after another."""
    (swaps,) = arguments
    x = _single(inputs)
    for swap in swaps:
        require(swap.head == "TwoWayRule", swap)
        x = x.transpose(*(level - 1 for level in swap.arguments))
    return x


def _take(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """PartLayer[{spec1, ...}]: part spec at each level, All or i ;; j; a negative one counts from the end."""
    (specs,) = arguments
    x = _single(inputs)
    require(len(specs) <= x.ndim, specs)
    for axis, spec in enumerate(specs):
        if spec == Symbol("All"):
            continue
        require(spec.head == "Span" and len(spec.arguments) == 2, spec)
        first, last = (place if place > 0 else x.shape[axis] + place + 1 for place in spec.arguments)
        require(1 <= first <= last <= x.shape[axis], (spec, x.shape))
        x = x.narrow(axis, first - 1, last - first + 1)
    return x


def _pool(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """PoolingLayer[kernel, stride]: by default the largest number of each window; windows lie inside."""
    kernel, stride = arguments
    return functional.max_pool2d(_single(inputs)[None], _pair(kernel), _pair(stride))[0]


def _resize(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """ResizeLayer[{Scaled[r1], Scaled[r2]}] resizes all levels but the first.

    "Nearest" takes whole ratios, its scheme is "Bin". By the page "ArrayResample", "Bin" takes n numbers for bins that
    fill 0 to n and samples the new bins' centres, "Point" takes them for points 1 to n and samples from 1 to n;
    beyond the outermost samples, these are repeated.
    """
    (specs,) = arguments
    require(all(spec.head == "Scaled" for spec in specs) and len(specs) == 2, specs)
    ratios = [spec.arguments[0] for spec in specs]
    x = _single(inputs)
    if options["Resampling"] == "Nearest":
        require(all(isinstance(ratio, int) and ratio > 0 for ratio in ratios) and options["Scheme"] is None, specs)
        return x.repeat_interleave(ratios[0], 1).repeat_interleave(ratios[1], 2)
    require(options["Resampling"] == "Linear" and options["Scheme"] in ("Point", "Bin"), options)
    for axis, ratio in zip((1, 2), ratios, strict=True):
        old = x.shape[axis]
        new = round(old * ratio)
        if options["Scheme"] == "Point":
            places = torch.linspace(0, old - 1, new)
        else:
            places = ((torch.arange(new) + 0.5) / ratio - 0.5).clamp(0, old - 1)
        low = places.floor().long()
        high = (low + 1).clamp(max=old - 1)
        weight = (places - low).reshape([-1 if level == axis else 1 for level in range(3)])
        x = x.index_select(axis, low) * (1 - weight) + x.index_select(axis, high) * weight
    return x


def _dot(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """Dot[in1, in2]: summed over the last level of the first and the first of the second."""
    require(arguments == [] and len(inputs) == 2, arguments)
    return torch.tensordot(*inputs, dims=1)


def _soften(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """SoftmaxLayer[n]: Exp[x] over its total along level n, by default the last."""
    (level,) = arguments or (_single(inputs).ndim,)
    return torch.softmax(_single(inputs), level - 1)


def _aggregate(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """AggregationLayer[f, {n1, ...}]: f over these levels, which vanish."""
    function, levels = arguments
    require(function in (Symbol("Total"), Symbol("Mean")), function)
    axes = [level - 1 for level in levels]
    return _single(inputs).sum(axes) if function == Symbol("Total") else _single(inputs).mean(axes)


def _give(inputs: list[Tensor], arguments: list[Any], options: dict[str, Any]) -> Tensor:
    """A layer without input gives its "Array"."""
    require(inputs == [] and arguments == [], inputs)
    array: Tensor = options["Array"]
    return array


CONSTANT_LAYERS = ("ConstantArrayLayer", "NetArrayLayer")
# Each layer, and its options as they are where they are not given.
LAYERS: dict[str, tuple[Callable[[list[Tensor], list[Any], dict[str, Any]], Tensor], dict[str, Any]]] = {
    "ConvolutionLayer": (
        _convolve,
        {"Weights": None, "Biases": None, "Stride": 1, "PaddingSize": 0, "Dilation": 1, "ChannelGroups": 1},
    ),
    "DeconvolutionLayer": (
        _deconvolve,
        {"Weights": None, "Biases": None, "Stride": 1, "PaddingSize": 0, "Dilation": 1, "ChannelGroups": 1},
    ),
    "NormalizationLayer": (_normalize, {"Scaling": None, "Biases": None, "Epsilon": 0.001}),
    "InstanceNormalizationLayer": (_normalize_instance, {"Gamma": None, "Beta": None, "Epsilon": 0.001}),
    "PaddingLayer": (_pad, {"Padding": 0}),
    "ElementwiseLayer": (_apply, {}),
    "ThreadingLayer": (_thread, {}),
    "CatenateLayer": (_catenate, {}),
    "ReplicateLayer": (_replicate, {}),
    "FlattenLayer": (_flatten, {}),
    "ReshapeLayer": (_reshape, {}),
    "TransposeLayer": (_transpose, {}),
    "PartLayer": (_take, {}),
    "PoolingLayer": (_pool, {}),
    "ResizeLayer": (_resize, {"Resampling": "Linear", "Scheme": None}),
    "DotLayer": (_dot, {}),
    "SoftmaxLayer": (_soften, {}),
    "AggregationLayer": (_aggregate, {}),
    "ConstantArrayLayer": (_give, {"Array": None}),
    "NetArrayLayer": (_give, {"Array": None}),
}
