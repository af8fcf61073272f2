"""Follows integer tensors that are computed from shapes, so that a Reshape that reads one knows its target.

Such a size tensor is a numpy object array of ints and `SymbolicDim`s, of any rank; truth values count as ints. For each
ONNX operator that a graph applies to size tensors there is a rule below. A rule's signature is the operator's schema:
positional parameters are the node's inputs, keyword-only ones its attributes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from converters.onnx_graph.shapes import name_dtype
from converters.targets.mxnet.sizes import Dim, SymbolicDim, find_larger, is_equal, is_never_negative
from converters.tensors import Array

Rule = Callable[..., Array | None]
RULES: dict[str, Rule] = {}


def infer_sizes(op: str, inputs: Sequence[Array | None], attributes: Mapping[str, Any]) -> Array | None:
    """The size tensor that a node computes from constants and size tensors; None if there is no rule for it.

    Args:
        inputs: The node's inputs, None for one that is left out.
    """
    operands = [None if array is None else _to_objects(array) for array in inputs]
    if op not in RULES or any(
        operand is None and array is not None for operand, array in zip(operands, inputs, strict=True)
    ):
        return None
    # Axes, starts and ends are attributes at older opsets, inputs at newer ones: a rule takes them by name.
    named = {name: np.array(value, object) if isinstance(value, list) else value for name, value in attributes.items()}
    try:
        bound = inspect.signature(RULES[op]).bind(*operands, **named)
    except TypeError:
        return None  # an input or attribute that the rule does not have
    return RULES[op](*bound.args, **bound.kwargs)


def to_constant(sizes: Array) -> Array | None:
    """The size tensor as a constant, bool if all its elements are, else int64; None if it has a free size."""
    flat = list(sizes.flat)
    if any(isinstance(size, SymbolicDim) for size in flat):
        return None
    kind = np.bool_ if flat and all(isinstance(size, bool) for size in flat) else np.int64
    return np.array(flat, kind).reshape(sizes.shape)


def size_vector(sizes: Sequence[Dim]) -> Array:
    """A size tensor of shape (len(sizes),)."""
    packed = np.empty(len(sizes), object)
    packed[:] = list(sizes)
    return packed


def make_slice(size: int, start: int, end: int, step: int) -> slice:
    """The bounds of ONNX's Slice as a Python slice of an axis with `size` elements.

    They differ for a negative step and a start before the first element: ONNX starts at the first, Python takes none.
    """
    return slice(max(start, -size), None if end < -size else end, step) if step < 0 else slice(start, end, step)


def _rule(*ops: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        for op in ops:
            assert op not in RULES
            RULES[op] = function
        return function

    return register


def _to_objects(array: Array) -> Array | None:
    """The array with Python numbers, which can be added to a `SymbolicDim`; None for floats."""
    return array.astype(object) if array.dtype.kind in "biO" else None


def _as_ints(values: Array) -> list[int]:
    return [int(value) for value in values.flat]


@_rule("Identity")
def _identity(x: Array) -> Array:
    return x


@_rule("Cast")
def _cast(x: Array, *, to: int, saturate: int = 1, round_mode: str = "up") -> Array | None:
    return x if name_dtype(to) in ("int32", "int64") else None


@_rule("Add")
def _add(a: Array, b: Array) -> Array:
    return np.asarray(a + b, object)


@_rule("Sub")
def _sub(a: Array, b: Array) -> Array:
    return np.asarray(a - b, object)


@_rule("Mul")
def _mul(a: Array, b: Array) -> Array:
    return np.asarray(a * b, object)


@_rule("Div")
def _div(a: Array, b: Array) -> Array | None:
    if any(isinstance(divisor, SymbolicDim) or divisor <= 0 for divisor in b.flat):
        return None
    pairs = np.broadcast_arrays(a, b)
    quotients = [_divide(*pair) for pair in zip(pairs[0].flat, pairs[1].flat, strict=True)]
    if any(quotient is None for quotient in quotients):
        return None
    return size_vector([size for size in quotients if size is not None]).reshape(pairs[0].shape)


def _divide(dividend: Dim, divisor: int) -> Dim | None:
    """ONNX's quotient, which is rounded towards zero; None if that depends on the values of the names.

    A whole number that is subtracted from names does not count: it is the size of a window, and no larger than the sum.
    """
    if isinstance(dividend, SymbolicDim) and all(factor > 0 for monomial, factor in dividend.terms if monomial):
        return dividend // divisor
    if is_never_negative(dividend):
        return dividend // divisor
    return -(-dividend // divisor) if is_never_negative(-dividend) else None


@_rule("Mod")
def _mod(a: Array, b: Array, *, fmod: int = 0) -> Array | None:
    if any(isinstance(divisor, SymbolicDim) or divisor <= 0 for divisor in b.flat):
        return None
    if fmod and not all(map(is_never_negative, a.flat)):
        return None  # the remainder has the dividend's sign
    return np.asarray(a - b * np.asarray(a // b, object), object)


@_rule("Neg")
def _neg(x: Array) -> Array:
    return np.asarray(-x, object)


@_rule("Gather")
def _gather(data: Array, indices: Array, *, axis: int = 0) -> Array | None:
    return np.asarray(np.take(data, np.asarray(_as_ints(indices)).reshape(indices.shape), axis=axis), object)


@_rule("Slice")
def _slice(
    data: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None
) -> Array | None:
    at = [slice(None)] * data.ndim
    wanted = range(len(starts)) if axes is None else _as_ints(axes)
    strides = [1] * len(starts) if steps is None else _as_ints(steps)
    if any(isinstance(bound, SymbolicDim) for bound in (*starts.flat, *ends.flat)):
        return None
    for axis, start, end, step in zip(wanted, _as_ints(starts), _as_ints(ends), strides, strict=True):
        at[axis] = make_slice(data.shape[axis], start, end, step)
    return data[tuple(at)]


@_rule("Concat")
def _concat(*parts: Array, axis: int) -> Array:
    return np.concatenate(parts, axis=axis)


@_rule("Unsqueeze")
def _unsqueeze(data: Array, axes: Array) -> Array:
    return np.expand_dims(data, tuple(_as_ints(axes)))


@_rule("Transpose")
def _transpose(data: Array, *, perm: Array | None = None) -> Array:
    return np.transpose(data, None if perm is None else _as_ints(perm))


@_rule("Squeeze")
def _squeeze(data: Array, axes: Array | None = None) -> Array:
    return np.squeeze(data, None if axes is None else tuple(_as_ints(axes)))


@_rule("Reshape")
def _reshape(data: Array, shape: Array, *, allowzero: int = 0) -> Array | None:
    wanted = list(shape.flat)
    return None if any(isinstance(size, SymbolicDim) or size == 0 for size in wanted) else data.reshape(_as_ints(shape))


@_rule("ReduceProd")
def _reduce_prod(data: Array, axes: Array | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Array:
    over = None if axes is None else tuple(_as_ints(axes))
    return np.asarray(np.prod(data, axis=over, keepdims=bool(keepdims)), object)


@_rule("Equal")
def _equal(a: Array, b: Array) -> Array | None:
    left, right = np.broadcast_arrays(a, b)
    answers = [is_equal(*pair) for pair in zip(left.flat, right.flat, strict=True)]
    return None if None in answers else np.array(answers, object).reshape(left.shape)


@_rule("Where")
def _where(condition: Array, x: Array, y: Array) -> Array:
    return np.asarray(np.where(condition.astype(bool), x, y), object)


@_rule("Max")
def _max(*tensors: Array) -> Array | None:
    largest = tensors[0]
    for tensor in tensors[1:]:
        pairs = np.broadcast_arrays(largest, tensor)
        chosen = [find_larger(a, b) for a, b in zip(pairs[0].flat, pairs[1].flat, strict=True)]
        if any(size is None for size in chosen):
            return None
        largest = size_vector([size for size in chosen if size is not None]).reshape(pairs[0].shape)
    return largest
