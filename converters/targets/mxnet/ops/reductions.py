"""Reductions along axes (sum, mean, maximum and so on), ArgMax, ArgMin and CumSum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from converters.targets.mxnet.ops.elementwise import like
from converters.targets.mxnet.ops.registry import FLOATS, OPS, Emitter, Value
from converters.targets.mxnet.ops.slicing import slice_axis

# Reduces x along axes, which keep size 1.
Reduce = Callable[[Emitter, Value, Sequence[int]], Value]
# Reduced one axis at a time: MXNet adds elements one after another, so that the rounding error grows with the number of
# elements in one call. float16 is summed in float32, because sums can exceed its largest number, 65504.
STEPWISE = ("sum", "mean")


def write_reduction(emit: Emitter, x: Value, axes: Sequence[int], op: str) -> Value:
    """MXNet's reduction `op` of x along axes, which keep size 1. A mean of integers is computed in float64."""
    if op in STEPWISE and x.dtype in FLOATS:
        dtype = x.dtype
        if dtype == "float16":
            x = emit.cast(x, "float32")
        for axis in sorted(axes, reverse=True):
            x = _with_reduced_shape(x, emit(op, x, axis=(axis,), keepdims=1), [axis])
        return emit.cast(x, dtype)
    if op == "mean":
        return emit.cast(write_reduction(emit, emit.cast(x, "float64"), axes, op), x.dtype)
    return _with_reduced_shape(x, emit(op, x, axis=tuple(axes), keepdims=1), axes)


def _with_reduced_shape(x: Value, reduced: Value, axes: Sequence[int]) -> Value:
    """`reduced`, with its shape set to that of x with size 1 for `axes`."""
    if x.shape is None:
        return reduced
    return replace(reduced, shape=tuple(1 if axis in axes else size for axis, size in enumerate(x.shape)))


def _simple(op: str) -> Reduce:
    return lambda emit, x, axes: write_reduction(emit, x, axes, op)


def _l1(emit: Emitter, x: Value, axes: Sequence[int]) -> Value:
    return write_reduction(emit, like(x, emit("abs", x)), axes, "sum")


def _sum_square(emit: Emitter, x: Value, axes: Sequence[int]) -> Value:
    return write_reduction(emit, like(x, emit("broadcast_mul", x, x)), axes, "sum")


def _l2(emit: Emitter, x: Value, axes: Sequence[int]) -> Value:
    if x.dtype not in FLOATS:
        return emit.cast(_l2(emit, emit.cast(x, "float64"), axes), x.dtype)
    squares = _sum_square(emit, x, axes)
    return like(squares, emit("sqrt", squares))


def _log_sum(emit: Emitter, x: Value, axes: Sequence[int]) -> Value:
    _require_floats(emit, x)
    sums = write_reduction(emit, x, axes, "sum")
    return like(sums, emit("log", sums))


def _log_sum_exp(emit: Emitter, x: Value, axes: Sequence[int]) -> Value:
    _require_floats(emit, x)
    largest = write_reduction(emit, x, axes, "max")
    # Subtracting an infinite maximum from an infinite element gives NaN: subtract 0 where the maximum is not finite.
    finite = emit("_equal_scalar", emit("elemwise_sub", largest, largest), scalar=0.0)
    shift = like(largest, emit("where", finite, largest, emit("zeros_like", largest)))
    powers = like(x, emit("exp", emit("broadcast_sub", x, shift)))
    return like(shift, emit("elemwise_add", _log_sum(emit, powers, axes), shift))


def _require_floats(emit: Emitter, x: Value) -> None:
    if x.dtype not in FLOATS:
        raise emit.refuse(f"its input is {x.dtype}, of which a logarithm is no number", "Cast it to float32 before")


REDUCTIONS: dict[str, Reduce] = {
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMax": _simple("max"),
    "ReduceMean": _simple("mean"),
    "ReduceMin": _simple("min"),
    "ReduceProd": _simple("prod"),
    "ReduceSum": _simple("sum"),
    "ReduceSumSquare": _sum_square,
}
# The opset at which `axes` became an input.
AXES_AS_INPUT = {name: 13 if name == "ReduceSum" else 18 for name in REDUCTIONS}


