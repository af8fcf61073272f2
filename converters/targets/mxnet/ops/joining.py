"""Operators that put tensors together, or take one apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.targets.mxnet.ops.registry import OPS, Emitter, Value
from converters.targets.mxnet.sizes import Dim


@OPS.op("Concat", since=4)
def concat(emit: Emitter, *tensors: Value, axis: int) -> Value:
    """Tensors of one rank, joined along `axis`."""
    rank = emit.require_rank(tensors[0])
    filled = tuple(tensor for tensor in tensors if tensor.shape is None or tensor.shape[axis] != 0)
    tensors = filled or tensors  # MXNet has no empty ones
    joined = emit("Concat", *tensors, num_args=len(tensors), dim=axis % rank)
    shapes = [tensor.shape for tensor in tensors if tensor.shape is not None]
    if len(shapes) < len(tensors):
        return joined
    shape: list[Dim] = list(shapes[0])
    for other in shapes[1:]:
        shape[axis] = shape[axis] + other[axis]
    return replace(joined, shape=tuple(shape))


@OPS.op("Split", since=2)
def split_by_attribute(emit: Emitter, x: Value, *, axis: int = 0, split: Sequence[int] | None = None) -> list[Value]:
    """x in pieces along `axis`, equal ones without `split`."""
    return _split(emit, x, axis, split, None)


@OPS.op("Split", since=13)
def split_by_input(emit: Emitter, x: Value, split: Value | None = None, *, axis: int = 0) -> list[Value]:
    """The same, with the pieces' sizes as an input."""
    return _split(emit, x, axis, None if split is None else emit.require_ints(split, "split"), None)


@OPS.op("Split", since=18)
def split_by_number(
    emit: Emitter, x: Value, split: Value | None = None, *, axis: int = 0, num_outputs: int | None = None
) -> list[Value]:
    """The same, or `num_outputs` pieces, of which the last may be smaller."""
    return _split(emit, x, axis, None if split is None else emit.require_ints(split, "split"), num_outputs)


def _split(emit: Emitter, x: Value, axis: int, sizes: Sequence[int] | None, number: int | None) -> list[Value]:
    shape = emit.require_shape(x)
    axis %= len(shape)
    length = shape[axis]
    if sizes is None:
        number = number or len(emit.outputs)
        if not isinstance(length, int):  # equal pieces, or MXNet says that they are not
            pieces = emit.emit_many("SliceChannel", number, x, num_outputs=number, axis=axis)
            emit.assume_shape(pieces[0])
            size = length // number
            return [replace(piece, shape=(*shape[:axis], size, *shape[axis + 1 :])) for piece in pieces]
        piece_size = -(-length // number)
        sizes = [piece_size] * (number - 1) + [length - piece_size * (number - 1)]
    results, begin = [], 0
    for size in sizes:
        piece = emit("slice_axis", x, axis=axis, begin=begin, end=begin + size) if size else x
        results.append(replace(piece, shape=(*shape[:axis], size, *shape[axis + 1 :])))
        begin += size
    return results
