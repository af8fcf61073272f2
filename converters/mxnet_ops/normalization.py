"""InstanceNormalization as two-pass statistics.

MXNet's own InstanceNorm adds up a whole plane in one float32 sum and loses two to three digits on large flat holes.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from converters.mxnet_ops.registry import OPS, Emitter, Value
from converters.tensors import Array


@OPS.op("InstanceNormalization", since=6)
def instance_normalization(emit: Emitter, x: Value, scale: Value, b: Value, *, epsilon: float = 1e-5) -> Value:
    """scale (x - m) / sqrt(v + epsilon) + b; m and the biased variance v per item and channel, axis by axis."""
    factors, offsets = emit.require_array(scale, "scale"), emit.require_array(b, "bias")
    rank = emit.require_rank(x)
    per_channel = (1, -1, *[1] * (rank - 2))
    means = ChannelsFirstMeans(emit, x, rank)
    return write_norm(emit, x, means, factors.reshape(per_channel), offsets.reshape(per_channel), epsilon)


class Means(Protocol):
    """Means of tensors of one shape over all axes but batch and channels, one after another.

    They are products with a vector of equal numbers, which take a tenth of the time of MXNet's `mean`, but add up in
    plain order: good to some 1e-6 of the largest number.
    """

    def mean(self, x: Value, suffix: str) -> Value: ...


def write_norm(emit: Emitter, x: Value, means: Means, factors: Array, offsets: Array, epsilon: float) -> Value:
    """The norm of x.

    Args:
        factors: Of a shape that fits x, left out if all are 1.
        offsets: The same, left out if all are 0.
    """
    # What the first mean is off by is the mean of the remainder, whose own error is as much smaller again.
    remainder = emit("broadcast_sub", x, means.mean(x, "mean"), suffix="remainder")
    centred = emit("broadcast_sub", remainder, means.mean(remainder, "correction"), suffix="centred")
    variance = means.mean(emit("square", centred, suffix="squared"), "variance")
    shifted = emit("_plus_scalar", variance, suffix="shifted", scalar=epsilon)
    operations = [("broadcast_mul", emit("rsqrt", shifted, suffix="rsqrt"), "normalized")]
    if np.any(factors != 1):
        operations.append(("broadcast_mul", emit.constant("scale", factors), "scaled"))
    if np.any(offsets != 0):
        operations.append(("broadcast_add", emit.constant("bias", offsets), "biased"))
    *earlier, (last, operand, _) = operations
    y = centred
    for op, value, suffix in earlier:
        y = emit(op, y, value, suffix=suffix)
    return emit(last, y, operand)


class ChannelsFirstMeans:
    """For x: (N, C, D1, D2, ...)."""

    def __init__(self, emit: Emitter, x: Value, rank: int) -> None:
        self._emit = emit
        self._rank = rank
        self._weights = {axis: self._make_weights(x, axis) for axis in range(2, rank)}

    def _make_weights(self, x: Value, axis: int) -> Value:
        """(length, 1), each 1 / length."""
        # Not by `slice`: on the blocked layout that a convolution leaves, it crashes the next convolution.
        numbers = self._emit("_contrib_arange_like", x, suffix=f"axis_{axis}", axis=axis)
        ones = self._emit("ones_like", numbers, suffix=f"axis_{axis}")
        column = self._emit("Reshape", ones, suffix=f"axis_{axis}", shape=(-1, 1))
        return self._emit(
            "broadcast_div", column, self._emit("sum", column, suffix=f"axis_{axis}"), suffix=f"axis_{axis}"
        )

    def mean(self, x: Value, suffix: str) -> Value:
        """(N, C, 1, 1, ...)."""
        last = self._rank - 1
        for axis in range(last, 1, -1):
            if axis < last:  # (N, ..., length, 1, ...): the length moves to the end
                shape = (*[0] * axis, *[1] * (last - axis), -1)
                x = self._emit("Reshape", x, suffix=f"{suffix}_{axis}", shape=shape)
            x = self._emit("dot", x, self._weights[axis], suffix=f"{suffix}_{axis}")
        return x


class ChannelsLastMeans:
    """For x: (N, H, W, C)."""

    def __init__(self, emit: Emitter, x: Value) -> None:
        self._emit = emit
        column = emit(
            "ones_like", emit("slice_axis", x, suffix="w", axis=3, begin=0, end=1), suffix="w"
        )  # (N, H, W, 1)
        self._over_w = self._weights(emit("Reshape", column, suffix="w", shape=(-3, 1, -1)), "w")
        row = emit("slice_axis", column, suffix="h", axis=2, begin=0, end=1)  # (N, H, 1, 1)
        self._over_h = self._weights(emit("Reshape", row, suffix="h", shape=(0, 1, -1)), "h")

    def _weights(self, ones: Value, suffix: str) -> Value:
        """(B, 1, length), each 1 / length."""
        total = self._emit("sum", ones, suffix=suffix, axis=2, keepdims=True)
        return self._emit("broadcast_div", ones, total, suffix=suffix)

    def mean(self, x: Value, suffix: str) -> Value:
        """(N, 1, 1, C)."""
        rows = self._emit("Reshape", x, suffix=f"{suffix}_w", shape=(-3, 0, 0))  # (N H, W, C)
        rows = self._emit("batch_dot", self._over_w, rows, suffix=f"{suffix}_w")  # (N H, 1, C)
        rows = self._emit("reshape_like", rows, x, suffix=f"{suffix}_h", lhs_begin=0, lhs_end=2, rhs_begin=0, rhs_end=2)
        means = self._emit("batch_dot", self._over_h, rows, suffix=f"{suffix}_h")  # (N, 1, C)
        return self._emit("expand_dims", means, suffix=suffix, axis=1)
