"""Operators that move or leave out numbers: Slice, Split, Reshape, Transpose and the like."""

from __future__ import annotations

from collections.abc import Sequence

from converters.targets.wolfram.ops.registry import OPS, RANK, Emitter, Value
from converters.targets.wolfram.syntax import format_list


@OPS.op("Slice", since=10)
def slice_(
    emit: Emitter, x: Value, starts: Value, ends: Value, axes: Value | None = None, steps: Value | None = None
) -> Value:
    """Slice(x) -> the numbers from starts to before ends, in steps.

    By its old page, PartLayer takes a Span i ;; j per level, without steps. So a plane is taken in steps by a
    PoolingLayer of 1 x 1, which takes each window's only pixel.
    """
    rank = emit.require_rank(x)
    assert x.shape is not None
    firsts, lasts = ([int(i) for i in emit.require_array(v, "limits")] for v in (starts, ends))
    cut = range(len(firsts)) if axes is None else [int(axis) % rank for axis in emit.require_array(axes, "axes")]
    strides = [1] * len(firsts) if steps is None else [int(step) for step in emit.require_array(steps, "steps")]
    spans, skips = ["All"] * (rank - 1), [1] * rank
    for axis, first, last, step in zip(cut, firsts, lasts, strides, strict=True):
        span = _format_span(emit, axis, x.shape[axis], first, last)
        if step < 1 or (step > 1 and (rank != RANK or axis < 2)):
            raise emit.refuse(f"its step along axis {axis} is {step}", "Only planes are taken in steps, of 1 or more")
        skips[axis] = step
        if span is not None:
            if axis == 0:
                raise emit.refuse("it takes a part of the batch", "A NetGraph has no batch axis")
            spans[axis - 1] = span
    layers = []
    if set(spans) != {"All"}:
        layers.append(f"PartLayer[{format_list(spans)}]")
    if any(step > 1 for step in skips):
        layers.append(f"PoolingLayer[{{1, 1}}, {format_list(skips[2:])}]")
    if not layers:
        raise emit.refuse("it takes everything", "Leave it out")
    return emit.chain(layers, x)


def _format_span(emit: Emitter, axis: int, size: object, first: int, last: int) -> str | None:
    """The Span of a slice; None if it is everything."""
    if isinstance(size, int):
        first, last, _ = slice(first, last).indices(size)
        if last <= first:
            raise emit.refuse(f"it takes nothing of axis {axis}", "Leave it out")
        return None if (first, last) == (0, size) else f"{first + 1} ;; {last}"
    if first < 0 or 0 <= last < 2**31 - 1:
        raise emit.refuse(f"it takes {first} to {last} of axis {axis}, whose size is free", "Convert with --size HxW")
    end = -1 if last > 0 else last - 1
    return None if (first, end) == (0, -1) else f"{first + 1} ;; {end}"


@OPS.op("Split", since=13)
def split(
    emit: Emitter, x: Value, sizes: Value | None = None, *, axis: int = 0, num_outputs: int | None = None
) -> Sequence[Value]:
    """Split(x) -> parts of x along one axis, each a PartLayer."""
    rank = emit.require_rank(x)
    assert x.shape is not None
    level, whole, count = axis % rank, x.shape[axis % rank], len(emit.outputs)
    if level == 0:
        raise emit.refuse("it splits the batch", "A NetGraph has no batch axis")
    if sizes is not None:
        lengths = [int(size) for size in emit.require_array(sizes, "split")]
    elif isinstance(whole, int):
        most = -(-whole // count)
        lengths = [min(most, whole - most * i) for i in range(count)]
    else:
        raise emit.refuse(f"the size of axis {level} of '{x.name}' is free", "Convert with --size HxW")
    if min(lengths) < 1 or len(lengths) != count:
        raise emit.refuse(f"its parts have the lengths {lengths}", "Split it into parts of 1 or more")
    parts, start = [], 0
    for index, length in enumerate(lengths):
        spans = format_list([*["All"] * (level - 1), f"{start + 1} ;; {start + length}"])
        parts.append(emit(f"PartLayer[{spans}]", x, index=index))
        start += length
    return parts


@OPS.op("Transpose", since=1)
def transpose(emit: Emitter, x: Value, *, perm: Sequence[int] | None = None) -> Value:
    """Transpose(x) -> x whose axis i is the old axis perm[i].

    By its page, TransposeLayer[{m1 <-> n1, ...}] exchanges levels one pair after another.
    """
    rank = emit.require_rank(x)
    order = list(range(rank))[::-1] if perm is None else list(perm)
    if order[0] != 0:
        raise emit.refuse(f"its perm {order} moves the batch", "A NetGraph has no batch axis")
    current, swaps = list(range(rank)), []
    for place in range(1, rank):
        found = current.index(order[place])
        if found != place:
            swaps.append(f"TwoWayRule[{place}, {found}]")
            current[place], current[found] = current[found], current[place]
    if not swaps:
        raise emit.refuse("it moves nothing", "Leave it out")
    return emit(f"TransposeLayer[{format_list(swaps)}]", x)


@OPS.op("Reshape", since=5)
def reshape(emit: Emitter, x: Value, shape: Value, *, allowzero: int = 0) -> Value:
    """Reshape(x, shape): ReshapeLayer keeps the order of the numbers, as ONNX does."""
    old = (_batch(x), *emit.require_sizes(x))
    new = [int(size) for size in emit.require_array(shape, "shape")]
    if not allowzero:
        new = [old[axis] if size == 0 else size for axis, size in enumerate(new)]
    if -1 in new:
        total, known = 1, 1
        for size in old:
            total *= size
        for size in new:
            known *= size if size > 0 else 1
        new[new.index(-1)] = total // known
    if new[0] != old[0]:
        raise emit.refuse(f"it makes {tuple(new)} of {old}", "A NetGraph has no batch axis: keep the first")
    return emit(f"ReshapeLayer[{format_list(new[1:])}]", x)


@OPS.op("Unsqueeze", since=13)
def unsqueeze(emit: Emitter, x: Value, axes: Value) -> Value:
    """Unsqueeze(x) -> x with axes of size 1."""
    sizes = [_batch(x), *emit.require_sizes(x)]
    added = [int(axis) for axis in emit.require_array(axes, "axes")]
    for axis in sorted(axis % (len(sizes) + len(added)) for axis in added):
        if axis == 0:
            raise emit.refuse("it adds an axis before the batch", "A NetGraph has no batch axis")
        sizes.insert(axis, 1)
    return emit(f"ReshapeLayer[{format_list(sizes[1:])}]", x)


@OPS.op("Squeeze", since=13)
def squeeze(emit: Emitter, x: Value, axes: Value) -> Value:
    """Squeeze(x) -> x without some axes of size 1."""
    sizes = [_batch(x), *emit.require_sizes(x)]
    dropped = {int(axis) % len(sizes) for axis in emit.require_array(axes, "axes")}
    if 0 in dropped:
        raise emit.refuse("it drops the batch", "A NetGraph has no batch axis")
    kept = [size for axis, size in enumerate(sizes) if axis and axis not in dropped]
    return emit(f"ReshapeLayer[{format_list(kept)}]", x)


def _batch(x: Value) -> int:
    """The size of the batch axis; a free one counts as 1, and -1 must not mean it."""
    assert x.shape is not None
    return x.shape[0] if isinstance(x.shape[0], int) else 1
