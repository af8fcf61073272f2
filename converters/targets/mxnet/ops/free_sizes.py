"""Shapes told to MXNet while sizes are free: it has no Shape, so that lengths are taken from tensors that have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from converters.targets.mxnet.ops.registry import MXNET_DTYPES, Emitter, Value
from converters.targets.mxnet.sizes import Dim, Quotient, Symbol, SymbolicDim, divide, multiply, name_size, same_product


def resolve_shape(
    emit: Emitter, x: Value, wanted: Sequence[Dim], *, keep_zeros: bool = False
) -> tuple[Dim | None, ...]:
    """The target of a Reshape without ONNX's 0 and -1; None for a -1 that cannot be said.

    Args:
        keep_zeros: Whether a 0 is an empty axis (allowzero), not the same axis of x.
    """
    target: list[Dim | None] = []
    for axis, size in enumerate(wanted):
        if size == 0 and not keep_zeros:
            shape = emit.require_shape(x)
            if axis >= len(shape):
                raise emit.refuse(f"its shape {list(map(str, wanted))} copies axis {axis}", "Check the model")
            target.append(shape[axis])
        else:
            target.append(None if size == -1 else size)
    if None in target and x.shape is not None:
        others = multiply([size for size in target if size is not None])
        if others != 0:
            target[target.index(None)] = divide(multiply(x.shape), others)
    return tuple(target)


def write_reshape(emit: Emitter, x: Value, target: Sequence[Dim | None]) -> Value:
    """x in a new shape.

    Args:
        target: Sizes; one may be None, for what is left.
    """
    free = [axis for axis, size in enumerate(target) if not isinstance(size, int)]
    if len(free) <= 1:
        shape = tuple(size if isinstance(size, int) else -1 for size in target)
        return _shaped(emit.reshape(x, shape or (1,)), target)
    source = emit.require_shape(x)
    if None in target:
        raise emit.refuse_sizes("shape", [size for size in target if size is not None])
    sizes = [size for size in target if size is not None]
    groups = _align(source, sizes)
    if groups is None:
        return _shaped(emit("reshape_like", x, emit.cast(write_tensor(emit, sizes), x.dtype)), sizes)
    place, y = 0, x
    for old, new in groups:
        y = _regroup(emit, y, place, old, new)
        place += len(new)
    return _shaped(y, sizes)


def write_vector(emit: Emitter, size: Dim) -> Value:
    """(size,) float32: 0, 1, 2, ..."""
    if isinstance(size, int):
        return emit("_arange", suffix="range", start=0, stop=size)
    return emit.memoize(("range", size), lambda: _make_vector(emit, size))


def write_column(emit: Emitter, size: Dim, axis: int, rank: int) -> Value:
    """A tensor of that rank, its size along one axis `size` and 1 along the others."""
    return emit.reshape(write_vector(emit, size), [1] * axis + [-1] + [1] * (rank - axis - 1), suffix="column")


def write_tensor(emit: Emitter, sizes: Sequence[Dim]) -> Value:
    """A float32 tensor of that shape, whatever is in it."""
    tensor = write_column(emit, sizes[0], 0, len(sizes))
    for axis, size in enumerate(sizes[1:], 1):
        tensor = emit("broadcast_add", tensor, write_column(emit, size, axis, len(sizes)), suffix="like")
    return tensor


def write_broadcast(emit: Emitter, x: Value, target: Sequence[Dim]) -> Value:
    """x, its axes of size 1 as long as `target` says; x and target are of one rank."""
    shape = emit.require_shape(x)
    assert len(shape) == len(target)
    longer = [axis for axis, (old, new) in enumerate(zip(shape, target, strict=True)) if old != new]
    if not longer:
        return x
    fixed = [size for size in target if isinstance(size, int)]
    if len(fixed) == len(target):
        return _shaped(emit("broadcast_to", x, suffix="broadcast", shape=fixed), target)
    for axis in longer:
        if isinstance(shape[axis], SymbolicDim):  # which may be 1, or as long already
            length = emit.require_fixed(target[axis])
            ones = np.ones([length if i == axis else 1 for i in range(len(shape))], MXNET_DTYPES[x.dtype])
            x = emit("broadcast_mul", x, emit.constant("ones", ones), suffix="broadcast")
            continue
        vector = write_vector(emit, target[axis])
        like = emit.cast(vector, x.dtype, "like")
        x = emit("broadcast_like", x, like, suffix="broadcast", lhs_axes=(axis,), rhs_axes=(0,))
    return _shaped(x, target)


def _make_vector(emit: Emitter, size: SymbolicDim) -> Value:
    found = emit.axis_of(size)
    if found is not None:
        tensor, axis = found
        numbers = emit("_contrib_arange_like", tensor, suffix="range", axis=axis)
        if tensor.dtype not in ("float32", "float64", "int64", "int32"):  # it counts in the tensor's own type
            numbers = emit("_contrib_arange_like", emit.cast(numbers, "float32"), suffix="range", axis=0)
        return emit.cast(numbers, "float32")
    parts, surplus = [], 0
    for symbols, factor in size.terms:
        if factor < 0 and (symbols or factor.denominator != 1):
            raise emit.refuse_sizes("size", [size])
        if factor < 0:
            surplus = -factor.numerator
            continue
        part: Value | None = None
        for symbol in symbols:
            vector = _vector_of_symbol(emit, symbol, size)
            part = vector if part is None else _outer(emit, part, vector)
        if part is None:
            part = write_vector(emit, factor.numerator)
        elif factor.numerator != 1:
            part = emit("repeat", part, suffix="range", repeats=factor.numerator, axis=0)
        parts.append(_divide_vector(emit, part, factor.denominator))
    joined = parts[0] if len(parts) == 1 else emit("Concat", *parts, suffix="range", dim=0, num_args=len(parts))
    if surplus:
        joined = emit("slice_axis", joined, suffix="range", axis=0, begin=surplus, end=None)
    return emit("_contrib_arange_like", joined, suffix="range", axis=0)


def _vector_of_symbol(emit: Emitter, symbol: Symbol, whole: SymbolicDim) -> Value:
    if isinstance(symbol, Quotient):
        return _divide_vector(emit, write_vector(emit, symbol.dividend), symbol.divisor)
    size = name_size(symbol)
    if emit.axis_of(size) is not None:
        return write_vector(emit, size)
    longer = emit.multiple_of(size)
    if longer is None:
        raise emit.refuse_sizes("size", [whole])
    return _divide_vector(emit, write_vector(emit, longer[0]), longer[1])


def _divide_vector(emit: Emitter, vector: Value, divisor: int) -> Value:
    """Every so manieth of its numbers: as many as the whole part of the quotient."""
    if divisor == 1:
        return vector
    return emit("slice", vector, suffix="range", begin=(divisor - 1,), end=(None,), step=(divisor,))


def _outer(emit: Emitter, a: Value, b: Value) -> Value:
    column = emit.reshape(a, (-1, 1), suffix="range")
    row = emit.reshape(b, (1, -1), suffix="range")
    return emit.reshape(emit("broadcast_add", column, row, suffix="range"), (-1,), suffix="range")


def _align(source: Sequence[Dim], target: Sequence[Dim]) -> list[tuple[list[Dim], list[Dim]]] | None:
    """Shortest runs of axes, old and new, of one product each."""
    groups = []
    i = j = 0
    while i < len(source) or j < len(target):
        candidates = [
            (a, b)
            for a in range(len(source) - i + 1)
            for b in range(len(target) - j + 1)
            if a + b and same_product(source[i : i + a], target[j : j + b])
        ]
        if not candidates:
            return None
        a, b = min(candidates, key=lambda pair: (sum(pair) if all(pair) else sum(pair) + 1.5, pair))
        groups.append((list(source[i : i + a]), list(target[j : j + b])))
        i, j = i + a, j + b
    return groups


def _regroup(emit: Emitter, x: Value, place: int, old: list[Dim], new: list[Dim]) -> Value:
    """The axes from `place` on, as many as `old` has, become `new`."""
    before = [0] * place
    if not old:  # ones
        for axis in range(place, place + len(new)):
            x = emit("expand_dims", x, suffix="reshaped", axis=axis)
        return x
    if not new:
        for _ in old:
            x = emit("squeeze", x, suffix="reshaped", axis=place)
        return x
    if old == new:
        return x
    for _ in old[1:]:
        x = emit.reshape(x, [*before, -3, -2])
    # one axis, to be split: fixed sizes from either end, free ones between them all at once
    start, end = 0, len(new)
    while end - start > 1 and isinstance(new[start], int):
        x = emit.reshape(x, [*[0] * (place + start), -4, _fixed(new[start]), -1, -2])
        start += 1
    while end - start > 1 and isinstance(new[end - 1], int):
        x = emit.reshape(x, [*[0] * (place + start), -4, -1, _fixed(new[end - 1]), -2])
        end -= 1
    if end - start > 1:
        tensor = emit.cast(write_tensor(emit, new[start:end]), x.dtype)
        axis = place + start
        bounds: dict[str, Any] = {"lhs_begin": axis, "lhs_end": axis + 1, "rhs_begin": 0, "rhs_end": end - start}
        x = emit("reshape_like", x, tensor, suffix="reshaped", **bounds)
    return x


def _fixed(size: Dim) -> int:
    assert isinstance(size, int)
    return size


def _shaped(x: Value, shape: Sequence[Dim | None]) -> Value:
    known = tuple(size for size in shape if size is not None)
    return replace(x, shape=known if len(known) == len(shape) else None)
