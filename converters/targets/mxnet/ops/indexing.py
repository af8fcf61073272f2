"""Operators that select elements by index, or compute indices."""

from __future__ import annotations

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
from converters.tensors import Array

# An end for `slice_axis` past every axis; exporters write an open end in the same way.
TO_THE_END = 2**63 - 1
# More elements than any axis has that TopK sorts. float64 holds every whole number up to the square, 2^52.
MAX_SORTED_LENGTH = 2.0**26


@OPS.op("Gather", since=1)
def gather(emit: Emitter, data: Value, indices: Value, *, axis: int = 0) -> Value:
    """Entries of data along `axis`; a negative index counts from the end."""
    shape = emit.require_shape(data)
    axis %= len(shape)
    if indices.array is not None and indices.array.size == 1 and indices.array.ndim <= 1:
        index = int(indices.array.reshape(()))
        entry = slice_axis(emit, data, axis, index, index + 1 if index != -1 else TO_THE_END)
        return drop_axes(emit, entry, data, [axis]) if indices.array.ndim == 0 else entry
    taken = emit("take", data, indices, axis=axis, mode="wrap", dtype=data.dtype)
    index_shape = emit.require_shape(indices)
    result = (*shape[:axis], *index_shape, *shape[axis + 1 :])
    if not index_shape:  # MXNet holds a tensor of rank 0 as (1,)
        return write_reshape(emit, replace(taken, shape=(*shape[:axis], 1, *shape[axis + 1 :])), result)
    return replace(taken, shape=result)


@OPS.op("GatherElements", since=11)
def gather_elements(emit: Emitter, data: Value, indices: Value, *, axis: int = 0) -> Value:
    """For rank 3 and axis 1: result[i, j, k] = data[i, indices[i, j, k], k]; the result has the shape of `indices`."""
    shape, index_shape = emit.require_fixed_shape(data), emit.require_fixed_shape(indices)
    axis %= len(shape)
    grid = np.indices(index_shape)
    parts = [emit.constant("grid", grid[i : i + 1].astype(np.int64)) for i in range(len(shape))]
    along = emit.cast(_wrap_negative(emit, indices, shape[axis]), "int64")
    parts[axis] = write_reshape(emit, along, (1, *index_shape))
    index_vectors = emit("Concat", *parts, dim=0, num_args=len(parts))
    return replace(emit("gather_nd", data, index_vectors), shape=index_shape)


@OPS.op("GatherND", since=11)
def gather_nd(emit: Emitter, data: Value, indices: Value, *, batch_dims: int = 0) -> Value:
    """The element or sub-tensor of data for each index vector along the last axis of `indices`.

    The first `batch_dims` axes of data and indices run together and are not part of the index vectors.
    """
    shape, index_shape = emit.require_fixed_shape(data), emit.require_fixed_shape(indices)
    if len(index_shape) == 1:  # a single vector; MXNet needs an axis that counts vectors
        found = gather_nd(emit, data, write_reshape(emit, indices, (1, *index_shape)))
        assert found.shape is not None
        return write_reshape(emit, found, found.shape[1:])
    depth = index_shape[-1]
    # MXNet wants the vectors' components along the first axis: (depth, ...).
    vectors = move_axis(emit, emit.cast(indices, "int64"), len(index_shape) - 1, 0)
    sizes = np.array(shape[batch_dims : batch_dims + depth], np.int64).reshape(-1, *[1] * (len(index_shape) - 1))
    vectors = emit("broadcast_mod", vectors, emit.constant("sizes", sizes))
    if batch_dims:
        grid = np.indices(index_shape[:-1])[:batch_dims].astype(np.int64)
        vectors = emit("Concat", emit.constant("batch", grid), vectors, dim=0, num_args=2)
    return replace(emit("gather_nd", data, vectors), shape=(*index_shape[:-1], *shape[batch_dims + depth :]))


@OPS.op("OneHot", since=9)
def one_hot(emit: Emitter, indices: Value, depth: Value, values: Value, *, axis: int = -1) -> Value:
    """A new axis of `depth` elements for each index: values[1] at the index, values[0] elsewhere."""
    (size,) = emit.require_ints(depth, "depth")
    off, on = emit.require_array(values, "values")
    shape = emit.require_shape(indices)
    wrapped = _wrap_negative(emit, indices, size)
    hot = emit("one_hot", wrapped, depth=size, on_value=float(on), off_value=float(off), dtype=values.dtype)
    if not shape:
        return replace(emit.reshape(hot, (size,)), shape=(size,))
    hot = replace(hot, shape=(*shape, size))
    return move_axis(emit, hot, len(shape), axis % (len(shape) + 1))


@OPS.op("TopK", since=10)
def top_k(emit: Emitter, x: Value, k: Value, *, axis: int = -1) -> list[Value]:
    """The k largest elements along an axis, in descending order, and their indices."""
    return _top_k(emit, x, k, axis, largest=True)


@OPS.op("TopK", since=11)
def top_or_bottom_k(
    emit: Emitter, x: Value, k: Value, *, axis: int = -1, largest: int = 1, sorted: int = 1
) -> list[Value]:
    """The k largest or smallest elements along an axis, always sorted, and their indices."""
    return _top_k(emit, x, k, axis, largest=bool(largest))


