"""Pools of rows, planes and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from converters.targets.mxnet.ops.elementwise import like
from converters.targets.mxnet.ops.indexing import take_windows
from converters.targets.mxnet.ops.padding import write_pad
from converters.targets.mxnet.ops.reductions import drop_axes, write_reduction
from converters.targets.mxnet.ops.registry import FLOATS, OPS, Emitter, Value
from converters.targets.mxnet.ops.windows import Windows, count_windows, read_windows

# Ranks whose windows MXNet's own operator takes: rows, planes, volumes.
POOLED_RANKS = (3, 4, 5)


@OPS.op("MaxPool", since=1)
def max_pool(
    emit: Emitter,
    x: Value,
    *,
    kernel_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    ceil_mode: int = 0,
    storage_order: int = 0,
    auto_pad: str = "NOTSET",
) -> list[Value]:
    """The largest element of each window: (N, C, D...) -> (N, C, D'...); `storage_order` is of the second output's."""
    windows = read_windows(emit, x, kernel_shape, strides, pads, dilations, auto_pad)
    if auto_pad.startswith("SAME") and any(step != 1 for step in windows.dilations):
        met = f"its auto_pad is {auto_pad} and its dilations {windows.dilations}: ONNX and ONNX Runtime differ"
        raise emit.refuse(met, "Export with explicit pads")
    if x.dtype in FLOATS and _is_plain(windows) and not ceil_mode:
        return [_pool(emit, x, windows, "max")]
    lowest = -np.inf if x.dtype in FLOATS else float(np.iinfo(x.dtype).min)
    return [_pool_by_numbers(emit, x, windows, "max", lowest, bool(ceil_mode))]


@OPS.op("AveragePool", since=1)
def average_pool(
    emit: Emitter,
    x: Value,
    *,
    kernel_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    auto_pad: str = "NOTSET",
) -> Value:
    """The mean of each window: (N, C, D...) -> (N, C, D'...); padding counts with `count_include_pad` only."""
    windows = read_windows(emit, x, kernel_shape, strides, pads, dilations, auto_pad)
    padded = any(map(any, windows.pads))
    if _is_plain(windows) and not ceil_mode and x.dtype in FLOATS:
        return _pool(emit, x, windows, "avg", count_include_pad=bool(count_include_pad) or not padded)
    sums = _pool_by_numbers(emit, x, windows, "sum", 0.0, bool(ceil_mode))
    counts = np.ones(1)
    for axis in range(len(windows.kernel)):
        size = emit.require_fixed_size(x, 2 + axis)
        inside = np.array(_count_inside(windows, axis, size, bool(ceil_mode), bool(count_include_pad)))
        counts = np.multiply.outer(counts, inside)
    counts = counts.reshape(1, *counts.shape)
    return like(sums, emit("broadcast_div", sums, emit.constant("counts", counts.astype(x.dtype))))


@OPS.op("LpPool", since=2)
def norm_pool(
    emit: Emitter,
    x: Value,
    *,
    kernel_shape: Sequence[int],
    p: int = 2,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    ceil_mode: int = 0,
    auto_pad: str = "NOTSET",
) -> Value:
    """The p-norm of each window: (N, C, D...) -> (N, C, D'...)."""
    windows = read_windows(emit, x, kernel_shape, strides, pads, dilations, auto_pad)
    powers = like(x, emit("_power_scalar", emit("abs", x), scalar=float(p)))
    sums = _pool_by_numbers(emit, powers, windows, "sum", 0.0, bool(ceil_mode))
    return like(sums, emit("_power_scalar", sums, scalar=1 / p))


@OPS.op("GlobalMaxPool", since=1)
def global_max_pool(emit: Emitter, x: Value) -> Value:
    """(N, C, D...) -> (N, C, 1...)."""
    return write_reduction(emit, x, range(2, emit.require_rank(x)), "max")


@OPS.op("GlobalAveragePool", since=1)
def global_average_pool(emit: Emitter, x: Value) -> Value:
    """(N, C, D...) -> (N, C, 1...)."""
    return write_reduction(emit, x, range(2, emit.require_rank(x)), "mean")


def _is_plain(windows: Windows) -> bool:
    """Whether MXNet's own operator has such windows."""
    return (
        windows.symmetric
        and set(windows.dilations) == {1}
        and all(begin < size for (begin, _), size in zip(windows.pads, windows.kernel, strict=True))
    )


def _pool(emit: Emitter, x: Value, windows: Windows, kind: str, *, count_include_pad: bool = False) -> Value:
    attributes: dict[str, Any] = {
        "kernel": windows.kernel,
        "stride": windows.strides,
        "pad": tuple(begin for begin, _ in windows.pads),
        "pool_type": kind,
        "pooling_convention": "valid",
    }
    if kind == "avg":
        attributes["count_include_pad"] = count_include_pad
    if emit.require_rank(x) not in POOLED_RANKS:
        raise emit.refuse(f"its input has rank {x.rank}", "Only rows, planes and volumes are pooled")
    dtype = "float32" if x.dtype == "float16" else x.dtype
    batch, channels, *sizes = emit.require_shape(x)
    counts = [count_windows(size, windows, axis) for axis, size in enumerate(sizes)]
    y = replace(emit("Pooling", emit.cast(x, dtype), **attributes), shape=(batch, channels, *counts))
    return emit.cast(y, x.dtype)


def _pool_by_numbers(emit: Emitter, x: Value, windows: Windows, kind: str, fill: float, ceil_mode: bool) -> Value:
    """Pools along one axis after another, of elements picked by number."""
    for axis in range(len(windows.kernel)):
        size = emit.require_fixed_size(x, 2 + axis)
        begins = _begins(windows, axis, size, ceil_mode)
        steps = windows.dilations[axis] * np.arange(windows.kernel[axis])
        places = np.array(begins)[:, None] + steps
        before, after = max(-int(places.min()), 0), max(int(places.max()) - size + 1, 0)
        amounts = [(0, 0)] * emit.require_rank(x)
        amounts[2 + axis] = (before, after)
        padded = write_pad(emit, x, amounts, value=fill)
        picked = take_windows(emit, padded, 2 + axis, (places + before).tolist())
        reduced = write_reduction(emit, picked, [3 + axis], kind)
        x = drop_axes(emit, reduced, picked, [3 + axis])
    return x


def _begins(windows: Windows, axis: int, size: int, ceil_mode: bool) -> list[int]:
    """Where the windows begin; before 0 in the padding."""
    begin, end = windows.pads[axis]
    room = size + begin + end - windows.reach(axis)
    stride = windows.strides[axis]
    number = (-(-room // stride) if ceil_mode else room // stride) + 1
    # One more, but not one that begins in the padding at the end.
    if ceil_mode and (number - 1) * stride >= size + begin:
        number -= 1
    return [window * stride - begin for window in range(number)]


def _count_inside(windows: Windows, axis: int, size: int, ceil_mode: bool, with_pads: bool) -> list[int]:
    """Elements of each window in the plane, or in the plane and its padding."""
    begin, end = windows.pads[axis]
    low, high = (-begin, size + end) if with_pads else (0, size)
    steps = windows.dilations[axis] * np.arange(windows.kernel[axis])
    return [
        int(((first + steps >= low) & (first + steps < high)).sum())
        for first in _begins(windows, axis, size, ceil_mode)
    ]
