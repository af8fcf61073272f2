"""Arithmetic and activations, element by element."""

from __future__ import annotations

from converters.mxnet_ops.registry import OPS, Emitter, Value


@OPS.op("Add", since=7)
def add(emit: Emitter, a: Value, b: Value) -> Value:
    """Add(a, b), broadcast."""
    return _binary(emit, a, b, "broadcast_add", "_plus_scalar", "_plus_scalar")


@OPS.op("Sub", since=7)
def sub(emit: Emitter, a: Value, b: Value) -> Value:
    """Sub(a, b), broadcast."""
    return _binary(emit, a, b, "broadcast_sub", "_minus_scalar", "_rminus_scalar")


@OPS.op("Mul", since=7)
def mul(emit: Emitter, a: Value, b: Value) -> Value:
    """Mul(a, b), broadcast."""
    return _binary(emit, a, b, "broadcast_mul", "_mul_scalar", "_mul_scalar")


@OPS.op("Div", since=7)
def div(emit: Emitter, a: Value, b: Value) -> Value:
    """Div(a, b), broadcast."""
    return _binary(emit, a, b, "broadcast_div", "_div_scalar", "_rdiv_scalar")


@OPS.op("Relu", since=6)
def relu(emit: Emitter, x: Value) -> Value:
    """max(x, 0)."""
    return emit("Activation", x, act_type="relu")


@OPS.op("Sigmoid", since=6)
def sigmoid(emit: Emitter, x: Value) -> Value:
    """1 / (1 + exp(-x))."""
    return emit("sigmoid", x)


@OPS.op("Tanh", since=6)
def tanh(emit: Emitter, x: Value) -> Value:
    """tanh(x)."""
    return emit("tanh", x)


def _binary(emit: Emitter, a: Value, b: Value, op: str, scalar_op: str, reversed_op: str) -> Value:
    """`op` on two tensors, `scalar_op` where b is one constant number, `reversed_op` where a is."""
    scalar = _scalar(b)
    if scalar is not None:
        return emit(scalar_op, a, scalar=scalar)
    scalar = _scalar(a)
    if scalar is not None:
        return emit(reversed_op, b, scalar=scalar)
    return emit(op, a, b)


def _scalar(value: Value) -> float | None:
    """The number that a constant of rank 0 or 1 holds, if it is one."""
    if value.array is None or value.array.size != 1 or value.array.ndim > 1:
        return None
    return float(value.array.reshape(()))