def _register(name: str, function: Reduce) -> None:
    @OPS.op(name, since=1)
    def by_attribute(emit: Emitter, data: Value, *, axes: Sequence[int] | None = None, keepdims: int = 1) -> Value:
        return _reduce(emit, data, axes or None, bool(keepdims), function)

    @OPS.op(name, since=AXES_AS_INPUT[name])
    def by_input(
        emit: Emitter, data: Value, axes: Value | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Value:
        over = None if axes is None else emit.require_ints(axes, "axes")
        if not over and noop_with_empty_axes:
            over = []
        elif not over:
            over = None
        return _reduce(emit, data, over, bool(keepdims), function)


for _name, _function in REDUCTIONS.items():
    _register(_name, _function)


def _reduce(emit: Emitter, x: Value, axes: Sequence[int] | None, keep: bool, function: Reduce) -> Value:
    """Apply a reduction as ONNX does.

    Args:
        axes: Axes to reduce; None for all, an empty list for none: each element is then reduced by itself.
        keep: Whether the reduced axes stay with size 1.
    """
    rank = emit.require_rank(x)
    if rank == 0:
        return replace(function(emit, replace(x, shape=(1,)), [0]), shape=())
    over = sorted({axis % rank for axis in (range(rank) if axes is None else axes)})
    if not over:
        x = replace(emit("expand_dims", x, axis=rank), shape=(*emit.require_shape(x), 1))
        over, keep = [rank], False
    reduced = function(emit, x, over)
    return reduced if keep else drop_axes(emit, reduced, x, over)


def drop_axes(emit: Emitter, reduced: Value, x: Value, axes: Sequence[int]) -> Value:
    """`reduced` without `axes`, which have size 1 in it; its other axes have the sizes of x."""
    assert x.shape is not None
    shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    if not shape:
        return replace(emit.reshape(reduced, (1,)), shape=())
    return replace(emit("squeeze", reduced, axis=tuple(axes)), shape=shape)


def _register_arg(name: str, mxnet_op: str) -> None:
    @OPS.op(name, since=1)
    def first(emit: Emitter, data: Value, *, axis: int = 0, keepdims: int = 1) -> Value:
        return _arg(emit, data, axis, bool(keepdims), mxnet_op, last=False)

    @OPS.op(name, since=12)
    def first_or_last(
        emit: Emitter, data: Value, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
    ) -> Value:
        return _arg(emit, data, axis, bool(keepdims), mxnet_op, last=bool(select_last_index))


_register_arg("ArgMax", "argmax")
_register_arg("ArgMin", "argmin")


def _arg(emit: Emitter, x: Value, axis: int, keep: bool, op: str, *, last: bool) -> Value:
    """Index of the extreme element along an axis: the first if several are equal, or the last."""
    shape = emit.require_shape(x)
    axis %= len(shape)
    searched = like(x, emit("reverse", x, axis=(axis,))) if last else x
    # MXNet returns the index in the element type of its input; float64 holds every index.
    index = emit(op, emit.cast(searched, "float64"), axis=axis, keepdims=1)
    if last:
        index = emit("_rminus_scalar", index, scalar=float(emit.require_fixed_size(x, axis) - 1))
    index = _with_reduced_shape(x, emit.cast(index, "int64"), [axis])
    return index if keep else drop_axes(emit, index, x, [axis])


@OPS.op("CumSum", since=11)
def cumulative_sum(emit: Emitter, x: Value, axis: Value, *, exclusive: int = 0, reverse: int = 0) -> Value:
    """Cumulative sums along an axis: each element plus those before it.

    Args:
        exclusive: Whether an element is left out of its own sum.
        reverse: Whether to sum from the end of the axis.
    """
    shape = emit.require_shape(x)
    (number,) = emit.require_ints(axis, "axis")
    over = number % len(shape)
    y = like(x, emit("reverse", x, axis=(over,))) if reverse else x
    y = like(x, emit("cumsum", y, axis=over))
    if exclusive:
        zeros = like(x, emit("zeros_like", y))
        first = slice_axis(emit, zeros, over, 0, 1)
        longer = emit("Concat", first, y, dim=over, num_args=2)
        y = like(x, emit("slice_axis", longer, axis=over, begin=0, end=-1))
    return like(x, emit("reverse", y, axis=(over,))) if reverse else y
