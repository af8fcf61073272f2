"""Arithmetic, element by element, broadcast as ONNX does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converters.targets.mxnet.ops.registry import FLOATS, OPS, Emitter, Value
from converters.targets.mxnet.sizes import Dim, broadcast

# Operators of one tensor that MXNet has too, and computes in any type that ONNX allows.
UNARY_OPS = {
    "Abs": "abs",
    "Acos": "arccos",
    "Acosh": "arccosh",
    "Asin": "arcsin",
    "Asinh": "arcsinh",
    "Atan": "arctan",
    "Atanh": "arctanh",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "Log": "log",
    "Neg": "negative",
    "Reciprocal": "reciprocal",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Sqrt": "sqrt",
    "Tan": "tan",
    "Tanh": "tanh",
}
# Before it, attributes and broadcasting were others.
SINCE = 6


def _register(name: str, mxnet_op: str) -> None:
    @OPS.op(name, since=SINCE)
    def convert(emit: Emitter, x: Value) -> Value:
        return like(x, emit(mxnet_op, x))


for _name, _mxnet_op in UNARY_OPS.items():
    _register(_name, _mxnet_op)


@OPS.op("Add", since=7)
def add(emit: Emitter, a: Value, b: Value) -> Value:
    """Add(a, b), broadcast."""
    return binary(emit, a, b, "broadcast_add", "_plus_scalar", "_plus_scalar")


@OPS.op("Sub", since=7)
def sub(emit: Emitter, a: Value, b: Value) -> Value:
    """Sub(a, b), broadcast."""
    return binary(emit, a, b, "broadcast_sub", "_minus_scalar", "_rminus_scalar")


@OPS.op("Mul", since=7)
def mul(emit: Emitter, a: Value, b: Value) -> Value:
    """Mul(a, b), broadcast."""
    return binary(emit, a, b, "broadcast_mul", "_mul_scalar", "_mul_scalar")


@OPS.op("Div", since=7)
def div(emit: Emitter, a: Value, b: Value) -> Value:
    """Div(a, b), broadcast; of integers the whole part."""
    return binary(emit, a, b, "broadcast_div", "_div_scalar", "_rdiv_scalar")


@OPS.op("Pow", since=7)
def power(emit: Emitter, x: Value, y: Value) -> Value:
    """x to the power of y, in x's type."""
    if x.dtype in FLOATS and y.dtype in FLOATS:
        return binary(emit, x, emit.cast(y, x.dtype), "broadcast_power", "_power_scalar", "_rpower_scalar")
    # Integers up to 2^53 come back whole.
    wide = binary(emit, emit.cast(x, "float64"), emit.cast(y, "float64"), "broadcast_power")
    return emit.cast(wide, x.dtype)


@OPS.op("Mod", since=10)
def mod(emit: Emitter, a: Value, b: Value, *, fmod: int = 0) -> Value:
    """The remainder: with the divisor's sign, or with the dividend's for fmod."""
    if fmod:
        size = binary(emit, emit("abs", a), emit("abs", b), "broadcast_mod")
        rest = emit("broadcast_mul", size, emit("sign", a))
    else:
        rest = emit("broadcast_mod", a, b)
    if a.dtype in FLOATS and (b.array is None or not b.array.all()):
        # MXNet gives 0 for the remainder of a division by 0, which is not a number.
        rest = emit("broadcast_add", rest, emit("broadcast_div", emit("zeros_like", b), b))
    return replace(rest, shape=broadcast_shape(a, b))


@OPS.op("Max", since=8)
def maximum(emit: Emitter, *tensors: Value) -> Value:
    """The largest at each place, broadcast."""
    return _fold(emit, tensors, "broadcast_maximum")


@OPS.op("Min", since=8)
def minimum(emit: Emitter, *tensors: Value) -> Value:
    """The smallest at each place, broadcast."""
    return _fold(emit, tensors, "broadcast_minimum")


@OPS.op("Sum", since=8)
def total(emit: Emitter, *tensors: Value) -> Value:
    """The sum at each place, broadcast."""
    return _fold(emit, tensors, "broadcast_add")


@OPS.op("Mean", since=8)
def average(emit: Emitter, *tensors: Value) -> Value:
    """The mean at each place, broadcast."""
    x = _fold(emit, tensors, "broadcast_add")
    return like(x, emit("_div_scalar", x, scalar=float(len(tensors))))


@OPS.op("Round", since=11)
def round_half_to_even(emit: Emitter, x: Value) -> Value:
    """To the nearest whole number, halves to the even one."""
    down = emit("floor", x)
    rest = emit("elemwise_sub", x, down)
    odd = emit("_mod_scalar", down, scalar=2.0)
    half_up = emit("elemwise_add", down, odd)
    up = emit("elemwise_add", down, emit("_greater_scalar", rest, scalar=0.5))
    return like(x, emit("where", emit("_equal_scalar", rest, scalar=0.5), half_up, up))


def like(x: Value, y: Value) -> Value:
    """y, which is of x's shape."""
    return replace(y, shape=x.shape)


def binary(
    emit: Emitter, a: Value, b: Value, op: str, scalar_op: str | None = None, reversed_op: str | None = None
) -> Value:
    """`op` on two tensors, `scalar_op` where b is one constant number, `reversed_op` where a is."""
    shape = broadcast_shape(a, b)
    scalar = read_scalar(b)
    if scalar is not None and scalar_op is not None:
        return replace(emit(scalar_op, a, scalar=scalar), shape=shape)
    scalar = read_scalar(a)
    if scalar is not None and reversed_op is not None:
        return replace(emit(reversed_op, b, scalar=scalar), shape=shape)
    return replace(emit(op, a, b), shape=shape)


def broadcast_shape(*tensors: Value) -> tuple[Dim, ...] | None:
    """The shape of what ONNX's broadcasting makes of tensors, if it is known."""
    result: tuple[Dim, ...] = ()
    for tensor in tensors:
        if tensor.shape is None:
            return None
        rank = max(len(result), len(tensor.shape))
        pairs = zip(_pad(result, rank), _pad(tensor.shape, rank), strict=True)
        result = tuple(broadcast(a, b) for a, b in pairs)
    return result


def _pad(shape: Sequence[Dim], rank: int) -> tuple[Dim, ...]:
    return (*[1] * (rank - len(shape)), *shape)


def read_scalar(value: Value) -> float | None:
    """The number that a constant of rank 0 or 1 holds, if it is one that a float64 holds and MXNet can read."""
    if value.array is None or value.array.size != 1 or value.array.ndim > 1 or value.array.dtype.kind not in "fiu":
        return None
    number = float(value.array.reshape(()))
    exact = np.isfinite(number) and (value.array.dtype.kind == "f" or abs(number) < 2**53)
    return number if exact else None


def _fold(emit: Emitter, tensors: Sequence[Value], op: str) -> Value:
    result = tensors[0]
    for tensor in tensors[1:]:
        result = binary(emit, result, tensor, op)
    return result
