"""Operators that reorder, reshape or repeat elements, and Shape, Size and ConstantOfShape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.targets.mxnet.ops.elementwise import broadcast_shape
from converters.targets.mxnet.ops.free_sizes import resolve_shape, write_broadcast, write_reshape, write_tensor
from converters.targets.mxnet.ops.registry import OPS, Emitter, Value
from converters.targets.mxnet.sizes import Dim, SymbolicDim, multiply
from converters.tensors import Array


@OPS.op("Transpose", since=1)
def transpose(emit: Emitter, data: Value, *, perm: Sequence[int] | None = None) -> Value:
    """data with axis perm[i] at axis i; without `perm` the axes are reversed."""
    axes = tuple(reversed(range(emit.require_rank(data)))) if perm is None else tuple(perm)
    return permute(emit, data, axes)


@OPS.op("Reshape", since=5)
def reshape(emit: Emitter, data: Value, shape: Value) -> Value:
    """data with another shape. A 0 in `shape` copies the size of the same axis, a -1 is inferred."""
    return write_reshape(emit, data, resolve_shape(emit, data, emit.require_sizes(shape, "shape")))


@OPS.op("Reshape", since=14)
def reshape_or_zero(emit: Emitter, data: Value, shape: Value, *, allowzero: int = 0) -> Value:
    """The same; with `allowzero` a 0 is an empty axis."""
    wanted = emit.require_sizes(shape, "shape")
    return write_reshape(emit, data, resolve_shape(emit, data, wanted, keep_zeros=bool(allowzero)))


@OPS.op("Flatten", since=1)
def flatten(emit: Emitter, x: Value, *, axis: int = 1) -> Value:
    """x with shape (product of the axes before `axis`, product of the others)."""
    shape = emit.require_shape(x)
    axis = axis + len(shape) if axis < 0 else axis
    return write_reshape(emit, x, (multiply(shape[:axis]), multiply(shape[axis:])))


@OPS.op("Squeeze", since=1)
def squeeze_by_attribute(emit: Emitter, data: Value, *, axes: Sequence[int] | None = None) -> Value:
    """data without `axes`, which have size 1; if left out, without all axes of size 1."""
    return _squeeze(emit, data, axes)


@OPS.op("Squeeze", since=13)
def squeeze(emit: Emitter, data: Value, axes: Value | None = None) -> Value:
    """The same, with `axes` as an input."""
    return _squeeze(emit, data, None if axes is None else emit.require_ints(axes, "axes"))


@OPS.op("Unsqueeze", since=1)
def unsqueeze_by_attribute(emit: Emitter, data: Value, *, axes: Sequence[int]) -> Value:
    """data with new axes of size 1, which are `axes` of the result."""
    return _unsqueeze(emit, data, axes)


@OPS.op("Unsqueeze", since=13)
def unsqueeze(emit: Emitter, data: Value, axes: Value) -> Value:
    """The same, with `axes` as an input."""
    return _unsqueeze(emit, data, emit.require_ints(axes, "axes"))


@OPS.op("Expand", since=8)
def expand(emit: Emitter, x: Value, shape: Value) -> Value:
    """x broadcast with a tensor of shape `shape`."""
    target = Value("target", tuple(emit.require_sizes(shape, "shape")))
    assert target.shape is not None
    emit.require_shape(x)
    result = broadcast_shape(x, target)
    assert result is not None
    assert x.shape is not None
    last = min(len(x.shape), len(target.shape))
    pairs = zip(x.shape[len(x.shape) - last :], target.shape[len(target.shape) - last :], strict=True)
    undecided = [
        new for old, new in pairs if isinstance(old, SymbolicDim) and isinstance(new, SymbolicDim) and old != new
    ]
    if undecided:  # either size may turn out to be 1
        raise emit.refuse_sizes("shape", undecided)
    if len(x.shape) < len(result):
        x = write_reshape(emit, x, (*[1] * (len(result) - len(x.shape)), *x.shape))
    return write_broadcast(emit, x, result)


@OPS.op("Tile", since=6)
def tile(emit: Emitter, x: Value, repeats: Value) -> Value:
    """x, repeated repeats[i] times along axis i."""
    counts = emit.require_ints(repeats, "repeats")
    shape = emit.require_shape(x)
    for axis, times in enumerate(counts):
        if times == 0:
            raise emit.refuse("it repeats nothing", "MXNet has no empty tensors")
        if times != 1:  # one axis at a time: MXNet's tile of several can need more axes than MXNet supports
            x = emit("tile", x, reps=[times if i == axis else 1 for i in range(len(counts))])
    return replace(x, shape=tuple(size * times for size, times in zip(shape, counts, strict=True)))


@OPS.op("ConstantOfShape", since=9)
def constant_of_shape(emit: Emitter, shape: Value, *, value: Array | None = None) -> Value:
    """A tensor of a shape with free sizes, filled with one number."""
    sizes = emit.require_sizes(shape, "shape")
    zeros = emit("zeros_like", write_tensor(emit, sizes))
    if value is None:
        return replace(zeros, shape=tuple(sizes))
    number = float(value.reshape(()))
    if int(number) != value.reshape(()) and value.dtype.kind in "iu":
        raise emit.refuse(f"its number is {value.reshape(())}", "Use one that float64 holds")
    if value.dtype.kind in "iuf":  # added in the type of `value`: float32 would round it
        return replace(emit("_plus_scalar", emit.cast(zeros, value.dtype.name), scalar=number), shape=tuple(sizes))
    return replace(emit.cast(emit("_plus_scalar", zeros, scalar=number), value.dtype.name), shape=tuple(sizes))


@OPS.op("Shape", since=1)
def measure(emit: Emitter, data: Value) -> Value:
    """The shape of data: (rank,) int64."""
    return measure_part(emit, data)


@OPS.op("Shape", since=15)
def measure_part(emit: Emitter, data: Value, *, start: int = 0, end: int | None = None) -> Value:
    """The shape of data from axis `start` to before axis `end`: (end - start,) int64."""
    rank = emit.require_rank(data)
    begin, stop, _ = slice(start, end).indices(rank)
    if rank == 0 or begin >= stop:
        raise emit.refuse("it gives no number", "MXNet has no empty tensors")
    sizes = emit("shape_array", data, dtype="int64")
    return emit("slice_axis", sizes, axis=0, begin=begin, end=stop)


@OPS.op("Size", since=1)
def count(emit: Emitter, data: Value) -> Value:
    """The number of elements of data, an int64 scalar."""
    return replace(emit("size_array", data, dtype="int64"), shape=())


@OPS.op("DepthToSpace", since=1)
def depth_to_space(emit: Emitter, x: Value, *, blocksize: int, mode: str = "DCR") -> Value:
    """(N, C b^2, H, W) -> (N, C, H b, W b), where b is `blocksize`.

    Mode DCR reads the channels as (b, b, C), mode CRD as (C, b, b).
    """
    if mode not in ("DCR", "CRD"):
        raise emit.refuse(f"its mode is '{mode}'", "Use DCR or CRD")
    if mode == "DCR":
        return emit("depth_to_space", x, block_size=blocksize)
    y = emit.reshape(x, (0, -4, -1, blocksize**2, -2))  # (N, C, b^2, H, W)
    y = emit.reshape(y, (0, 0, -4, blocksize, blocksize, 0, 0))
    y = emit("transpose", y, axes=(0, 1, 4, 2, 5, 3))
    return emit.reshape(y, (0, 0, -3, -3))


@OPS.op("SpaceToDepth", since=1)
def space_to_depth(emit: Emitter, x: Value, *, blocksize: int) -> Value:
    """(N, C, H b, W b) -> (N, b^2 C, H, W), where b is `blocksize` and the channels are ordered as (b, b, C)."""
    return emit("space_to_depth", x, block_size=blocksize)


def permute(emit: Emitter, x: Value, axes: Sequence[int]) -> Value:
    """x with axis axes[i] at axis i."""
    moved = emit("transpose", x, axes=tuple(axes))
    return moved if x.shape is None else replace(moved, shape=tuple(x.shape[axis] for axis in axes))


def move_axis(emit: Emitter, x: Value, source: int, target: int) -> Value:
    """x with axis `source` moved to axis `target`; the other axes keep their order."""
    axes = [axis for axis in range(emit.require_rank(x)) if axis != source]
    axes.insert(target, source)
    return x if axes == sorted(axes) else permute(emit, x, axes)


def _squeeze(emit: Emitter, data: Value, axes: Sequence[int] | None) -> Value:
    shape = emit.require_shape(data)
    if axes is None:
        gone = {axis for axis, size in enumerate(emit.require_fixed_shape(data)) if size == 1}
    else:
        gone = {axis % len(shape) for axis in axes}
    return write_reshape(emit, data, [size for axis, size in enumerate(shape) if axis not in gone])


def _unsqueeze(emit: Emitter, data: Value, axes: Sequence[int]) -> Value:
    shape: list[Dim] = list(emit.require_shape(data))
    rank = len(shape) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        shape.insert(axis, 1)
    return write_reshape(emit, data, shape)
