"""Elementwise arithmetic with ONNX's broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converters.targets.mxnet.ops.registry import FLOATS, OPS, Emitter, Value
from converters.targets.mxnet.sizes import Dim, broadcast

# Operators with one input that MXNet has too, for every element type that ONNX allows.
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
# Operators with two inputs: MXNet's operator, and its forms for a number in place of b and of a. Div of integers
# truncates towards zero.
BINARY_OPS = {
    "Add": ("broadcast_add", "_plus_scalar", "_plus_scalar"),
    "Sub": ("broadcast_sub", "_minus_scalar", "_rminus_scalar"),
    "Mul": ("broadcast_mul", "_mul_scalar", "_mul_scalar"),
    "Div": ("broadcast_div", "_div_scalar", "_rdiv_scalar"),
}
# Operators with any number of inputs.
VARIADIC_OPS = {"Max": "broadcast_maximum", "Min": "broadcast_minimum", "Sum": "broadcast_add"}
# Older opsets have other attributes, or another rule for broadcasting.
UNARY_SINCE, BINARY_SINCE, VARIADIC_SINCE = 6, 7, 8


def _register_unary(name: str, mxnet_op: str) -> None:
    @OPS.op(name, since=UNARY_SINCE)
    def convert(emit: Emitter, x: Value) -> Value:
        return like(x, emit(mxnet_op, x))


def _register_binary(name: str, mxnet_ops: tuple[str, str, str]) -> None:
    @OPS.op(name, since=BINARY_SINCE)
    def convert(emit: Emitter, a: Value, b: Value) -> Value:
        return binary(emit, a, b, *mxnet_ops)


def _register_variadic(name: str, mxnet_op: str) -> None:
    @OPS.op(name, since=VARIADIC_SINCE)
    def convert(emit: Emitter, *tensors: Value) -> Value:
        return _combine(emit, tensors, mxnet_op)


for _name, _mxnet_op in UNARY_OPS.items():
    _register_unary(_name, _mxnet_op)
for _name, _mxnet_ops in BINARY_OPS.items():
    _register_binary(_name, _mxnet_ops)
for _name, _mxnet_op in VARIADIC_OPS.items():
    _register_variadic(_name, _mxnet_op)


@OPS.op("Pow", since=7)
def power(emit: Emitter, x: Value, y: Value) -> Value:
    """x to the power of y, with the element type of x."""
    if x.dtype in FLOATS and y.dtype in FLOATS:
        return binary(emit, x, emit.cast(y, x.dtype), "broadcast_power", "_power_scalar", "_rpower_scalar")
    # float64 holds integers up to 2^53 exactly.
    wide = binary(emit, emit.cast(x, "float64"), emit.cast(y, "float64"), "broadcast_power")
    return emit.cast(wide, x.dtype)


@OPS.op("Mod", since=10)
def mod(emit: Emitter, a: Value, b: Value, *, fmod: int = 0) -> Value:
    """The remainder of a / b; it has the sign of the divisor b, or of the dividend a if `fmod` is set."""
    if fmod:
        magnitude = binary(emit, emit("abs", a), emit("abs", b), "broadcast_mod")
        rest = emit("broadcast_mul", magnitude, emit("sign", a))
    else:
        rest = emit("broadcast_mod", a, b)
    if a.dtype in FLOATS and (b.array is None or not b.array.all()):
        # MXNet's remainder of a division by 0 is 0, ONNX's is NaN: adding 0 / b makes it NaN.
        rest = emit("broadcast_add", rest, emit("broadcast_div", emit("zeros_like", b), b))
    return replace(rest, shape=broadcast_shape(a, b))


@OPS.op("Mean", since=VARIADIC_SINCE)
def average(emit: Emitter, *tensors: Value) -> Value:
    """The elementwise mean of the inputs, broadcast."""
    x = _combine(emit, tensors, "broadcast_add")
    return like(x, emit("_div_scalar", x, scalar=float(len(tensors))))


@OPS.op("Round", since=11)
def round_half_to_even(emit: Emitter, x: Value) -> Value:
    """x rounded to the nearest integer, halves to the even one."""
    down = emit("floor", x)
    rest = emit("elemwise_sub", x, down)
    odd = emit("_mod_scalar", down, scalar=2.0)
    half_up = emit("elemwise_add", down, odd)
    up = emit("elemwise_add", down, emit("_greater_scalar", rest, scalar=0.5))
    return like(x, emit("where", emit("_equal_scalar", rest, scalar=0.5), half_up, up))


def like(x: Value, y: Value) -> Value:
    """y, with its shape set to that of x."""
    return replace(y, shape=x.shape)


def binary(
    emit: Emitter, a: Value, b: Value, op: str, scalar_op: str | None = None, reversed_op: str | None = None
) -> Value:
    """An operator with two inputs, broadcast.

    Args:
        op: MXNet's operator for two tensors.
        scalar_op: Its form for a number in place of b, used if b is a constant scalar.
        reversed_op: Its form for a number in place of a, used if a is a constant scalar.
    """
    shape = broadcast_shape(a, b)
    scalar = read_scalar(b)
    if scalar is not None and scalar_op is not None:
        return replace(emit(scalar_op, a, scalar=scalar), shape=shape)
    scalar = read_scalar(a)
    if scalar is not None and reversed_op is not None:
        return replace(emit(reversed_op, b, scalar=scalar), shape=shape)
    return replace(emit(op, a, b), shape=shape)


def broadcast_shape(*tensors: Value) -> tuple[Dim, ...] | None:
    """The shape to which ONNX broadcasts the tensors; None if the rank of one is unknown."""
    result: tuple[Dim, ...] = ()
    for tensor in tensors:
        if tensor.shape is None:
            return None
        rank = max(len(result), len(tensor.shape))
        pairs = zip(_extend(result, rank), _extend(tensor.shape, rank), strict=True)
        result = tuple(broadcast(a, b) for a, b in pairs)
    return result


def _extend(shape: Sequence[Dim], rank: int) -> tuple[Dim, ...]:
    """The shape with leading ones up to `rank`."""
    return (*[1] * (rank - len(shape)), *shape)


def read_scalar(value: Value) -> float | None:
    """The number in a constant of one element and rank 0 or 1, for MXNet's scalar operators.

    None for other values, and for infinity, NaN and integers of 2^53 and more: MXNet reads a scalar as a float64.
    """
    if value.array is None or value.array.size != 1 or value.array.ndim > 1 or value.array.dtype.kind not in "fiu":
        return None
    number = float(value.array.reshape(()))
    exact = np.isfinite(number) and (value.array.dtype.kind == "f" or abs(number) < 2**53)
    return number if exact else None


def _combine(emit: Emitter, tensors: Sequence[Value], op: str) -> Value:
    """op(op(tensors[0], tensors[1]), tensors[2]) and so on."""
    result = tensors[0]
    for tensor in tensors[1:]:
        result = binary(emit, result, tensor, op)
    return result
