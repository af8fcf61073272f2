"""Pad, of tensors of up to five axes: MXNet enlarges the last ones of a plane (NCHW) or a volume (NCDHW)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converters.targets.mxnet.ops.free_sizes import write_reshape
from converters.targets.mxnet.ops.registry import FLOATS, OPS, Emitter, Value
from converters.targets.mxnet.ops.shaping import permute
from converters.targets.mxnet.ops.slicing import slice_axis
from converters.targets.mxnet.sizes import Dim
from converters.tensors import Array

MODES = ("constant", "reflect", "edge")
# Axes before those that MXNet enlarges, by rank of what it is given.
LEADING = 2
NUMPY_MODES = {"wrap": "wrap", "reflect": "reflect", "edge": "edge"}
# Each beginning and end; axes in order.
Amounts = Sequence[tuple[int, int]]


@OPS.op("Pad", since=2)
def pad_by_attributes(
    emit: Emitter, data: Value, *, pads: Sequence[int], mode: str = "constant", value: float = 0.0
) -> Value:
    """Data, enlarged; pads: (2 rank,) all beginnings, then all ends."""
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
    """Pad(data, pads: (2 len(axes),) all beginnings, then all ends) -> data, enlarged."""
    value = 0.0
    if constant_value is not None:
        value = float(emit.require_array(constant_value, "constant").reshape(()))
    over = None if axes is None else emit.require_ints(axes, "axes")
    return _pad(emit, data, emit.require_ints(pads, "pads"), over, mode, value)


def _pad(emit: Emitter, x: Value, pads: Sequence[int], axes: Sequence[int] | None, mode: str, value: float) -> Value:
    shape = emit.require_shape(x)
    rank = len(shape)
    if mode not in (*MODES, "wrap"):
        raise emit.refuse(f"its mode is '{mode}'", f"MXNet pads by {', '.join(MODES)} only")
    over = list(range(rank)) if axes is None else [axis % rank for axis in axes]
    amounts = [(0, 0)] * rank
    for index, axis in enumerate(over):
        amounts[axis] = (pads[index], pads[index + len(over)])
    for axis, (begin, end) in enumerate(amounts):
        if begin < 0 or end < 0:
            size, cut = shape[axis], max(-begin, 0) + max(-end, 0)
            if isinstance(size, int) and cut >= size:
                raise emit.refuse(f"it cuts {cut} of axis {axis}, which has {size}", "Check the model")
            x = slice_axis(emit, x, axis, max(-begin, 0), end if end < 0 else 2**63 - 1)
    return write_pad(emit, x, [(max(begin, 0), max(end, 0)) for begin, end in amounts], mode, value)


def write_pad(emit: Emitter, x: Value, amounts: Amounts, mode: str = "constant", value: float = 0.0) -> Value:
    """x, each axis enlarged at its beginning and end."""
    shape = emit.require_shape(x)
    padded = [axis for axis, pair in enumerate(amounts) if any(pair)]
    if not padded:
        return x
    if mode == "wrap" or (mode != "constant" and _is_too_wide(shape, amounts)):
        return _pad_by_numbers(emit, x, amounts, NUMPY_MODES[mode])
    if x.dtype not in FLOATS:
        return emit.cast(write_pad(emit, emit.cast(x, "float64"), amounts, mode, value), x.dtype)
    rank = len(shape)
    result = tuple(size + begin + end for size, (begin, end) in zip(shape, amounts, strict=True))
    if rank <= 3:
        ones = [1] * max(LEADING, 4 - rank)
        longer = write_reshape(emit, x, (*ones, *shape))
        y = _enlarge(emit, longer, [(0, 0)] * len(ones) + list(amounts), mode, value)
        return write_reshape(emit, y, result)
    if rank > 5:
        raise emit.refuse(f"its input has rank {rank}", "MXNet pads tensors of up to 5 axes")
    if padded[0] >= LEADING:
        return _enlarge(emit, x, amounts, mode, value)
    # A plane's or a volume's axes first, then those before them, which change places with them.
    tail = [(0, 0)] * LEADING + list(amounts[LEADING:])
    y = _enlarge(emit, x, tail, mode, value) if any(map(any, tail)) else x
    turned = [*range(LEADING, rank), *range(LEADING)]
    head = [(0, 0)] * (rank - LEADING) + list(amounts[:LEADING])
    y = _enlarge(emit, permute(emit, y, turned), head, mode, value)
    return permute(emit, y, [turned.index(axis) for axis in range(rank)])


def _enlarge(emit: Emitter, x: Value, amounts: Amounts, mode: str, value: float) -> Value:
    shape = emit.require_shape(x)
    width = [amount for pair in amounts for amount in pair]
    y = emit("Pad", x, mode=mode, pad_width=width, constant_value=value)
    return replace(y, shape=tuple(size + begin + end for size, (begin, end) in zip(shape, amounts, strict=True)))


def _is_too_wide(shape: Sequence[Dim], amounts: Amounts) -> bool:
    """Whether a mirror image would not do, which MXNet does not go on from."""
    sides = zip(shape, amounts, strict=True)
    return any(isinstance(size, int) and max(pair) >= size for size, pair in sides)


def _pad_by_numbers(emit: Emitter, x: Value, amounts: Amounts, mode: str) -> Value:
    for axis, pair in enumerate(amounts):
        if any(pair):
            size = emit.require_fixed_size(x, axis)
            numbers: Array = np.pad(np.arange(size), pair, mode=mode)  # type: ignore[call-overload]
            index = emit.constant("places", numbers.astype(np.int64))
            taken = emit("take", x, index, axis=axis, mode="clip", dtype=x.dtype)
            assert x.shape is not None
            x = replace(taken, shape=(*x.shape[:axis], len(numbers), *x.shape[axis + 1 :]))
    return x
