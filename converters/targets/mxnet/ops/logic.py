"""Comparisons, logical operators and element-wise choice.

A bool tensor of ONNX is a uint8 tensor of 0 and 1 in MXNet. MXNet's comparisons return the element type of their
inputs, so each result is cast.
"""

from __future__ import annotations

from dataclasses import replace

from converters.targets.mxnet.ops.elementwise import binary, broadcast_shape, like
from converters.targets.mxnet.ops.registry import OPS, Emitter, Value

# By ONNX operator: its first opset, MXNet's name of the comparison, and MXNet's name of it with the inputs swapped.
COMPARISONS = {
    "Equal": (7, "equal", "equal"),
    "Greater": (7, "greater", "lesser"),
    "GreaterOrEqual": (12, "greater_equal", "lesser_equal"),
    "Less": (7, "lesser", "greater"),
    "LessOrEqual": (12, "lesser_equal", "greater_equal"),
}
# Operators on two bool tensors.
LOGICAL_OPS = {"And": "broadcast_logical_and", "Or": "broadcast_logical_or", "Xor": "broadcast_logical_xor"}
# MXNet's broadcasting choice takes tensors of at most this rank.
MAX_WHERE_RANK = 5


def _register_comparison(name: str, since: int, op: str, swapped: str) -> None:
    @OPS.op(name, since=since)
    def compare(emit: Emitter, a: Value, b: Value) -> Value:
        return emit.cast(binary(emit, a, b, f"broadcast_{op}", f"_{op}_scalar", f"_{swapped}_scalar"), "bool")


def _register_logical(name: str, op: str) -> None:
    @OPS.op(name, since=7)
    def combine(emit: Emitter, a: Value, b: Value) -> Value:
        return binary(emit, a, b, op)


for _name, (_since, _op, _swapped) in COMPARISONS.items():
    _register_comparison(_name, _since, _op, _swapped)
for _name, _op in LOGICAL_OPS.items():
    _register_logical(_name, _op)


@OPS.op("Not", since=1)
def logical_not(emit: Emitter, x: Value) -> Value:
    """1 where x is 0, and 0 where x is 1."""
    return like(x, emit("logical_not", x))


@OPS.op("IsNaN", since=9)
def is_nan(emit: Emitter, x: Value) -> Value:
    """1 where x is NaN, the only number that differs from itself."""
    return emit.cast(like(x, emit("broadcast_not_equal", x, x)), "bool")


@OPS.op("Where", since=9)
def where(emit: Emitter, condition: Value, x: Value, y: Value) -> Value:
    """x where the condition is 1, y elsewhere; all three are broadcast."""
    if condition.shape is not None and condition.shape == x.shape == y.shape:
        return like(x, emit("where", condition, x, y, dtype=x.dtype))
    return write_where(emit, condition, x, y)


def write_where(emit: Emitter, condition: Value, x: Value, y: Value) -> Value:
    """`Where` by MXNet's operator that broadcasts its inputs.

    Raises:
        UnsupportedOpError: the result has more than MAX_WHERE_RANK axes.
    """
    rank = max(emit.require_rank(value) for value in (condition, x, y))
    if rank > MAX_WHERE_RANK:
        raise emit.refuse(f"its result has rank {rank}", f"MXNet chooses in tensors of up to {MAX_WHERE_RANK} axes")
    return replace(emit("_npi_where", condition, x, y, dtype=x.dtype), shape=broadcast_shape(condition, x, y))
