"""Reshapes and broadcasts to shapes with free sizes, those known only when the model runs.

MXNet's operators take shapes as attributes, never as tensors. A free size is therefore copied from a tensor that has
an axis of this size, with operators such as `reshape_like` and `broadcast_like`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from converters.targets.mxnet.ops.registry import MXNET_DTYPES, Emitter, Value
from converters.targets.mxnet.sizes import (
    Dim,
    Quotient,
    Symbol,
    SymbolicDim,
    divide,
    multiply,
    multiply_exactly,
    name_size,
    same_product,
    split_signs,
)


def resolve_shape(
    emit: Emitter, x: Value, wanted: Sequence[Dim], *, keep_zeros: bool = False
) -> tuple[Dim | None, ...]:
    """The target shape of a Reshape, with sizes in place of ONNX's 0 and -1.

    Args:
        wanted: The shape that the node asks for.
        keep_zeros: Whether a 0 means an empty axis (ONNX's allowzero); else it copies the size of the same axis of x.

    Returns:
        One size per axis. None stands for a -1 whose size is not known: x has no known shape, or the division has no
        symbolic result.

    Raises:
        UnsupportedOpError: A 0 copies an axis that x does not have.
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
        others = [size for size in target if size is not None]
        if multiply(others) != 0:
            rest = list(x.shape)
            for size in tuple(others):  # sums such as W + 4 have no quotient, but the same sum may be there twice
                if size in rest:
                    rest.remove(size)
                    others.remove(size)
            quotient = divide(multiply(rest), multiply(others))
            if quotient is None:
                quotient = divide(multiply_exactly(rest), multiply_exactly(others))
            target[target.index(None)] = quotient
    return tuple(target)


def write_reshape(emit: Emitter, x: Value, target: Sequence[Dim | None]) -> Value:
    """x reshaped to `target`.

    MXNet's Reshape expresses one free size, as -1. With several, runs of axes of x are reshaped one after another;
    if the axes cannot be paired, `reshape_like` copies the shape of a helper tensor.

    Args:
        target: One size may be None: all the elements that the other axes leave.

    Raises:
        UnsupportedOpError: One size is None, and another is free.
    """
    free = [axis for axis, size in enumerate(target) if not isinstance(size, int)]
    if len(free) <= 1:
        shape = tuple(size if isinstance(size, int) else -1 for size in target)
        return _shaped(emit.reshape(x, shape or (1,)), target)
    source = emit.require_shape(x)
    if None in target:
        raise emit.refuse_sizes("shape", [size for size in target if size is not None])
    sizes = [size for size in target if size is not None]
    runs = _pair_runs(source, sizes)
    if runs is None:
        return _shaped(emit("reshape_like", x, emit.cast(write_tensor(emit, sizes), x.dtype)), sizes)
    axis, y = 0, x
    for old, new in runs:
        y = _reshape_run(emit, y, axis, old, new)
        axis += len(new)
    return _shaped(y, sizes)


def write_vector(emit: Emitter, size: Dim) -> Value:
    """The numbers 0, 1, 2, ...: (size,) float32; for a free size, all nodes of the symbol share one vector."""
    if isinstance(size, int):
        return emit("_arange", suffix="range", start=0, stop=size)
    return emit.memoize(("range", size), lambda: _write_free_vector(emit, size))


def write_number(emit: Emitter, size: SymbolicDim) -> Value:
    """A free size as a tensor: (1,) float32.

    Raises:
        UnsupportedOpError: Some name in it is no tensor's size.
    """
    more, less = (_count(emit, part) for part in split_signs(size))
    number = emit("broadcast_sub", more, less, suffix="number")
    return emit.cast(number, "float32", "number")


def write_column(emit: Emitter, size: Dim, axis: int, rank: int) -> Value:
    """The numbers 0, 1, 2, ... along one axis of a float32 tensor; the other axes have size 1."""
    return emit.reshape(write_vector(emit, size), [1] * axis + [-1] + [1] * (rank - axis - 1), suffix="column")


def write_tensor(emit: Emitter, sizes: Sequence[Dim]) -> Value:
    """A float32 tensor of shape `sizes`, of use for its shape only; its elements mean nothing."""
    tensor = write_column(emit, sizes[0], 0, len(sizes))
    for axis, size in enumerate(sizes[1:], 1):
        tensor = emit("broadcast_add", tensor, write_column(emit, size, axis, len(sizes)), suffix="like")
    return tensor


def write_broadcast(emit: Emitter, x: Value, target: Sequence[Dim]) -> Value:
    """x broadcast to the shape `target`, which has the rank of x."""
    shape = emit.require_shape(x)
    assert len(shape) == len(target)
    longer = [axis for axis, (old, new) in enumerate(zip(shape, target, strict=True)) if old != new]
    if not longer:
        return x
    fixed = [size for size in target if isinstance(size, int)]
    if len(fixed) == len(target):
        return _shaped(emit("broadcast_to", x, suffix="broadcast", shape=fixed), target)
    for axis in longer:
        if isinstance(shape[axis], SymbolicDim):  # 1 or already the target's size: unknown until the model runs
            length = emit.require_fixed(target[axis])
            ones = np.ones([length if i == axis else 1 for i in range(len(shape))], MXNET_DTYPES[x.dtype])
            x = emit("broadcast_mul", x, emit.constant("ones", ones), suffix="broadcast")
            continue
        like = emit.cast(write_vector(emit, target[axis]), x.dtype, "like")
        x = emit("broadcast_like", x, like, suffix="broadcast", lhs_axes=(axis,), rhs_axes=(0,))
    return _shaped(x, target)


def _count(emit: Emitter, size: Dim) -> Value:
    """A size that has no negative terms, as a tensor: (1,) int64."""
    if isinstance(size, int):
        return emit.constant("number", np.array([size], np.int64))
    return emit("size_array", write_vector(emit, size), suffix="number", dtype="int64")


def _write_free_vector(emit: Emitter, size: SymbolicDim) -> Value:
    """`write_vector` for a free size.

    If no tensor has an axis of this size, a vector of this length is put together from others: an outer product for a
    product, `repeat` for a factor, a strided slice for a divisor, Concat for a sum, and a cut for a constant that is
    subtracted. Only its length counts, so its elements are numbered anew.

    Raises:
        UnsupportedOpError: A term other than a whole number is subtracted, or some name is no tensor's size.
    """
    found = emit.axis_of(size)
    if found is not None:
        tensor, axis = found
        numbers = emit("_contrib_arange_like", tensor, suffix="range", axis=axis)
        if tensor.dtype not in ("float32", "float64", "int64", "int32"):
            # The operator counts in the tensor's element type; one so small may not hold every number.
            numbers = emit("_contrib_arange_like", emit.cast(numbers, "float32"), suffix="range", axis=0)
        return emit.cast(numbers, "float32")
    parts, subtracted = [], 0
    for symbols, factor in size.terms:
        if factor < 0 and (symbols or factor.denominator != 1):
            raise emit.refuse_sizes("size", [size])
        if factor < 0:
            subtracted = -factor.numerator
            continue
        part: Value | None = None
        for symbol in symbols:
            vector = _write_symbol_vector(emit, symbol, size)
            part = vector if part is None else _multiply_lengths(emit, part, vector)
        if part is None:
            part = write_vector(emit, factor.numerator)
        elif factor.numerator != 1:
            part = emit("repeat", part, suffix="range", repeats=factor.numerator, axis=0)
        parts.append(_divide_length(emit, part, factor.denominator))
    joined = parts[0] if len(parts) == 1 else emit("Concat", *parts, suffix="range", dim=0, num_args=len(parts))
    if subtracted:
        joined = emit("slice_axis", joined, suffix="range", axis=0, begin=subtracted, end=None)
    return emit("_contrib_arange_like", joined, suffix="range", axis=0)


def _write_symbol_vector(emit: Emitter, symbol: Symbol, whole: SymbolicDim) -> Value:
    """A vector whose length is one symbol of a size.

    Args:
        whole: The size, for the error message.
    """
    if isinstance(symbol, Quotient):
        return _divide_length(emit, write_vector(emit, symbol.dividend), symbol.divisor)
    size = name_size(symbol)
    if emit.axis_of(size) is not None:
        return write_vector(emit, size)
    found = emit.multiple_of(size)
    if found is None:
        raise emit.refuse_sizes("size", [whole])
    multiple, times = found
    return _divide_length(emit, write_vector(emit, multiple), times)


def _divide_length(emit: Emitter, vector: Value, divisor: int) -> Value:
    """Every `divisor`-th element; the result has length `len(vector) // divisor`."""
    if divisor == 1:
        return vector
    return emit("slice", vector, suffix="range", begin=(divisor - 1,), end=(None,), step=(divisor,))


def _multiply_lengths(emit: Emitter, a: Value, b: Value) -> Value:
    """A vector of length `len(a) * len(b)`."""
    column = emit.reshape(a, (-1, 1), suffix="range")
    row = emit.reshape(b, (1, -1), suffix="range")
    return emit.reshape(emit("broadcast_add", column, row, suffix="range"), (-1,), suffix="range")


def _pair_runs(source: Sequence[Dim], target: Sequence[Dim]) -> list[tuple[list[Dim], list[Dim]]] | None:
    """Both shapes cut into the shortest runs of neighbouring axes so that each pair of runs has the same product.

    A run may be empty if the other one is a single 1. Returns None if the shapes cannot be cut in this way.
    """
    runs = []
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
        # An empty run costs 1.5 axes: adding or dropping a 1 comes after pairs of single axes, before longer runs.
        a, b = min(candidates, key=lambda pair: (sum(pair) if all(pair) else sum(pair) + 1.5, pair))
        runs.append((list(source[i : i + a]), list(target[j : j + b])))
        i, j = i + a, j + b
    return runs


def _reshape_run(emit: Emitter, x: Value, first: int, old: list[Dim], new: list[Dim]) -> Value:
    """x with its axes `old`, which begin at axis `first`, reshaped to the axes `new`.

    In MXNet's Reshape 0 keeps an axis, -2 keeps all the axes left, -3 merges two axes, and -4 splits an axis into the
    next two sizes, of which one may be -1.
    """
    if not old:  # all of `new` are 1
        for axis in range(first, first + len(new)):
            x = emit("expand_dims", x, suffix="reshaped", axis=axis)
        return x
    if not new:
        for _ in old:
            x = emit("squeeze", x, suffix="reshaped", axis=first)
        return x
    if old == new:
        return x
    for _ in old[1:]:
        x = emit.reshape(x, [*[0] * first, -3, -2])
    # The axes are merged into one. Split off the fixed sizes from either end, then all the free sizes at once.
    start, end = 0, len(new)
    while end - start > 1 and isinstance(size := new[start], int):
        x = emit.reshape(x, [*[0] * (first + start), -4, size, -1, -2])
        start += 1
    while end - start > 1 and isinstance(size := new[end - 1], int):
        x = emit.reshape(x, [*[0] * (first + start), -4, -1, size, -2])
        end -= 1
    if end - start > 1:
        tensor = emit.cast(write_tensor(emit, new[start:end]), x.dtype)
        axis = first + start
        bounds: dict[str, Any] = {"lhs_begin": axis, "lhs_end": axis + 1, "rhs_begin": 0, "rhs_end": end - start}
        x = emit("reshape_like", x, tensor, suffix="reshaped", **bounds)
    return x


def _shaped(x: Value, shape: Sequence[Dim | None]) -> Value:
    """x with `shape` recorded, or with no shape if a size is None."""
    known = tuple(size for size in shape if size is not None)
    return replace(x, shape=known if len(known) == len(shape) else None)
