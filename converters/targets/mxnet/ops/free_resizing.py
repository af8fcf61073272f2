"""Resize along an axis whose old or new size is free: the index vector or the matrix is computed when the model runs.

For nearest elements the coordinates are computed in float32, as ONNX Runtime does: its rounding decides which element
is the nearest. A linear filter's are computed in float64, as a constant matrix's are.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from converters.targets.mxnet.ops.free_sizes import write_number, write_vector
from converters.targets.mxnet.ops.matrices import multiply_by
from converters.targets.mxnet.ops.registry import FLOATS, WITH_SIZE, Emitter, Value
from converters.targets.mxnet.ops.sampling import MIDDLE_TOLERANCE, Sampling
from converters.targets.mxnet.sizes import Dim, SymbolicDim

# How the coordinates of outputs may be asked for where a size is free.
COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
# A factor is taken as a fraction of small numbers, which float32 holds exactly: floor(size x factor) is then exact.
MAX_DENOMINATOR = 64


def resize_free_axis(
    emit: Emitter, x: Value, axis: int, factor: float | None, target: Dim | None, sampling: Sampling
) -> Value:
    """x resampled along one axis by its nearest elements or linearly.

    Args:
        factor: Its scale; None to derive it from the sizes.
        target: Its new size; None to derive it from the factor.

    Raises:
        UnsupportedOpError: another filter or other coordinates are asked for; or the new size cannot be told.
    """
    shape = emit.require_shape(x)
    size = shape[axis]
    wanted = f"{factor} times its length" if target is None else f"the size {target}"
    met = f"it resamples axis {axis}, of size {size}, by {sampling.mode} to {wanted}, which is known only when it runs"
    if sampling.mode == "cubic" or sampling.antialias or sampling.exclude_outside:
        raise emit.refuse(met, WITH_SIZE)
    if sampling.coordinates not in COORDINATES:
        raise emit.refuse(f"{met}, by {sampling.coordinates}", WITH_SIZE)
    length = _scale(size, factor) if target is None and factor is not None else target
    # Of other factors of align_corners onnx's tests and ONNX Runtime differ.
    is_told = factor is None or factor == int(factor) or sampling.coordinates != "align_corners"
    if length is None or not is_told:
        raise emit.refuse(met, WITH_SIZE)
    dtype = "float32" if sampling.mode == "nearest" else "float64"
    at = _Coordinates(emit, dtype, size, length, factor).compute(sampling.coordinates)
    if sampling.mode == "nearest":
        places = _round(emit, at, sampling.nearest_mode)
        y = emit("take", x, emit.cast(places, "int32"), axis=axis, mode="clip", dtype=x.dtype)
        return replace(y, shape=(*shape[:axis], length, *shape[axis + 1 :]))
    kind = x.dtype if x.dtype in FLOATS and x.dtype != "float16" else "float32"
    y = multiply_by(emit, emit.cast(x, kind), axis, emit.cast(_weigh(emit, at, size, length), kind))
    return emit.cast(y, x.dtype)


def _scale(size: Dim, factor: float) -> Dim | None:
    """floor(size x factor); None where the factor is no fraction of small numbers."""
    fraction = Fraction(factor)
    if fraction.denominator > MAX_DENOMINATOR:
        return None
    return (size * fraction.numerator) // fraction.denominator


class _Coordinates:
    """The coordinate along the input axis of each output: (length,)."""

    def __init__(self, emit: Emitter, dtype: str, size: Dim, length: Dim, factor: float | None) -> None:
        self._emit = emit
        self._dtype = dtype
        self._length = length
        self._size = size
        self._factor = factor

    def compute(self, coordinates: str) -> Value:
        """By the formulas of ONNX's Resize for coordinate_transformation_mode."""
        emit = self._emit
        out = emit.cast(write_vector(emit, self._length), self._dtype, "out")
        if coordinates == "align_corners":
            return emit("broadcast_mul", out, self._divide(self._less_one(self._size), self._at_least_one()))
        if coordinates == "asymmetric":
            return self._unscale(out)
        middle = emit("_plus_scalar", out, suffix="middle", scalar=0.5)
        at = emit("_minus_scalar", self._unscale(middle), suffix="at", scalar=0.5)
        if coordinates == "pytorch_half_pixel":  # of a single output it is the first element
            longer = emit("_greater_scalar", self._number(self._length), suffix="longer", scalar=1)
            at = emit("broadcast_mul", at, longer, suffix="at")
        return at

    def _unscale(self, out: Value) -> Value:
        if self._factor is not None:
            return self._emit("_div_scalar", out, suffix="unscaled", scalar=self._factor)
        scale = self._divide(self._number(self._length), self._number(self._size))
        return self._emit("broadcast_div", out, scale, suffix="unscaled")

    def _less_one(self, size: Dim) -> Value:
        return self._emit("_minus_scalar", self._number(size), suffix="last", scalar=1)

    def _at_least_one(self) -> Value:
        """The last output, or 1 if there is but one, whose coordinate is 0 whatever it is divided by."""
        return self._emit("_maximum_scalar", self._less_one(self._length), suffix="last", scalar=1)

    def _divide(self, one: Value, other: Value) -> Value:
        return self._emit("broadcast_div", one, other, suffix="ratio")

    def _number(self, size: Dim) -> Value:
        emit = self._emit
        if isinstance(size, SymbolicDim):
            return emit.cast(write_number(emit, size), self._dtype, "number")
        return emit.constant("number", np.array([size], self._dtype))


def _round(emit: Emitter, at: Value, nearest_mode: str) -> Value:
    """The places of the nearest elements, those beyond the ends included; see sampling.nearest_places."""
    if not nearest_mode.startswith("round"):
        return emit("floor" if nearest_mode == "floor" else "ceil", at, suffix="places")
    below = emit("floor", at, suffix="below")
    beyond = emit("elemwise_sub", at, below, suffix="beyond")
    prefers_ceil = nearest_mode == "round_prefer_ceil"
    limit = 0.5 - MIDDLE_TOLERANCE if prefers_ceil else 0.5 + MIDDLE_TOLERANCE
    above = emit("_greater_equal_scalar" if prefers_ceil else "_greater_scalar", beyond, suffix="above", scalar=limit)
    return emit("elemwise_add", below, above, suffix="places")


def _weigh(emit: Emitter, at: Value, size: Dim, length: Dim) -> Value:
    """The turned matrix of a linear filter, (size, length) float64: 1 - |coordinate - place|, at least 0.

    Coordinates beyond the ends are brought to the ends, whose element ONNX takes there.
    """
    inside = emit("_maximum_scalar", at, suffix="inside", scalar=0)
    column = emit.reshape(emit.cast(write_vector(emit, size), "float64", "place"), (-1, 1), suffix="place")
    last = emit("max", column, suffix="last", axis=(0,))
    row = emit.reshape(emit("broadcast_minimum", inside, last, suffix="inside"), (1, -1), suffix="coordinate")
    apart = emit("abs", emit("broadcast_sub", column, row, suffix="apart"), suffix="apart")
    weights = emit("relu", emit("_rminus_scalar", apart, suffix="closeness", scalar=1), suffix="weights")
    return replace(weights, shape=(size, length))
