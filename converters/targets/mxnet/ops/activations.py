"""Activation functions."""

from __future__ import annotations

import numpy as np

from converters.targets.mxnet.ops.elementwise import binary, like
from converters.targets.mxnet.ops.registry import FLOATS, OPS, Emitter, Value


@OPS.op("Relu", since=6)
def relu(emit: Emitter, x: Value) -> Value:
    """max(x, 0)."""
    return like(x, emit("Activation", x, act_type="relu") if x.dtype in FLOATS else emit("relu", x))


@OPS.op("LeakyRelu", since=6)
def leaky_relu(emit: Emitter, x: Value, *, alpha: float = 0.01) -> Value:
    """x where x >= 0, else alpha x."""
    return like(x, emit("LeakyReLU", x, act_type="leaky", slope=alpha))


@OPS.op("Elu", since=6)
def elu(emit: Emitter, x: Value, *, alpha: float = 1.0) -> Value:
    """x where x >= 0, else alpha (exp(x) - 1)."""
    return like(x, emit("LeakyReLU", x, act_type="elu", slope=alpha))


@OPS.op("Selu", since=6)
def selu(
    emit: Emitter, x: Value, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875
) -> Value:
    """gamma Elu(x), with Elu's alpha."""
    return like(x, emit("_mul_scalar", elu(emit, x, alpha=alpha), scalar=gamma))


@OPS.op("PRelu", since=9)
def prelu(emit: Emitter, x: Value, slope: Value) -> Value:
    """x where x >= 0, else slope x; slope broadcasts to x."""
    below = binary(emit, emit("_minimum_scalar", x, scalar=0.0), slope, "broadcast_mul")
    return like(x, emit("elemwise_add", emit("_maximum_scalar", x, scalar=0.0), below))


@OPS.op("HardSigmoid", since=6)
def hard_sigmoid(emit: Emitter, x: Value, *, alpha: float = 0.2, beta: float = 0.5) -> Value:
    """alpha x + beta, clipped to 0 and 1."""
    line = emit("_plus_scalar", emit("_mul_scalar", x, scalar=alpha), scalar=beta)
    return like(x, emit("clip", line, a_min=0.0, a_max=1.0))


@OPS.op("Softplus", since=1)
def softplus(emit: Emitter, x: Value) -> Value:
    """log(1 + exp(x))."""
    # MXNet's softrelu computes log(1 + exp(x)) as written: for very negative x the sum is 1 and the result 0.
    small = emit("log1p", emit("exp", emit("negative", emit("abs", x))))
    return like(x, emit("elemwise_add", emit("_maximum_scalar", x, scalar=0.0), small))


@OPS.op("Softsign", since=1)
def softsign(emit: Emitter, x: Value) -> Value:
    """x / (1 + |x|)."""
    return like(x, emit("softsign", x))


@OPS.op("Clip", since=6)
def clip_by_attributes(
    emit: Emitter,
    x: Value,
    *,
    min: float = float(np.finfo(np.float32).min),
    max: float = float(np.finfo(np.float32).max),
) -> Value:
    """x, clipped to min and max."""
    return like(x, emit("clip", x, a_min=min, a_max=max))


@OPS.op("Clip", since=11)
def clip(emit: Emitter, x: Value, min: Value | None = None, max: Value | None = None) -> Value:
    """x, first raised to min, then lowered to max: the result is max where min > max."""
    y = x
    if min is not None:
        y = binary(emit, y, min, "broadcast_maximum", "_maximum_scalar")
    if max is not None:
        y = binary(emit, y, max, "broadcast_minimum", "_minimum_scalar")
    return like(x, y)