@OPS.op("Trilu", since=14)
def triangle(emit: Emitter, x: Value, k: Value | None = None, *, upper: int = 1) -> Value:
    """x with 0 below its k-th diagonal; without `upper`, with 0 above it."""
    shape = emit.require_shape(x)
    rows, columns = (emit.require_fixed_size(x, axis) for axis in (-2, -1))
    (diagonal,) = [0] if k is None else emit.require_ints(k, "k")
    keep = (np.triu if upper else np.tril)(np.ones((rows, columns), np.uint8), diagonal)
    keep = keep.reshape(*[1] * (len(shape) - 2), rows, columns)
    zero = emit.constant("zero", np.zeros([1] * len(shape), x.dtype))
    return write_where(emit, emit.constant("triangle", keep), x, zero)


@OPS.op("Hardmax", since=13)
def hardmax(emit: Emitter, x: Value, *, axis: int = -1) -> Value:
    """1 at the first largest element along an axis, 0 elsewhere."""
    shape = emit.require_shape(x)
    axis %= len(shape)
    size = emit.require_fixed_size(x, axis)
    largest = emit("argmax", emit.cast(x, "float64"), axis=axis)
    hot = emit("one_hot", largest, depth=size, dtype=x.dtype)
    if len(shape) == 1:
        return write_reshape(emit, hot, shape)
    return move_axis(emit, replace(hot, shape=(*shape[:axis], *shape[axis + 1 :], size)), len(shape) - 1, axis)


@OPS.op("Range", since=11)
def count_from_to(emit: Emitter, start: Value, limit: Value, delta: Value) -> Value:
    """start, start + delta, ... below `limit`; the limit may be a free size."""
    (begin,), (end,), (step,) = (
        emit.require_sizes(value, role) for value, role in ((start, "start"), (limit, "limit"), (delta, "delta"))
    )
    if isinstance(begin, SymbolicDim) or isinstance(step, SymbolicDim) or step <= 0:
        raise emit.refuse_sizes("range", [begin, end, step])
    count = (end - begin + (step - 1)) // step
    numbers = write_vector(emit, count)
    if step != 1:
        numbers = emit("_mul_scalar", numbers, scalar=float(step))
    if begin:
        numbers = emit("_plus_scalar", numbers, scalar=float(begin))
    return replace(emit.cast(numbers, start.dtype), shape=(count,))


def take_entries(emit: Emitter, x: Value, axis: int, indices: Array) -> Value:
    """The entries of x along one axis at constant indices.

    Args:
        indices: Whole numbers, none negative. Their axes take the place of `axis` in the result.
    """
    shape = emit.require_shape(x)
    taken = emit("take", x, emit.constant("places", indices.astype(np.int64)), axis=axis, mode="clip", dtype=x.dtype)
    return replace(taken, shape=(*shape[:axis], *indices.shape, *shape[axis + 1 :]))


def _top_k(emit: Emitter, x: Value, k: Value, axis: int, *, largest: bool) -> list[Value]:
    """Sort the whole axis, order ties by index, and cut off the first k."""
    shape = emit.require_shape(x)
    (count,) = emit.require_ints(k, "k")
    axis %= len(shape)
    wide = x if x.dtype != "float16" else emit.cast(x, "float32")
    # k = 0 is the whole axis.
    attributes: dict[str, Any] = {"axis": axis, "k": 0, "ret_typ": "both", "is_ascend": not largest}
    values, indices = emit.emit_many("topk", 2, wide, dtype="float64", **attributes)  # float64 is of the indices
    values = replace(values, dtype=wide.dtype, shape=shape)
    indices = _order_ties(emit, values, replace(indices, shape=shape), axis)
    first, where = (slice_axis(emit, part, axis, 0, count) for part in (values, indices))
    return [emit.cast(first, x.dtype), emit.cast(where, "int64")]


def _order_ties(emit: Emitter, values: Value, indices: Value, axis: int) -> Value:
    """The indices of sorted values, ascending where values are equal; MXNet leaves these in any order.

    Each run of equal values gets a number. The sort key is run number * MAX_SORTED_LENGTH + index.

    Args:
        values: Sorted along `axis`.
        indices: float64, the index of each value before the sort.
    """
    head = slice_axis(emit, values, axis, 0, 1)
    shifted = emit("Concat", head, values, dim=axis, num_args=2)
    previous = emit("slice_axis", shifted, axis=axis, begin=0, end=-1)
    changes = emit.cast(emit("broadcast_not_equal", values, previous), "float64")
    runs = emit("_mul_scalar", emit("cumsum", changes, axis=axis), scalar=MAX_SORTED_LENGTH)
    keys = emit("sort", emit("elemwise_add", runs, indices), axis=axis)
    return like(indices, emit("_mod_scalar", keys, scalar=MAX_SORTED_LENGTH))


def _wrap_negative(emit: Emitter, indices: Value, size: int) -> Value:
    """The indices with `size` added to the negative ones, which count from the end."""
    if indices.array is not None:
        return emit.constant(
            "indices", np.where(indices.array < 0, indices.array + size, indices.array).astype(np.int64)
        )
    negative = like(indices, emit("_lesser_scalar", emit.cast(indices, "int64"), scalar=0))
    shift = emit("_mul_scalar", negative, scalar=size)
    return like(indices, emit("elemwise_add", emit.cast(indices, "int64"), shift))
