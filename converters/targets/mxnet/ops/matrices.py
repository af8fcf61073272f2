"""Matrix products and Einsum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from string import ascii_letters

import numpy as np

from converters.targets.mxnet.ops.elementwise import broadcast_shape
from converters.targets.mxnet.ops.free_sizes import write_broadcast, write_reshape
from converters.targets.mxnet.ops.registry import OPS, Emitter, Value
from converters.targets.mxnet.ops.shaping import permute
from converters.targets.mxnet.sizes import Dim, broadcast
from converters.tensors import Array

# Element type in which MXNet multiplies, by the inputs' type. Integers become float64, exact up to 2^53.
PRODUCT_DTYPES = {"float32": "float32", "float64": "float64", "float16": "float32"}


@OPS.op("MatMul", since=1)
def matmul(emit: Emitter, a: Value, b: Value) -> Value:
    """numpy.matmul(a, b), in the element type of a."""
    dtype = PRODUCT_DTYPES.get(a.dtype, "float64")
    return emit.cast(multiply_matrices(emit, emit.cast(a, dtype), emit.cast(b, dtype)), a.dtype)


@OPS.op("Gemm", since=7)
def gemm(
    emit: Emitter,
    a: Value,
    b: Value,
    c: Value | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Value:
    """alpha A B + beta C.

    Args:
        a: (M, K), or (K, M) with `transA`.
        b: (K, N), or (N, K) with `transB`.
        c: Broadcast to (M, N).
    """
    dtype = PRODUCT_DTYPES.get(a.dtype, "float64")
    wide_a, wide_b = emit.cast(a, dtype), emit.cast(b, dtype)
    y = emit("dot", wide_a, wide_b, transpose_a=bool(transA), transpose_b=bool(transB))
    if alpha != 1:
        y = emit("_mul_scalar", y, scalar=alpha)
    if c is not None and beta != 0:
        offset = emit.cast(c, dtype)
        if beta != 1 and offset.array is not None:
            offset = emit.constant("offset", (offset.array * beta).astype(dtype))
        elif beta != 1:
            offset = emit("_mul_scalar", offset, scalar=beta)
        y = emit("broadcast_add", y, offset)
    shape = None
    if a.shape is not None and b.shape is not None:
        shape = (a.shape[1 if transA else 0], b.shape[0 if transB else 1])
    return emit.cast(replace(y, shape=shape), a.dtype)


@OPS.op("Einsum", since=12)
def einsum(emit: Emitter, *inputs: Value, equation: str) -> Value:
    """Einstein summation; one tensor's term may not repeat a letter."""
    if any(value.shape == () for value in inputs):
        raise emit.refuse("one of its inputs is a number", "Multiply by it")
    terms, result = _parse_equation(emit, equation.replace(" ", ""), [emit.require_rank(value) for value in inputs])
    sizes: dict[str, Dim] = {}
    for term, value in zip(terms, inputs, strict=True):
        for letter, size in zip(term, emit.require_shape(value), strict=True):
            known = sizes.get(letter, 1)
            if isinstance(known, int) and isinstance(size, int) and known != size and 1 not in (known, size):
                raise emit.refuse(f"its letter '{letter}' is {known} and {size}", "Check the model")
            sizes[letter] = broadcast(known, size)
    shape = tuple(sizes[letter] for letter in result)
    operands = list(inputs)
    if not result:  # MXNet has no tensors of rank 0: an extra axis of size 1 makes the result (1,)
        extra = next(letter for letter in ascii_letters if letter not in sizes)
        operands[0] = emit("expand_dims", inputs[0], axis=0)
        terms[0], result = extra + terms[0], extra
    subscripts = f"{','.join(terms)}->{result}"
    y = emit("_npi_einsum", *operands, subscripts=subscripts, num_args=len(operands), optimize=0)
    return replace(y, shape=shape)


