"""Normalizations and softmaxes, written in steps whose rounding error is known.

MXNet's own InstanceNorm adds up a whole plane in one float32 sum and loses two to three digits on large flat holes.
Here the mean is subtracted before the variance is computed, and sums run over one axis after another.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

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
    """scale (x - mean) / sqrt(var + epsilon) + b; `momentum` only matters in training."""
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
    """As at opset 7; training mode is refused."""
    if training_mode:
        raise emit.refuse("it is in training mode", "Export the model for inference")
    return _batch_norm(emit, x, scale, b, mean, var, epsilon)


def _batch_norm(emit: Emitter, x: Value, scale: Value, b: Value, mean: Value, var: Value, epsilon: float) -> Value:
    """One product and one sum if the statistics are constants, else the formula step by step."""
    # Not MXNet's BatchNorm: by default it replaces the scale with 1, and it does not accept every epsilon.
    shape = _channel_shape(emit.require_rank(x))
    statistics = (scale, b, mean, var)
    if all(value.array is not None for value in statistics):
        gammas, betas, means, variances = (
            emit.require_array(value, "statistics").astype(np.float64).reshape(shape) for value in statistics
        )
        scales = gammas / np.sqrt(variances + epsilon)
        factor = emit.constant("factor", scales.astype(x.dtype))
        offset = emit.constant("offset", (betas - means * scales).astype(x.dtype))
        return replace(emit("broadcast_add", emit("broadcast_mul", x, factor), offset), shape=x.shape)
    scale, b, mean, var = (emit.reshape(emit.cast(value, x.dtype), shape) for value in statistics)
    deviation = emit("sqrt", emit("_plus_scalar", var, scalar=epsilon))
    y = emit("broadcast_mul", emit("broadcast_sub", x, mean), emit("broadcast_div", scale, deviation))
    return replace(emit("broadcast_add", y, b), shape=x.shape)


def _register_softmax(name: str, op: str) -> None:
    """Register both versions; `axis` began to name one axis at opset 13."""

    @OPS.op(name, since=1)
    def of_rows(emit: Emitter, x: Value, *, axis: int = 1) -> Value:
        return _softmax_of_rows(emit, x, axis, op)

    @OPS.op(name, since=13)
    def along_axis(emit: Emitter, x: Value, *, axis: int = -1) -> Value:
        return _softmax(emit, x, axis, op)


_register_softmax("Softmax", "softmax")
_register_softmax("LogSoftmax", "log_softmax")


def _softmax_of_rows(emit: Emitter, x: Value, axis: int, op: str) -> Value:
    """`op` over all the axes from `axis` on at once, as before opset 13."""
    shape = emit.require_shape(x)
    axis %= len(shape)
    if axis == len(shape) - 1:
        return _softmax(emit, x, -1, op)
    rows = write_reshape(emit, x, (multiply(shape[:axis]), multiply(shape[axis:])))
    y = _softmax(emit, rows, -1, op)
    return replace(emit("reshape_like", y, x), shape=shape)


def _softmax(emit: Emitter, x: Value, axis: int, op: str) -> Value:
    """exp(x) / sum(exp(x)) along one axis, or its logarithm if `op` is "log_softmax"."""
    if x.dtype != "float16" and op == "softmax":
        return replace(emit(op, x, axis=axis), shape=x.shape)
    # MXNet's softmax sums float16 in float16; its log_softmax loses a digit. Here each step rounds once, as in numpy.
    over = [axis % emit.require_rank(x)]
    shifted = emit("broadcast_sub", x, write_reduction(emit, x, over, "max"))
    powers = replace(emit("exp", shifted), shape=x.shape)
    total = write_reduction(emit, powers, over, "sum")
    if op == "log_softmax":
        return replace(emit("broadcast_sub", shifted, emit("log", total)), shape=x.shape)
    return replace(emit("broadcast_div", powers, total), shape=x.shape)


@OPS.op("LRN", since=1)
def local_response_normalization(
    emit: Emitter, x: Value, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Value:
    """x / (bias + alpha / size * s) ^ beta, where s is the sum of squares over the `size` nearest channels."""
    if emit.require_rank(x) != 4:
        raise emit.refuse(f"its input has rank {x.rank}", "Reshape it to four axes")
    if size % 2 == 0:
        raise emit.refuse(f"its size {size} is even", "Use an odd one")
    return replace(emit("LRN", x, nsize=size, alpha=alpha, beta=beta, knorm=bias), shape=x.shape)


@OPS.op("LpNormalization", since=1)
def norm_normalization(emit: Emitter, x: Value, *, axis: int = -1, p: int = 2) -> Value:
    """x divided by its p-norm along one axis; 0 where the norm is 0."""
    axis %= emit.require_rank(x)
    if p == 1:
        norm = write_reduction(emit, replace(emit("abs", x), shape=x.shape), [axis], "sum")
    else:
        squares = replace(emit("broadcast_mul", x, x), shape=x.shape)
        norm = emit("sqrt", write_reduction(emit, squares, [axis], "sum"))
    # A norm of 0 becomes 1. All x are 0 there, so the quotient is 0.
    divisor = emit("elemwise_add", norm, emit("_equal_scalar", norm, scalar=0.0))
    return replace(emit("broadcast_div", x, divisor), shape=x.shape)


@OPS.op("InstanceNormalization", since=6)
def instance_normalization(emit: Emitter, x: Value, scale: Value, b: Value, *, epsilon: float = 1e-5) -> Value:
    """scale (x - mean) / sqrt(variance + epsilon) + b.

    The mean and the biased variance are those of each item and channel.
    """
    rank = emit.require_rank(x)
    if x.dtype == "float16" or scale.array is None or b.array is None:
        return _instance_norm_in_steps(emit, x, scale, b, epsilon)
    factors, offsets = (array.reshape(_channel_shape(rank)) for array in (scale.array, b.array))
    # A convolution leaves a blocked layout, which every reader but oneDNN turns round anew. Reshape does it once.
    plain = replace(emit.reshape(x, (-2,), suffix="plain"), shape=x.shape)
    return write_norm(emit, plain, ChannelsFirstMeans(emit, plain, rank), factors, offsets, epsilon)


def _instance_norm_in_steps(emit: Emitter, x: Value, scale: Value, b: Value, epsilon: float) -> Value:
    """InstanceNormalization with a scale and a bias that the graph may compute; float16 is computed in float32."""
    dtype = "float32" if x.dtype == "float16" else x.dtype
    rank = emit.require_rank(x)
    wide = emit.cast(x, dtype)
    y = write_norm(emit, wide, ChannelsFirstMeans(emit, wide, rank), np.ones(1, dtype), np.zeros(1, dtype), epsilon)
    y = emit("broadcast_mul", y, emit.reshape(emit.cast(scale, dtype), _channel_shape(rank)))
    y = emit("broadcast_add", y, emit.reshape(emit.cast(b, dtype), _channel_shape(rank)))
    return emit.cast(replace(y, shape=x.shape), x.dtype)


def _channel_shape(rank: int) -> tuple[int, ...]:
    """The shape in which one number per channel broadcasts with (N, C, D...): (1, C, 1...), with -1 for C."""
    return (1, -1, *[1] * (rank - 2))


class Means(Protocol):
    """Computes means over all axes but batch and channels, one axis after another.

    Each step is a 1x1 Convolution with equal weights, the axis in the place of the channels (`constant_products` tells
    why). It takes a twentieth of the time of MXNet's `mean`, but sums in plain order: its error is about 1e-6 of the
    largest number.
    """

    def mean(self, x: Value, suffix: str) -> Value:
        """The means of x, with size 1 on the averaged axes.

        Args:
            x: Of the shape that the weights were made for.
            suffix: Part of the new nodes' names.
        """
        ...


def write_norm(emit: Emitter, x: Value, means: Means, factors: Array, offsets: Array, epsilon: float) -> Value:
    """factors (x - mean) / sqrt(variance + epsilon) + offsets.

    Args:
        factors: Broadcasts with x. The product is left out if all are 1.
        offsets: Broadcasts with x. The sum is left out if all are 0.
    """
    # The mean of the remainder is the error of the first mean. The remainder is small, and so is its own mean's error.
    remainder = emit("broadcast_sub", x, means.mean(x, "mean"), suffix="remainder")
    centred = emit("broadcast_sub", remainder, means.mean(remainder, "correction"), suffix="centred")
    variance = means.mean(emit("square", centred, suffix="squared"), "variance")
    shifted = emit("_plus_scalar", variance, suffix="shifted", scalar=epsilon)
    operations = [("broadcast_mul", emit("rsqrt", shifted, suffix="rsqrt"), "normalized")]
    if np.any(factors != 1):
        operations.append(("broadcast_mul", emit.constant("scale", factors), "scaled"))
    if np.any(offsets != 0):
        operations.append(("broadcast_add", emit.constant("bias", offsets), "biased"))
    *earlier, (last, operand, _) = operations  # the last node gets the output's name, so no suffix
    y = centred
    for op, value, suffix in earlier:
        y = emit(op, y, value, suffix=suffix)
    return emit(last, y, operand)


class ChannelsFirstMeans:
    """Means of tensors (N, C, D1, D2, ...) of the shape of x: over D1, then over D2, and so on.

    Args:
        x: Gives the lengths of the axes.
    """

    def __init__(self, emit: Emitter, x: Value, rank: int) -> None:
        self._emit = emit
        self._x = x
        self._rank = rank
        self._weights = {axis: _make_weights(emit, x, axis) for axis in range(2, rank)}

    def mean(self, x: Value, suffix: str) -> Value:
        """(N, C, D1, D2, ...) -> (N, C, 1, 1, ...)."""
        emit = self._emit
        rows = emit("Reshape", x, suffix=f"{suffix}_2", shape=(-3, 0, 1, -1))  # (N C, D1, 1, D2 ...)
        rows = _average(emit, rows, self._weights[2], f"{suffix}_2")  # (N C, 1, 1, D2 ...)
        for axis in range(3, self._rank):
            rest: dict[str, Any] = {"lhs_begin": 3, "lhs_end": 4, "rhs_begin": axis, "rhs_end": self._rank}
            rows = emit("reshape_like", rows, self._x, suffix=f"{suffix}_{axis}", **rest)  # (N C, 1, 1, length, ...)
            rows = emit("Reshape", rows, suffix=f"{suffix}_{axis}", shape=(-3, -3, 1, -1))  # (N C, length, 1, ...)
            rows = _average(emit, rows, self._weights[axis], f"{suffix}_{axis}")
        means = emit("reshape_like", rows, self._x, suffix=suffix, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)
        return emit("Reshape", means, suffix=suffix, shape=(0, 0, *[1] * (self._rank - 2)))


class ChannelsLastMeans:
    """Means of tensors (N, H, W, C) of the shape of x: over W, then over H.

    Args:
        x: Gives the lengths of the axes.
    """

    def __init__(self, emit: Emitter, x: Value) -> None:
        self._emit = emit
        self._over_w, self._over_h = (_make_weights(emit, x, axis) for axis in (2, 1))

    def mean(self, x: Value, suffix: str) -> Value:
        """(N, H, W, C) -> (N, 1, 1, C)."""
        emit = self._emit
        rows = emit("Reshape", x, suffix=f"{suffix}_w", shape=(-3, 0, 1, -1))  # (N H, W, 1, C)
        rows = _average(emit, rows, self._over_w, f"{suffix}_w")  # (N H, 1, 1, C)
        rows = emit("reshape_like", rows, x, suffix=f"{suffix}_h", lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)
        rows = emit("Reshape", rows, suffix=f"{suffix}_h", shape=(0, 0, 1, -1))  # (N, H, 1, C)
        return _average(emit, rows, self._over_h, suffix)


def _make_weights(emit: Emitter, x: Value, axis: int) -> Value:
    """(1, length, 1, 1), each 1 / length of one axis of x."""
    # Not by `slice`: on the blocked layout that a convolution leaves, it crashes the next convolution.
    suffix = f"axis_{axis}"
    ones = emit("ones_like", emit("_contrib_arange_like", x, suffix=suffix, axis=axis), suffix=suffix)
    total = emit("sum", ones, suffix=suffix)
    return emit("broadcast_div", emit("Reshape", ones, suffix=suffix, shape=(1, -1, 1, 1)), total, suffix=suffix)


def _average(emit: Emitter, x: Value, weights: Value, suffix: str) -> Value:
    """(B, length, 1, R) -> (B, 1, 1, R)."""
    return emit("Convolution", x, weights, suffix=suffix, num_filter=1, kernel=(1, 1), no_bias=True)
