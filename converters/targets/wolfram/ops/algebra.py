"""MatMul, Softmax, and sums and means over axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.targets.wolfram.ops.registry import OPS, Emitter, Value
from converters.targets.wolfram.syntax import format_list

MATRIX = 2


@OPS.op("MatMul", since=9)
def mat_mul(emit: Emitter, a: Value, b: Value) -> Value:
    """MatMul of two matrices per item, or of a tensor and a constant matrix.

    By its page, DotLayer computes Dot[in1, in2], which sums over the last level of the first and the first of the
    second. So a constant on the left is turned, and so is what it multiplies.
    """
    if b.array is not None and b.array.ndim == MATRIX:
        return emit("DotLayer[]", a, emit.constant(b, b.array))
    if a.array is not None and a.array.ndim == MATRIX:
        levels = emit.require_rank(b) - 1
        turn = f"TransposeLayer[{{TwoWayRule[{levels - 1}, {levels}]}}]"
        constant = emit.constant(a, np.ascontiguousarray(a.array.T))
        return emit(turn, emit.between("dot", "DotLayer[]", emit.between("turned", turn, b), constant))
    ranks = emit.require_rank(a), emit.require_rank(b)
    if ranks != (MATRIX + 1, MATRIX + 1):
        raise emit.refuse(f"its inputs have the ranks {ranks}", "DotLayer multiplies one pair of matrices per item")
    return emit("DotLayer[]", a, b)


@OPS.op("Softmax", since=13)
def softmax(emit: Emitter, x: Value, *, axis: int = -1) -> Value:
    """e^x, divided by its sum along an axis. By its page, SoftmaxLayer[] does so along the last level."""
    rank = emit.require_rank(x)
    level = axis % rank
    if level == 0:
        raise emit.refuse("it runs over the batch", "A NetGraph has no batch axis")
    return emit("SoftmaxLayer[]" if level == rank - 1 else f"SoftmaxLayer[{level}]", x)


def _register_reduction(op: str, function: str, since: int) -> None:
    @OPS.op(op, since=since)
    def convert(
        emit: Emitter, x: Value, axes: Value | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Value:
        """By its page, AggregationLayer[f, {n1, ...}] applies f to those levels, which vanish."""
        if axes is None:
            raise emit.refuse("it runs over the batch", "Name the axes")
        levels = sorted(int(axis) % emit.require_rank(x) for axis in emit.require_array(axes, "axes"))
        return _reduce(emit, function, x, levels, keepdims)


def _reduce(emit: Emitter, function: str, x: Value, levels: Sequence[int], keepdims: int) -> Value:
    if not levels or levels[0] == 0:
        raise emit.refuse("it runs over the batch", "A NetGraph has no batch axis")
    layers = [f"AggregationLayer[{function}, {format_list(levels)}]"]
    if keepdims and list(levels) == [1]:
        layers.append("ReplicateLayer[1]")  # a first level of size 1 again, whatever the other sizes
    elif keepdims:
        sizes = [1 if axis in levels else size for axis, size in enumerate(emit.require_sizes(x), start=1)]
        layers.append(f"ReshapeLayer[{format_list(sizes)}]")
    return emit.chain(layers, x)


_register_reduction("ReduceSum", "Total", since=13)
_register_reduction("ReduceMean", "Mean", since=18)
