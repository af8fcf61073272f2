"""Pad, for tensors of up to five axes.

MXNet pads planes (NCHW) and volumes (NCDHW) only, and never their batch and channels. Tensors of fewer axes get axes
of size 1 in front; to pad the first two axes, the tensor is transposed. An axis whose amounts follow from free sizes is
padded by `take`, at places that are computed when the model runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converters.targets.mxnet.ops.free_sizes import write_number, write_reshape, write_vector
from converters.targets.mxnet.ops.indexing import TO_THE_END, take_entries
from converters.targets.mxnet.ops.registry import FLOATS, OPS, Emitter, Value
from converters.targets.mxnet.ops.shaping import permute
from converters.targets.mxnet.ops.slicing import slice_axis
from converters.targets.mxnet.sizes import Dim, is_never_negative
from converters.tensors import Array

# Modes of MXNet's Pad. ONNX's "wrap" is written with `take`.
MODES = ("constant", "reflect", "edge")
# MXNet's Pad leaves the first two axes alone: batch and channels.
UNPADDED_AXES = 2
# (elements before, elements after) for each axis in order.
Amounts = Sequence[tuple[int, int]]


@OPS.op("Pad", since=2)
def pad_by_attributes(
    emit: Emitter, data: Value, *, pads: Sequence[int], mode: str = "constant", value: float = 0.0
) -> Value:
    """Data with elements added; pads: (2 rank,) the amounts before each axis, then those after each axis."""
    return _pad(emit, data, list(pads), None, mode, value)


@OPS.op("Pad", since=11)
def pad(
    emit: Emitter,
    data: Value,
    pads: Value,
    constant_value: Value | None = None,
    axes: Value | None = None,
    *,
    mode: str = "constant",
) -> Value:
    """As at opset 2, with inputs for attributes; with `axes`, pads: (2 len(axes),) is for these axes only."""
    value = 0.0
    if constant_value is not None:
        value = float(emit.require_array(constant_value, "constant").reshape(()))
    over = None if axes is None else emit.require_ints(axes, "axes")
    return _pad(emit, data, emit.require_sizes(pads, "pads"), over, mode, value)


def _pad(emit: Emitter, x: Value, pads: Sequence[Dim], axes: Sequence[int] | None, mode: str, value: float) -> Value:
    """x cropped where pads are negative, then padded where they are positive."""
    shape = emit.require_shape(x)
    rank = len(shape)
    if mode not in (*MODES, "wrap"):
        raise emit.refuse(f"its mode is '{mode}'", f"MXNet pads by {', '.join(MODES)} only")
    over = list(range(rank)) if axes is None else [axis % rank for axis in axes]
    amounts = [(0, 0)] * rank
    free: list[tuple[int, Dim, Dim]] = []
    for index, axis in enumerate(over):
        begin, end = pads[index], pads[index + len(over)]
        if isinstance(begin, int) and isinstance(end, int):
            amounts[axis] = (begin, end)
        else:
            free.append((axis, begin, end))
    for axis, (begin, end) in enumerate(amounts):
        if begin < 0 or end < 0:
            size, cut = shape[axis], max(-begin, 0) + max(-end, 0)
            if isinstance(size, int) and cut >= size:
                raise emit.refuse(f"it cuts {cut} of axis {axis}, which has {size}", "Check the model")
            x = slice_axis(emit, x, axis, max(-begin, 0), end if end < 0 else TO_THE_END)
    x = write_pad(emit, x, [(max(begin, 0), max(end, 0)) for begin, end in amounts], mode, value)
    for axis, before, after in free:
        x = _pad_freely(emit, x, axis, before, after, mode, value)
    return x


def _pad_freely(emit: Emitter, x: Value, axis: int, begin: Dim, end: Dim, mode: str, value: float) -> Value:
    """x padded along one axis by amounts of which one at least is free; a negative amount cuts elements off.

    Raises:
        UnsupportedOpError: MXNet cannot compute the axis's new size; or an amount may be negative, where the mode
            reads elements that are not at the edge: those cut off must not be among them.
    """
    shape = emit.require_shape(x)
    size = shape[axis]
    if mode in ("reflect", "wrap") and not (is_never_negative(begin) and is_never_negative(end)):
        raise emit.refuse_sizes("pads", [begin, end])
    length = begin + size + end
    places = _subtract(emit, write_vector(emit, length), begin)  # -begin is the first place, size - 1 the last in x
    if mode == "constant":  # one constant before x and one behind it are enough: `take` clips places to them
        ends = [(0, 0)] * len(shape)
        ends[axis] = (1, 1)
        x, places = write_pad(emit, x, ends, value=value), emit("_plus_scalar", places, scalar=1.0)
    elif mode == "wrap":
        places = emit("broadcast_mod", places, _write_number(emit, size))
    elif mode == "reflect":  # to and fro between 0 and size - 1
        last = emit("_minus_scalar", _write_number(emit, size), scalar=1.0)
        period = emit("_maximum_scalar", emit("_mul_scalar", last, scalar=2.0), scalar=1.0)
        way = emit("broadcast_sub", emit("broadcast_mod", places, period), last)
        places = emit("broadcast_sub", last, emit("abs", way))
    taken = emit("take", x, places, axis=axis, mode="clip", suffix="padded")
    return replace(taken, shape=(*shape[:axis], length, *shape[axis + 1 :]))


def _subtract(emit: Emitter, numbers: Value, size: Dim) -> Value:
    if isinstance(size, int):
        return emit("_minus_scalar", numbers, scalar=float(size))
    return emit("broadcast_sub", numbers, write_number(emit, size))


def _write_number(emit: Emitter, size: Dim) -> Value:
    """A size as a tensor: (1,) float32."""
    return emit.constant("number", np.array([size], np.float32)) if isinstance(size, int) else write_number(emit, size)


def write_pad(emit: Emitter, x: Value, amounts: Amounts, mode: str = "constant", value: float = 0.0) -> Value:
    """x with elements added before and after each axis; no amount is negative."""
    shape = emit.require_shape(x)
    padded = [axis for axis, pair in enumerate(amounts) if any(pair)]
    if not padded:
        return x
    if mode == "wrap" or (mode != "constant" and _exceeds_one_reflection(shape, amounts)):
        return _pad_by_take(emit, x, amounts, mode)
    if x.dtype not in FLOATS:
        return emit.cast(write_pad(emit, emit.cast(x, "float64"), amounts, mode, value), x.dtype)
    rank = len(shape)
    if rank <= 3:
        ones = [1] * max(UNPADDED_AXES, 4 - rank)
        longer = write_reshape(emit, x, (*ones, *shape))
        y = _pad_natively(emit, longer, [(0, 0)] * len(ones) + list(amounts), mode, value)
        return write_reshape(emit, y, _pad_shape(shape, amounts))
    if rank > 5:
        raise emit.refuse(f"its input has rank {rank}", "MXNet pads tensors of up to 5 axes")
    if padded[0] >= UNPADDED_AXES:
        return _pad_natively(emit, x, amounts, mode, value)
    # First the axes that MXNet pads. Then the transposed tensor has batch and channels among these.
    tail = [(0, 0)] * UNPADDED_AXES + list(amounts[UNPADDED_AXES:])
    y = _pad_natively(emit, x, tail, mode, value) if any(map(any, tail)) else x
    order = [*range(UNPADDED_AXES, rank), *range(UNPADDED_AXES)]
    head = [(0, 0)] * (rank - UNPADDED_AXES) + list(amounts[:UNPADDED_AXES])
    y = _pad_natively(emit, permute(emit, y, order), head, mode, value)
    return permute(emit, y, [order.index(axis) for axis in range(rank)])


def _pad_natively(emit: Emitter, x: Value, amounts: Amounts, mode: str, value: float) -> Value:
    """MXNet's Pad; x has rank 4 or 5, and the first two amounts are zeros."""
    shape = emit.require_shape(x)
    width = [amount for pair in amounts for amount in pair]
    y = emit("Pad", x, mode=mode, pad_width=width, constant_value=value)
    return replace(y, shape=_pad_shape(shape, amounts))


def _pad_shape(shape: Sequence[Dim], amounts: Amounts) -> tuple[Dim, ...]:
    return tuple(size + begin + end for size, (begin, end) in zip(shape, amounts, strict=True))


def _exceeds_one_reflection(shape: Sequence[Dim], amounts: Amounts) -> bool:
    """Whether an axis is padded by its own size or more: MXNet reflects an axis once, ONNX again and again."""
    sides = zip(shape, amounts, strict=True)
    return any(isinstance(size, int) and max(pair) >= size for size, pair in sides)


def _pad_by_take(emit: Emitter, x: Value, amounts: Amounts, mode: str) -> Value:
    """x padded by a `take` along each axis, at indices that numpy pads in the same mode."""
    for axis, pair in enumerate(amounts):
        if any(pair):
            size = emit.require_fixed_size(x, axis)
            indices: Array = np.pad(np.arange(size), pair, mode=mode)  # type: ignore[call-overload]
            x = take_entries(emit, x, axis, indices)
    return x
