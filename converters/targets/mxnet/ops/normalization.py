"""Norms and softmaxes, by steps whose rounding is known.

MXNet's own InstanceNorm adds up a whole plane in one float32 sum and loses two to three digits on large flat holes;
here it is two-pass statistics, one axis after another.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from converters.targets.mxnet.ops.free_sizes import write_reshape
from converters.targets.mxnet.ops.reductions import write_reduction
from converters.targets.mxnet.ops.registry import OPS, Emitter, Value
from converters.targets.mxnet.sizes import multiply
from converters.tensors import Array


@OPS.op("BatchNormalization", since=7)
def batch_normalization(
    emit: Emitter,
    x: Value,
    scale: Value,
    b: Value,
    mean: Value,
    var: Value,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: int = 1,
) -> Value:
    """scale (x - mean) / sqrt(var + epsilon) + b, with the given statistics; `momentum` is for training."""
    if not spatial:
        raise emit.refuse("its spatial is 0", "Export without it")
    return _batch_norm(emit, x, scale, b, mean, var, epsilon)


@OPS.op("BatchNormalization", since=14)
def batch_normalization_or_training(
    emit: Emitter,
    x: Value,
    scale: Value,
    b: Value,
    mean: Value,
    var: Value,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Value:
    """The same, outside training."""
    if training_mode:
        raise emit.refuse("it is in training mode", "Export the model for inference")
    return _batch_norm(emit, x, scale, b, mean, var, epsilon)


def _batch_norm(emit: Emitter, x: Value, scale: Value, b: Value, mean: Value, var: Value, epsilon: float) -> Value:
    # Not MXNet's BatchNorm: it takes the scale for 1 unless told, and does not take every epsilon.
    shape = (1, -1, *[1] * (emit.require_rank(x) - 2))
    statistics = (scale, b, mean, var)
    if all(value.array is not None for value in statistics):
        gamma, beta, middle, variance = (
            emit.require_array(value, "statistics").astype(np.float64).reshape(shape) for value in statistics
        )
        factor = gamma / np.sqrt(variance + epsilon)
        factors = emit.constant("factor", factor.astype(x.dtype))
        offsets = emit.constant("offset", (beta - middle * factor).astype(x.dtype))
        y = emit("broadcast_mul", x, factors)
        return replace(emit("broadcast_add", y, offsets), shape=x.shape)
    gamma_, beta_, middle_, variance_ = (emit.reshape(emit.cast(value, x.dtype), shape) for value in statistics)
    deviation = emit("sqrt", emit("_plus_scalar", variance_, scalar=epsilon))
    y = emit("broadcast_mul", emit("broadcast_sub", x, middle_), emit("broadcast_div", gamma_, deviation))
    return replace(emit("broadcast_add", y, beta_), shape=x.shape)


@OPS.op("Softmax", since=1)
def softmax_of_rows(emit: Emitter, x: Value, *, axis: int = 1) -> Value:
    """exp(x) over its sum, x being (product of the axes before `axis`, product of the others)."""
    return _softmax_of_rows(emit, x, axis, "softmax")


@OPS.op("Softmax", since=13)
def softmax(emit: Emitter, x: Value, *, axis: int = -1) -> Value:
    """exp(x) over its sum along one axis."""
    return _softmax(emit, x, axis, "softmax")


@OPS.op("LogSoftmax", since=1)
def log_softmax_of_rows(emit: Emitter, x: Value, *, axis: int = 1) -> Value:
    """The logarithm of Softmax."""
    return _softmax_of_rows(emit, x, axis, "log_softmax")


@OPS.op("LogSoftmax", since=13)
def log_softmax(emit: Emitter, x: Value, *, axis: int = -1) -> Value:
    """The logarithm of Softmax."""
    return _softmax(emit, x, axis, "log_softmax")


def _softmax(emit: Emitter, x: Value, axis: int, op: str) -> Value:
    if x.dtype != "float16" and op == "softmax":
        return replace(emit(op, x, axis=axis), shape=x.shape)
    # MXNet's own adds up in float16; here every step is rounded once, as numpy does. Its logarithm loses a digit.
    over = [axis % emit.require_rank(x)]
    shifted = emit("broadcast_sub", x, write_reduction(emit, x, over, "max"))
    powers = replace(emit("exp", shifted), shape=x.shape)
    if op == "log_softmax":
        logarithm = emit("log", write_reduction(emit, powers, over, "sum"))
        return replace(emit("broadcast_sub", shifted, logarithm), shape=x.shape)
    return replace(emit("broadcast_div", powers, write_reduction(emit, powers, over, "sum")), shape=x.shape)


def _softmax_of_rows(emit: Emitter, x: Value, axis: int, op: str) -> Value:
    shape = emit.require_shape(x)
    axis %= len(shape)
    if axis == len(shape) - 1:
        return _softmax(emit, x, -1, op)
    rows = write_reshape(emit, x, (multiply(shape[:axis]), multiply(shape[axis:])))
    y = _softmax(emit, rows, -1, op)
    return replace(emit("reshape_like", y, x), shape=shape)


@OPS.op("LRN", since=1)
def local_response_normalization(
    emit: Emitter, x: Value, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Value:
    """x over (bias + alpha / size times the sum of squares over `size` channels around) to the power of beta."""
    if emit.require_rank(x) != 4:
        raise emit.refuse(f"its input has rank {x.rank}", "Reshape it to four axes")
    if size % 2 == 0:
        raise emit.refuse(f"its size {size} is even", "Use an odd one")
    return replace(emit("LRN", x, nsize=size, alpha=alpha, beta=beta, knorm=bias), shape=x.shape)


@OPS.op("LpNormalization", since=1)
def norm_normalization(emit: Emitter, x: Value, *, axis: int = -1, p: int = 2) -> Value:
    """x over its p-norm along one axis; 0 where that is 0."""
    axis %= emit.require_rank(x)
    if p == 1:
        norm = write_reduction(emit, replace(emit("abs", x), shape=x.shape), [axis], "sum")
    else:
        squares = replace(emit("broadcast_mul", x, x), shape=x.shape)
        norm = emit("sqrt", write_reduction(emit, squares, [axis], "sum"))
    # Where the norm is 0, x is too.
    safe = emit("elemwise_add", norm, emit("_equal_scalar", norm, scalar=0.0))
    return replace(emit("broadcast_div", x, safe), shape=x.shape)


@OPS.op("InstanceNormalization", since=6)
def instance_normalization(emit: Emitter, x: Value, scale: Value, b: Value, *, epsilon: float = 1e-5) -> Value:
    """scale (x - m) / sqrt(v + epsilon) + b; m and the biased variance v per item and channel, axis by axis."""
    rank = emit.require_rank(x)
    if x.dtype == "float16" or scale.array is None or b.array is None:
        return _instance_norm_of_any(emit, x, scale, b, epsilon)
    factors, offsets = scale.array, b.array
    per_channel = (1, -1, *[1] * (rank - 2))
    means = ChannelsFirstMeans(emit, x, rank)
    return write_norm(emit, x, means, factors.reshape(per_channel), offsets.reshape(per_channel), epsilon)


def _instance_norm_of_any(emit: Emitter, x: Value, scale: Value, b: Value, epsilon: float) -> Value:
    """The norm of x, in float32 if x is float16, with a scale and a bias that the graph may compute."""
    dtype = "float32" if x.dtype == "float16" else x.dtype
    rank = emit.require_rank(x)
    wide = emit.cast(x, dtype)
    means = ChannelsFirstMeans(emit, wide, rank)
    ones, zeros = np.ones(1, dtype), np.zeros(1, dtype)
    y = write_norm(emit, wide, means, ones, zeros, epsilon)
    shape = (1, -1, *[1] * (rank - 2))
    y = emit("broadcast_mul", y, emit.reshape(emit.cast(scale, dtype), shape))
    y = emit("broadcast_add", y, emit.reshape(emit.cast(b, dtype), shape))
    return emit.cast(replace(y, shape=x.shape), x.dtype)


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
