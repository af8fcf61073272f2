"""Pooling of rows (NCL), planes (NCHW) and volumes (NCDHW)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from converters.targets.mxnet.ops.elementwise import like
from converters.targets.mxnet.ops.indexing import take_entries
from converters.targets.mxnet.ops.padding import write_pad
from converters.targets.mxnet.ops.reductions import drop_axes, write_reduction
from converters.targets.mxnet.ops.registry import FLOATS, OPS, Emitter, Value
from converters.targets.mxnet.ops.windows import Windows, count_windows, read_windows
from converters.tensors import Array

# Ranks of the tensors that MXNet's Pooling takes: rows, planes, volumes.
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
    """The largest element of each window: (N, C, D...) -> (N, C, D'...).

    `storage_order` only concerns the second output, the indices, which has no translation.
    """
    windows = read_windows(emit, x, kernel_shape, strides, pads, dilations, auto_pad)
    if auto_pad.startswith("SAME") and any(step != 1 for step in windows.dilations):
        met = f"its auto_pad is {auto_pad} and its dilations {windows.dilations}: ONNX and ONNX Runtime differ"
        raise emit.refuse(met, "Export with explicit pads")
    if _is_native(x, windows, ceil_mode):
        return [_pool_natively(emit, x, windows, "max")]
    lowest = -np.inf if x.dtype in FLOATS else float(np.iinfo(x.dtype).min)
    return [_pool_by_take(emit, x, windows, "max", lowest, ceil_mode)]


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
    """The mean of each window: (N, C, D...) -> (N, C, D'...); only with `count_include_pad` padding counts."""
    windows = read_windows(emit, x, kernel_shape, strides, pads, dilations, auto_pad)
    if _is_native(x, windows, ceil_mode):
        padded = any(map(any, windows.pads))
        return _pool_natively(emit, x, windows, "avg", count_include_pad=bool(count_include_pad) or not padded)
    sums = _pool_by_take(emit, x, windows, "sum", 0.0, ceil_mode)
    counts = np.ones(1)
    for axis in range(len(windows.kernel)):
        size = emit.require_fixed_size(x, 2 + axis)
        counts = np.multiply.outer(counts, _count_elements(windows, axis, size, ceil_mode, count_include_pad))
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
    sums = _pool_by_take(emit, powers, windows, "sum", 0.0, ceil_mode)
    return like(sums, emit("_power_scalar", sums, scalar=1 / p))


@OPS.op("GlobalMaxPool", since=1)
def global_max_pool(emit: Emitter, x: Value) -> Value:
    """The largest element of each channel: (N, C, D...) -> (N, C, 1...)."""
    return write_reduction(emit, x, range(2, emit.require_rank(x)), "max")


@OPS.op("GlobalAveragePool", since=1)
def global_average_pool(emit: Emitter, x: Value) -> Value:
    """The mean of each channel: (N, C, D...) -> (N, C, 1...)."""
    return write_reduction(emit, x, range(2, emit.require_rank(x)), "mean")


def _is_native(x: Value, windows: Windows, ceil_mode: int) -> bool:
    """Whether MXNet's Pooling takes the element type and such windows, and agrees with ONNX on them."""
    return (
        x.dtype in FLOATS
        and not ceil_mode
        and windows.symmetric
        and set(windows.dilations) == {1}
        and all(begin < size for (begin, _), size in zip(windows.pads, windows.kernel, strict=True))
    )


def _pool_natively(
    emit: Emitter, x: Value, windows: Windows, pool_type: str, *, count_include_pad: bool | None = None
) -> Value:
    """MXNet's Pooling.

    Args:
        pool_type: "max" or "avg".
        count_include_pad: For "avg" only: whether padding counts.
    """
    attributes: dict[str, Any] = {
        "kernel": windows.kernel,
        "stride": windows.strides,
        "pad": tuple(begin for begin, _ in windows.pads),
        "pool_type": pool_type,
        "pooling_convention": "valid",
    }
    if count_include_pad is not None:
        attributes["count_include_pad"] = count_include_pad
    if emit.require_rank(x) not in POOLED_RANKS:
        raise emit.refuse(f"its input has rank {x.rank}", "Only rows, planes and volumes are pooled")
    dtype = "float32" if x.dtype == "float16" else x.dtype
    batch, channels, *sizes = emit.require_shape(x)
    counts = [count_windows(size, windows, axis) for axis, size in enumerate(sizes)]
    y = replace(emit("Pooling", emit.cast(x, dtype), **attributes), shape=(batch, channels, *counts))
    return emit.cast(y, x.dtype)


def _pool_by_take(emit: Emitter, x: Value, windows: Windows, reduction: str, fill: float, ceil_mode: int) -> Value:
    """The windows gathered with `take` and reduced, one axis after another.

    Args:
        reduction: "max" or "sum".
        fill: Value of the padding.
    """
    for axis in range(len(windows.kernel)):
        size = emit.require_fixed_size(x, 2 + axis)
        indices = _list_indices(windows, axis, size, ceil_mode)
        before, after = max(-int(indices.min()), 0), max(int(indices.max()) - size + 1, 0)
        amounts = [(0, 0)] * emit.require_rank(x)
        amounts[2 + axis] = (before, after)
        padded = write_pad(emit, x, amounts, value=fill)
        taken = take_entries(emit, padded, 2 + axis, indices + before)
        x = drop_axes(emit, write_reduction(emit, taken, [3 + axis], reduction), taken, [3 + axis])
    return x


def _list_indices(windows: Windows, axis: int, size: int, ceil_mode: int) -> Array:
    """(windows, kernel) indices of each window's elements along an axis of `size` elements.

    Indices below 0, or from `size` on, lie in the padding.
    """
    begin, end = windows.pads[axis]
    room = size + begin + end - windows.reach(axis)
    stride = windows.strides[axis]
    number = (-(-room // stride) if ceil_mode else room // stride) + 1
    # ceil_mode adds a window at the end, unless it would begin in the padding there.
    if ceil_mode and (number - 1) * stride >= size + begin:
        number -= 1
    begins = np.arange(number) * stride - begin
    return begins[:, None] + windows.dilations[axis] * np.arange(windows.kernel[axis])


def _count_elements(windows: Windows, axis: int, size: int, ceil_mode: int, count_include_pad: int) -> Array:
    """(windows,) how many elements of each window are in the input, or in the input and its padding."""
    begin, end = windows.pads[axis] if count_include_pad else (0, 0)
    indices = _list_indices(windows, axis, size, ceil_mode)
    counts: Array = ((indices >= -begin) & (indices < size + end)).sum(axis=1)
    return counts