def _parse_equation(emit: Emitter, equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """One term per operand and the result's term, with one letter per axis.

    Unused letters replace an ellipsis. A result that the equation leaves out is written out, as Einstein summation
    defines it: the axes of the ellipsis, then the letters that occur once, in alphabetical order.
    """
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    unused = [letter for letter in ascii_letters if letter not in equation]
    most = max(rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True))
    ellipsis = "".join(unused[: max(most, 0)])
    if not arrow:
        once = sorted(letter for letter in set(left) - set(".,") if left.count(letter) == 1)
        result = ("..." if "..." in left else "") + "".join(once)
    if "..." in left and "..." not in result:
        raise emit.refuse("its result leaves out the axes of '...'", "Name them")
    for index, rank in enumerate(ranks):
        missing = rank - len(terms[index].replace("...", ""))
        if missing < 0 or (missing > 0 and "..." not in terms[index]):
            raise emit.refuse(f"its term '{terms[index]}' does not fit a tensor of rank {rank}", "Check the model")
        terms[index] = terms[index].replace("...", ellipsis[len(ellipsis) - missing :])
    return terms, result.replace("...", ellipsis)


def multiply_matrices(emit: Emitter, a: Value, b: Value) -> Value:
    """numpy.matmul(a, b); both are float32, or both float64."""
    shape_a, shape_b = emit.require_shape(a), emit.require_shape(b)
    if 1 in (len(shape_a), len(shape_b)):
        return _multiply_vectors(emit, a, b)
    if len(shape_b) == 2:
        return replace(_multiply_by_matrix(emit, a, b), shape=(*shape_a[:-1], shape_b[1]))
    batch = broadcast_shape(Value("", shape_a[:-2]), Value("", shape_b[:-2]))
    assert batch is not None
    operands = []
    for operand, shape in ((a, shape_a), (b, shape_b)):
        if len(shape) - 2 < len(batch):
            longer = (*[1] * (len(batch) + 2 - len(shape)), *shape)
            operand = write_reshape(emit, operand, longer)  # noqa: PLW2901
        operands.append(write_broadcast(emit, operand, (*batch, *shape[-2:])))
    if len(batch) == 1:
        return replace(emit("batch_dot", *operands), shape=(*batch, shape_a[-2], shape_b[-1]))
    flat = [_merge_batch(emit, operand, len(batch)) for operand in operands]
    y = emit("batch_dot", *flat)
    y = emit("reshape_like", y, operands[0], lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=len(batch))
    return replace(y, shape=(*batch, shape_a[-2], shape_b[-1]))


def _multiply_by_matrix(emit: Emitter, a: Value, b: Value) -> Value:
    """numpy.matmul(a, b) for b of rank 2; oneDNN computes it if b is a constant, as it may keep that (`patches`)."""
    if b.array is None or b.dtype != "float32":
        return emit("dot", a, b)
    weight = emit.constant("weight", np.ascontiguousarray(b.array.T))
    return emit("FullyConnected", a, weight, num_hidden=b.array.shape[1], no_bias=True, flatten=False)


def multiply_along(emit: Emitter, x: Value, axis: int, matrix: Array) -> Value:
    """x with each vector v along one axis replaced by `matrix` v.

    Args:
        matrix: (new size of the axis, size of the axis).
    """
    turned = emit.constant("matrix", np.ascontiguousarray(matrix.T.astype(x.dtype)))
    return multiply_by(emit, x, axis, replace(turned, shape=matrix.T.shape))


def multiply_by(emit: Emitter, x: Value, axis: int, turned: Value) -> Value:
    """The same for a matrix that may be computed, given turned: (size of the axis, new size of the axis)."""
    rank = emit.require_rank(x)
    order = [i for i in range(rank) if i != axis] + [axis]
    moved = x if axis == rank - 1 else permute(emit, x, order)
    y = emit("dot", moved, turned)
    assert moved.shape is not None
    y = replace(y, shape=(*moved.shape[:-1], emit.require_shape(turned)[1]))
    return y if axis == rank - 1 else permute(emit, y, [order.index(i) for i in range(rank)])


def _multiply_vectors(emit: Emitter, a: Value, b: Value) -> Value:
    """numpy.matmul(a, b) where a or b has rank 1."""
    shape_a, shape_b = emit.require_shape(a), emit.require_shape(b)
    if len(shape_b) == 1:
        return replace(emit("dot", a, b), shape=shape_a[:-1])
    row = write_reshape(emit, a, (1, shape_a[0]))
    y = multiply_matrices(emit, row, b)
    assert y.shape is not None
    return write_reshape(emit, y, (*y.shape[:-2], y.shape[-1]))


def _merge_batch(emit: Emitter, x: Value, axes: int) -> Value:
    """The first `axes` axes of x merged into one; in MXNet's Reshape, -3 merges two axes and -2 keeps the rest."""
    for _ in range(axes - 1):
        x = emit.reshape(x, (-3, -2), suffix="batch")
    return x
