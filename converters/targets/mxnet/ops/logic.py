"""Comparisons and what is made of them. A bool is 0 or 1 in uint8; MXNet's comparisons answer in the type compared."""

from __future__ import annotations

from dataclasses import replace

from converters.targets.mxnet.ops.elementwise import binary, broadcast_shape, like
from converters.targets.mxnet.ops.registry import OPS, Emitter, Value

# Of a choice that is broadcast.
MOST_AXES = 5


@OPS.op("Equal", since=7)
def equal(emit: Emitter, a: Value, b: Value) -> Value:
    """a == b, broadcast."""
    return _compare(emit, a, b, "equal")


@OPS.op("Greater", since=7)
def greater(emit: Emitter, a: Value, b: Value) -> Value:
    """a > b, broadcast."""
    return _compare(emit, a, b, "greater")


@OPS.op("GreaterOrEqual", since=12)
def greater_or_equal(emit: Emitter, a: Value, b: Value) -> Value:
    """a >= b, broadcast."""
    return _compare(emit, a, b, "greater_equal")


@OPS.op("Less", since=7)
def less(emit: Emitter, a: Value, b: Value) -> Value:
    """a < b, broadcast."""
    return _compare(emit, a, b, "lesser")


@OPS.op("LessOrEqual", since=12)
def less_or_equal(emit: Emitter, a: Value, b: Value) -> Value:
    """a <= b, broadcast."""
    return _compare(emit, a, b, "lesser_equal")


@OPS.op("And", since=7)
def logical_and(emit: Emitter, a: Value, b: Value) -> Value:
    """Both."""
    return binary(emit, a, b, "broadcast_logical_and")


@OPS.op("Or", since=7)
def logical_or(emit: Emitter, a: Value, b: Value) -> Value:
    """Either or both."""
    return binary(emit, a, b, "broadcast_logical_or")


@OPS.op("Xor", since=7)
def logical_xor(emit: Emitter, a: Value, b: Value) -> Value:
    """Either, not both."""
    return binary(emit, a, b, "broadcast_logical_xor")


@OPS.op("Not", since=1)
def logical_not(emit: Emitter, x: Value) -> Value:
    """1 where x is 0."""
    return like(x, emit("logical_not", x))


@OPS.op("IsNaN", since=9)
def is_nan(emit: Emitter, x: Value) -> Value:
    """Only NaN differs from itself."""
    return _truth(emit, like(x, emit("broadcast_not_equal", x, x)))


@OPS.op("Where", since=9)
def where(emit: Emitter, condition: Value, x: Value, y: Value) -> Value:
    """x where the condition holds, else y; all three broadcast."""
    shape = broadcast_shape(condition, x, y)
    same = condition.shape == x.shape == y.shape
    if same and condition.shape is not None:
        return replace(emit("where", condition, x, y, dtype=x.dtype), shape=shape)
    return write_where(emit, condition, x, y)


def write_where(emit: Emitter, condition: Value, x: Value, y: Value) -> Value:
    """x where the condition holds, else y; all three broadcast."""
    rank = max(emit.require_rank(value) for value in (condition, x, y))
    if rank > MOST_AXES:
        raise emit.refuse(f"its result has rank {rank}", f"MXNet chooses in tensors of up to {MOST_AXES} axes")
    return replace(emit("_npi_where", condition, x, y, dtype=x.dtype), shape=broadcast_shape(condition, x, y))


def _compare(emit: Emitter, a: Value, b: Value, op: str) -> Value:
    mirrored = {"greater": "lesser", "lesser": "greater", "greater_equal": "lesser_equal"}
    mirrored |= {"lesser_equal": "greater_equal", "equal": "equal"}
    return _truth(emit, binary(emit, a, b, f"broadcast_{op}", f"_{op}_scalar", f"_{mirrored[op]}_scalar"))


def _truth(emit: Emitter, x: Value) -> Value:
    return emit.cast(x, "bool")
