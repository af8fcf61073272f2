"""Operators that pick elements by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from converters.targets.mxnet.ops.elementwise import like
from converters.targets.mxnet.ops.free_sizes import write_reshape, write_vector
from converters.targets.mxnet.ops.logic import write_where
from converters.targets.mxnet.ops.reductions import drop_axes
from converters.targets.mxnet.ops.registry import OPS, Emitter, Value
from converters.targets.mxnet.ops.shaping import move_axis
from converters.targets.mxnet.ops.slicing import slice_axis
from converters.targets.mxnet.sizes import SymbolicDim

# More than an axis has elements; float64 holds a number up to its square exactly.
AXIS_LENGTH_LIMIT = 2.0**26


@OPS.op("Gather", since=1)
def gather(emit: Emitter, data: Value, indices: Value, *, axis: int = 0) -> Value:
    """Entries of data along `axis`; a negative number counts from the end."""
    shape = emit.require_shape(data)
    axis %= len(shape)
    if indices.array is not None and indices.array.size == 1 and indices.array.ndim <= 1:
        at = int(indices.array.reshape(()))
        end = at + 1 if at != -1 else 2**63 - 1
        entry = slice_axis(emit, data, axis, at, end)
        return drop_axes(emit, entry, data, [axis]) if indices.array.ndim == 0 else entry
    taken = emit("take", data, indices, axis=axis, mode="wrap", dtype=data.dtype)
    places = emit.require_shape(indices)
    result = (*shape[:axis], *places, *shape[axis + 1 :])
    if not places:
        return write_reshape(emit, replace(taken, shape=(*shape[:axis], 1, *shape[axis + 1 :])), result)
    return replace(taken, shape=result)


@OPS.op("GatherElements", since=11)
def gather_elements(emit: Emitter, data: Value, indices: Value, *, axis: int = 0) -> Value:
    """For every place of indices, the element of data at that place but for the axis, where indices say it."""
    shape, wanted = emit.require_fixed_shape(data), emit.require_fixed_shape(indices)
    axis %= len(shape)
    grid = np.indices(wanted)
    parts = [emit.constant("grid", grid[i : i + 1].astype(np.int64)) for i in range(len(shape))]
    parts[axis] = write_reshape(emit, emit.cast(_count_up(emit, indices, shape[axis]), "int64"), (1, *wanted))
    where = emit("Concat", *parts, dim=0, num_args=len(parts))
    return replace(emit("gather_nd", data, where), shape=wanted)


@OPS.op("GatherND", since=11)
def gather_nd(emit: Emitter, data: Value, indices: Value, *, batch_dims: int = 0) -> Value:
    """Parts of data, each named by the last axis of indices."""
    shape, wanted = emit.require_fixed_shape(data), emit.require_fixed_shape(indices)
    if len(wanted) == 1:  # one place only, which MXNet takes for none
        found = gather_nd(emit, data, write_reshape(emit, indices, (1, *wanted)))
        assert found.shape is not None
        return write_reshape(emit, found, found.shape[1:])
    depth = wanted[-1]
    first = move_axis(emit, _as_int64(emit, indices), len(wanted) - 1, 0)  # (depth, ...)
    sizes = np.array(shape[batch_dims : batch_dims + depth], np.int64).reshape(-1, *[1] * (len(wanted) - 1))
    first = replace(emit("broadcast_mod", first, emit.constant("sizes", sizes)), shape=(depth, *wanted[:-1]))
    if batch_dims:
        grid = np.indices(wanted[:-1])[:batch_dims].astype(np.int64)
        first = emit("Concat", emit.constant("batch", grid), first, dim=0, num_args=2)
    return replace(emit("gather_nd", data, first), shape=(*wanted[:-1], *shape[batch_dims + depth :]))


@OPS.op("OneHot", since=9)
def one_hot(emit: Emitter, indices: Value, depth: Value, values: Value, *, axis: int = -1) -> Value:
    """On at the place that an index names, off elsewhere, along a new axis."""
    (size,) = emit.require_ints(depth, "depth")
    off, on = emit.require_array(values, "values")
    shape = emit.require_shape(indices)
    places = _count_up(emit, indices, size)
    hot = emit("one_hot", places, depth=size, on_value=float(on), off_value=float(off), dtype=values.dtype)
    if not shape:
        return replace(emit.reshape(hot, (size,)), shape=(size,))
    hot = replace(hot, shape=(*shape, size))
    return move_axis(emit, hot, len(shape), axis % (len(shape) + 1))


@OPS.op("TopK", since=10)
def top_k(emit: Emitter, x: Value, k: Value, *, axis: int = -1) -> list[Value]:
    """The largest k along an axis, and where they are."""
    return _top_k(emit, x, k, axis, largest=True)


@OPS.op("TopK", since=11)
def top_or_bottom_k(
    emit: Emitter,
    x: Value,
    k: Value,
    *,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,
) -> list[Value]:
    """The largest or smallest k along an axis, in order, and where they are."""
    return _top_k(emit, x, k, axis, largest=bool(largest))


@OPS.op("Trilu", since=14)
def triangle(emit: Emitter, x: Value, k: Value | None = None, *, upper: int = 1) -> Value:
    """x, 0 below its kth diagonal, or above it."""
    shape = emit.require_shape(x)
    rows, columns = (emit.require_fixed_size(x, axis) for axis in (-2, -1))
    (diagonal,) = [0] if k is None else emit.require_ints(k, "k")
    keep = (np.triu if upper else np.tril)(np.ones((rows, columns), np.uint8), diagonal)
    keep = keep.reshape(*[1] * (len(shape) - 2), rows, columns)
    zero = emit.constant("zero", np.zeros([1] * len(shape), x.dtype))
    return write_where(emit, emit.constant("triangle", keep), x, zero)


@OPS.op("Hardmax", since=13)
def hardmax(emit: Emitter, x: Value, *, axis: int = -1) -> Value:
    """1 at the first of the largest along an axis, 0 elsewhere."""
    shape = emit.require_shape(x)
    axis %= len(shape)
    size = emit.require_fixed_size(x, axis)
    place = emit("argmax", emit.cast(x, "float64"), axis=axis)
    hot = emit("one_hot", place, depth=size, dtype=x.dtype)
    if len(shape) == 1:
        return write_reshape(emit, hot, shape)
    return move_axis(emit, replace(hot, shape=(*shape[:axis], *shape[axis + 1 :], size)), len(shape) - 1, axis)


@OPS.op("Range", since=11)
def count_from_to(emit: Emitter, start: Value, limit: Value, delta: Value) -> Value:
    """start, start + delta, ... below limit, which may be a free size."""
    (begin,), (end,), (step,) = (
        emit.require_sizes(value, role) for value, role in ((start, "start"), (limit, "limit"), (delta, "delta"))
    )
    if isinstance(begin, SymbolicDim) or isinstance(step, SymbolicDim) or step <= 0:
        raise emit.refuse_sizes("range", [begin, end, step])
    count = -(-(end - begin) // step) if isinstance(end, int) else (end - begin + (step - 1)) // step
    numbers = write_vector(emit, count)
    if step != 1:
        numbers = emit("_mul_scalar", numbers, scalar=float(step))
    if begin:
        numbers = emit("_plus_scalar", numbers, scalar=float(begin))
    return replace(emit.cast(numbers, start.dtype), shape=(count,))


def _top_k(emit: Emitter, x: Value, k: Value, axis: int, *, largest: bool) -> list[Value]:
    shape = emit.require_shape(x)
    (count,) = emit.require_ints(k, "k")
    axis %= len(shape)
    turned = x if x.dtype != "float16" else emit.cast(x, "float32")
    attributes: dict[str, Any] = {"axis": axis, "k": 0, "ret_typ": "both", "is_ascend": not largest}
    values, places = emit.emit_many("topk", 2, turned, dtype="float64", **attributes)
    values = replace(values, dtype=turned.dtype, shape=shape)
    places = _order_equals(emit, values, replace(places, shape=shape), axis)
    first, where = (slice_axis(emit, part, axis, 0, count) for part in (values, places))
    return [emit.cast(first, x.dtype), emit.cast(where, "int64")]


def _order_equals(emit: Emitter, values: Value, places: Value, axis: int) -> Value:
    """Places of sorted values, those of equal ones in order too, which MXNet's sort leaves as it likes.

    Args:
        places: float64. Each is sorted by AXIS_LENGTH_LIMIT times the number of its group of equal values, plus itself.
    """
    leader = slice_axis(emit, values, axis, 0, 1)
    shifted = emit("Concat", leader, values, dim=axis, num_args=2)
    before = emit("slice_axis", shifted, axis=axis, begin=0, end=-1)
    steps = emit.cast(emit("broadcast_not_equal", values, before), "float64")
    groups = emit("_mul_scalar", emit("cumsum", steps, axis=axis), scalar=AXIS_LENGTH_LIMIT)
    ordered = emit("sort", emit("elemwise_add", groups, places), axis=axis)
    return like(places, emit("_mod_scalar", ordered, scalar=AXIS_LENGTH_LIMIT))


def _as_int64(emit: Emitter, indices: Value) -> Value:
    return emit.cast(indices, "int64")


def _count_up(emit: Emitter, indices: Value, size: int) -> Value:
    """Indices that count from the beginning."""
    if indices.array is not None:
        counted = np.where(indices.array < 0, indices.array + size, indices.array).astype(np.int64)
        return emit.constant("indices", counted)
    below = like(indices, emit("_lesser_scalar", _as_int64(emit, indices), scalar=0))
    shift = emit("_mul_scalar", below, scalar=size)
    return like(indices, emit("elemwise_add", _as_int64(emit, indices), shift))


def take_windows(emit: Emitter, x: Value, axis: int, places: Sequence[Sequence[int]]) -> Value:
    """x with an axis replaced by two: for each row of `places` the entries it names."""
    shape = emit.require_shape(x)
    index = np.asarray(places, np.int64)
    taken = emit("take", x, emit.constant("places", index), axis=axis, mode="clip", dtype=x.dtype)
    return replace(taken, shape=(*shape[:axis], *index.shape, *shape[axis + 1 :]))
