"""Slice; each bound may be a number or a free size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.targets.mxnet.ops.free_sizes import write_column
from converters.targets.mxnet.ops.registry import OPS, Emitter, Value
from converters.targets.mxnet.size_vectors import make_slice
from converters.targets.mxnet.sizes import Dim, SymbolicDim

# A bound of this absolute value or more means the end of the axis in models exported with free sizes.
NO_BOUND = 2**31 - 1


@OPS.op("Slice", since=1)
def slice_by_attributes(
    emit: Emitter, data: Value, *, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int] | None = None
) -> Value:
    """data from `starts` to before `ends` along `axes`, the first ones if left out."""
    return _slice(emit, data, list(starts), list(ends), axes, [1] * len(starts))


@OPS.op("Slice", since=10)
def slice_by_inputs(
    emit: Emitter, data: Value, starts: Value, ends: Value, axes: Value | None = None, steps: Value | None = None
) -> Value:
    """The same, with steps."""
    begins = emit.require_sizes(starts, "starts")
    strides = [1] * len(begins) if steps is None else emit.require_ints(steps, "steps")
    over = None if axes is None else emit.require_ints(axes, "axes")
    return _slice(emit, data, begins, emit.require_sizes(ends, "ends"), over, strides)


def _slice(
    emit: Emitter,
    x: Value,
    starts: Sequence[Dim],
    ends: Sequence[Dim],
    axes: Sequence[int] | None,
    steps: Sequence[int],
) -> Value:
    rank = emit.require_rank(x)
    over = range(len(starts)) if axes is None else [axis % rank for axis in axes]
    for axis, start, end, step in zip(over, starts, ends, steps, strict=True):
        x = slice_axis(emit, x, axis, start, end, step)
    return x


def slice_axis(emit: Emitter, x: Value, axis: int, start: Dim, end: Dim, step: int = 1) -> Value:
    """x from `start` to before `end` along one axis, with the meaning of bounds in ONNX's Slice.

    Raises:
        UnsupportedOpError: MXNet cannot express free bounds of this form.
    """
    size = emit.require_shape(x)[axis]
    if isinstance(size, int) and isinstance(start, int) and isinstance(end, int):
        return _slice_fixed(emit, x, axis, size, make_slice(size, start, end, step))
    if step < 0:
        return _reverse(emit, x, axis, start, end, step)
    begin = size + start if isinstance(start, int) and start < 0 else start
    cut = _cut_start(emit, _cut_end(emit, x, axis, end), axis, begin)
    if cut is not x:
        emit.assume_shape(cut)  # ONNX clips a bound beyond the axis, MXNet fails on it
    x = cut
    if step == 1:
        return x
    length = emit.require_shape(x)[axis]
    return _with_size(x, _stride(emit, x, axis, None, None, step), axis, (length + (step - 1)) // step)


def _slice_fixed(emit: Emitter, x: Value, axis: int, size: int, part: slice) -> Value:
    """x[part] along an axis of fixed size."""
    begin, end, step = part.indices(size)
    length = len(range(begin, end, step))
    if length == 0:
        empty = replace(x, refusal=emit.refuse("it gives nothing", "MXNet has no empty tensors"))
        return _with_size(x, empty, axis, 0)
    if length == size and step == 1:
        return x
    if step == 1:
        return _with_size(x, emit("slice_axis", x, axis=axis, begin=begin, end=end), axis, length)
    if (begin, step, length) == (size - 1, -1, size):
        return _with_size(x, emit("reverse", x, axis=(axis,)), axis, size)
    return _with_size(x, _stride(emit, x, axis, begin, None if end < 0 else end, step), axis, length)


def _stride(emit: Emitter, x: Value, axis: int, begin: int | None, end: int | None, step: int) -> Value:
    """x[begin:end:step] along an axis."""
    # `slice` alone crashes the next convolution if its input has the blocked layout in which a convolution leaves its
    # output; `slice_axis` gives it the plain layout.
    plain = emit("slice_axis", x, axis=axis, begin=0, end=None)
    none = [None] * axis
    return emit("slice", plain, begin=(*none, begin), end=(*none, end), step=(*none, step))


def _reverse(emit: Emitter, x: Value, axis: int, start: Dim, end: Dim, step: int) -> Value:
    """x backwards from end to beginning; another negative step is refused where a bound or the size is free."""
    shape = emit.require_shape(x)
    from_the_end = isinstance(start, int) and (start == -1 or start >= NO_BOUND)
    if not from_the_end or not isinstance(end, int) or end > -NO_BOUND or step != -1:
        raise emit.refuse_sizes("bounds", [start, end, shape[axis]])
    return _with_size(x, emit("reverse", x, axis=(axis,)), axis, shape[axis])


def _cut_end(emit: Emitter, x: Value, axis: int, end: Dim) -> Value:
    """x up to before `end` along an axis."""
    size = emit.require_shape(x)[axis]
    if isinstance(end, int) and end >= NO_BOUND:
        return x
    rest = end - size if isinstance(end, SymbolicDim) or (isinstance(size, int) and end >= 0) else end
    if isinstance(rest, int) and rest >= 0 and isinstance(end, SymbolicDim):
        return x  # `end` is the size of the axis, or beyond it
    if isinstance(rest, int):
        length = end if isinstance(end, SymbolicDim) or end >= 0 else size + end
        return _with_size(x, emit("slice_axis", x, axis=axis, begin=0, end=rest), axis, length)
    column = emit.cast(write_column(emit, end, axis, emit.require_rank(x)), x.dtype)
    return _with_size(x, emit("slice_like", x, column, axes=(axis,)), axis, end)


def _cut_start(emit: Emitter, x: Value, axis: int, start: Dim) -> Value:
    """x from `start` along an axis; `start` counts from the beginning of the axis."""
    size = emit.require_shape(x)[axis]
    if start == 0:
        return x
    begin = start - size if isinstance(start, SymbolicDim) else start
    if not isinstance(begin, int) or (isinstance(start, SymbolicDim) and begin >= 0):
        raise emit.refuse_sizes("starts", [start])
    length = size - start
    return _with_size(x, emit("slice_axis", x, axis=axis, begin=begin, end=None), axis, length)


def _with_size(before: Value, after: Value, axis: int, size: Dim) -> Value:
    """`after`, with its shape set to that of `before` except for one axis."""
    assert before.shape is not None
    return replace(after, shape=(*before.shape[:axis], size, *before.shape[axis + 1 :]))
