"""Concat and Split."""

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
    tensors = filled or tensors  # MXNet has no empty tensors
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
    """Pieces of x along `axis`, of the sizes `split`; without `split`, one piece of equal size per output."""
    return _split(emit, x, axis, split, len(emit.outputs))


@OPS.op("Split", since=13)
def split_by_input(emit: Emitter, x: Value, split: Value | None = None, *, axis: int = 0) -> list[Value]:
    """As at opset 2, with `split` as an input."""
    return split_by_number(emit, x, split, axis=axis)


@OPS.op("Split", since=18)
def split_by_number(
    emit: Emitter, x: Value, split: Value | None = None, *, axis: int = 0, num_outputs: int | None = None
) -> list[Value]:
    """As at opset 13; with `num_outputs`, that many pieces, of which the last may be smaller."""
    sizes = None if split is None else emit.require_ints(split, "split")
    return _split(emit, x, axis, sizes, num_outputs or len(emit.outputs))


def _split(emit: Emitter, x: Value, axis: int, sizes: Sequence[int] | None, number: int) -> list[Value]:
    """Pieces of x along `axis`.

    Args:
        sizes: The piece sizes; None for `number` pieces of equal size.
    """
    shape = emit.require_shape(x)
    axis %= len(shape)
    length = shape[axis]
    if sizes is None:
        if not isinstance(length, int):
            pieces = emit.emit_many("SliceChannel", number, x, num_outputs=number, axis=axis)
            emit.assume_shape(pieces[0])  # MXNet fails at run time if `number` does not divide the free size
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
