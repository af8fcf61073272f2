"""Resize and Upsample. Doubling and the like at any size; every other one by a constant matrix for each axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converters.targets.mxnet.ops.matrices import multiply_along
from converters.targets.mxnet.ops.registry import FLOATS, OPS, WITH_SIZE, Emitter, Value
from converters.targets.mxnet.ops.sampling import WHOLE, Sampling, make_matrix, nearest_places
from converters.targets.mxnet.sizes import Dim, SymbolicDim

MODES = ("nearest", "linear", "cubic")
COORDINATES = (
    *("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel"),
    *("align_corners", "asymmetric", "tf_crop_and_resize", "tf_half_pixel_for_nn"),
)
NEAREST_MODES = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@OPS.op("Upsample", since=9)
def upsample(emit: Emitter, x: Value, scales: Value, *, mode: str = "nearest") -> Value:
    """x, each axis as many times as long."""
    factors = [float(scale) for scale in emit.require_array(scales, "scales").flat]
    return _resize(emit, x, factors, None, Sampling(mode, "asymmetric", "floor"))


@OPS.op("Resize", since=10)
def resize_asymmetric(emit: Emitter, x: Value, scales: Value, *, mode: str = "nearest") -> Value:
    """x, each axis as many times as long."""
    factors = [float(scale) for scale in emit.require_array(scales, "scales").flat]
    if mode == "nearest" and min(factors) < 1:
        raise emit.refuse("opset 10 does not say how it rounds where it shrinks", "Convert it to opset 11 or later")
    return _resize(emit, x, factors, None, Sampling(mode, "asymmetric", "floor"))


@OPS.op("Resize", since=11)
def resize(
    emit: Emitter,
    x: Value,
    roi: Value | None = None,
    scales: Value | None = None,
    sizes: Value | None = None,
    *,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
) -> Value:
    """x, resampled along each axis by a factor, or to a size."""
    sampling = Sampling(
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        bool(exclude_outside),
        extrapolation_value,
    )
    return _resize_axes(emit, x, roi, scales, sizes, None, sampling)


@OPS.op("Resize", since=18)
def resize_some_axes(
    emit: Emitter,
    x: Value,
    roi: Value | None = None,
    scales: Value | None = None,
    sizes: Value | None = None,
    *,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    keep_aspect_ratio_policy: str = "stretch",
) -> Value:
    """The same, along `axes` only, to sizes of one aspect ratio, or with wider filters for smaller results."""
    sampling = Sampling(
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        bool(exclude_outside),
        extrapolation_value,
        bool(antialias),
        keep_aspect_ratio_policy,
    )
    return _resize_axes(emit, x, roi, scales, sizes, axes, sampling)


def _resize_axes(
    emit: Emitter,
    x: Value,
    roi: Value | None,
    scales: Value | None,
    sizes: Value | None,
    axes: Sequence[int] | None,
    sampling: Sampling,
) -> Value:
    shape = emit.require_shape(x)
    rank = len(shape)
    over = list(range(rank)) if axes is None else [axis % rank for axis in axes]
    if sampling.crops:
        if roi is None:
            raise emit.refuse("its roi is left out", "Check the model")
        corners = [float(corner) for corner in emit.require_array(roi, "roi").flat]
        starts, ends = corners[: len(over)], corners[len(over) :]
        crop = {axis: (starts[i], ends[i]) for i, axis in enumerate(over)}
        sampling = replace(sampling, crop=crop)
    if scales is not None and (scales.array is None or scales.array.size):
        factors = [1.0] * rank
        for axis, scale in zip(over, emit.require_array(scales, "scales").flat, strict=True):
            factors[axis] = float(scale)
        return _resize(emit, x, factors, None, sampling)
    if sizes is None:
        raise emit.refuse("it has neither scales nor sizes", "Check the model")
    wanted: list[Dim] = list(shape)
    for axis, size in zip(over, emit.require_sizes(sizes, "sizes"), strict=True):
        wanted[axis] = size
    if sampling.policy != "stretch":
        fixed = emit.require_fixed_shape(x)
        limits = [emit.require_fixed(wanted[axis]) for axis in over]
        ratios = [limit / fixed[axis] for axis, limit in zip(over, limits, strict=True)]
        ratio = min(ratios) if sampling.policy == "not_larger" else max(ratios)
        factors = [ratio if axis in over else 1.0 for axis in range(rank)]
        rounded = [int(np.floor(fixed[axis] * ratio + 0.5)) if axis in over else fixed[axis] for axis in range(rank)]
        return _resize(emit, x, factors, rounded, sampling)
    return _resize(emit, x, None, wanted, sampling)


def _scaled(size: float, factor: float) -> int:
    """In float32, in which the factor is given: 0.7 times 10 is 7."""
    return int(np.floor(np.float32(size) * np.float32(factor)))


def _resize(
    emit: Emitter, x: Value, factors: Sequence[float] | None, sizes: Sequence[Dim] | None, sampling: Sampling
) -> Value:
    """By factors, to sizes, or to sizes that follow from factors in a way of their own (`keep_aspect_ratio_policy`)."""
    for what, given, known in (
        ("mode", sampling.mode, MODES),
        ("coordinate transformation", sampling.coordinates, COORDINATES),
        ("nearest mode", sampling.nearest_mode, NEAREST_MODES),
    ):
        if given not in known:
            raise emit.refuse(f"its {what} is '{given}'", f"Use one of {', '.join(known)}")
    shape = emit.require_shape(x)
    if sampling.crops and factors is not None and sizes is None:
        raise emit.refuse("ONNX and ONNX Runtime differ in what a factor times a crop is", "Export it with sizes")
    y = x
    for axis, size in enumerate(shape):
        factor = None if factors is None else factors[axis]
        target = None if sizes is None else sizes[axis]
        stays = factor in (None, 1) and target in (None, size)
        if not stays or (sampling.crops and sampling.crop.get(axis, WHOLE) != WHOLE):
            y = _resize_axis(emit, y, axis, factor, target, sampling)
            if sampling.crops and emit.require_shape(y)[axis] == size:
                met = f"ONNX Runtime does not crop axis {axis}, which stays as long as it is"
                raise emit.refuse(met, "Crop it by Slice")
    if y is not x and y.shape == shape:
        raise emit.refuse("its factors change no size: ONNX Runtime gives what it gets", "Export without it")
    return y


def _resize_axis(
    emit: Emitter, x: Value, axis: int, factor: float | None, target: Dim | None, sampling: Sampling
) -> Value:
    shape = emit.require_shape(x)
    size = shape[axis]
    times = _whole_factor(size, factor, target)
    if times is not None and sampling.repeats:
        longer = emit("repeat", x, repeats=times, axis=axis)
        return replace(longer, shape=(*shape[:axis], size * times, *shape[axis + 1 :]))
    if isinstance(size, SymbolicDim) or isinstance(target, SymbolicDim):
        wanted = f"{factor} times" if target is None else f"{target} for"
        raise emit.refuse(f"it resamples axis {axis} by {sampling.mode} to {wanted} the free size {size}", WITH_SIZE)
    length = _scaled(size, factor) if target is None and factor is not None else target
    assert length is not None
    if sampling.coordinates == "align_corners" and factor is not None and length not in (1, size * factor):
        met = f"of align_corners, {factor} times {size} is no whole number: onnx's tests and ONNX Runtime differ"
        raise emit.refuse(met, "Export it with sizes")
    scale = factor if factor is not None else length / size
    if sampling.mode == "nearest" and not sampling.crops:
        places = nearest_places(size, length, scale, sampling, axis)
        if sampling.coordinates == "half_pixel_symmetric" and np.any(
            places != nearest_places(size, length, scale, sampling, axis, np.float64)
        ):
            raise emit.refuse("rounding decides which element is the nearest", "Use half_pixel")
        y = emit("take", x, emit.constant("places", places), axis=axis, mode="clip", dtype=x.dtype)
        return replace(y, shape=(*shape[:axis], length, *shape[axis + 1 :]))
    matrix, outside = make_matrix(size, length, scale, sampling, axis)
    dtype = x.dtype if x.dtype in FLOATS and x.dtype != "float16" else "float32"
    y = multiply_along(emit, emit.cast(x, dtype), axis, matrix)
    if outside.any():
        row = (sampling.extrapolation_value * outside).astype(dtype).reshape(-1, *[1] * (len(shape) - axis - 1))
        keep = (~outside).astype(dtype).reshape(row.shape)
        y = replace(emit("broadcast_mul", y, emit.constant("inside", keep)), shape=y.shape)
        y = replace(emit("broadcast_add", y, emit.constant("outside", row)), shape=y.shape)
    return emit.cast(y, x.dtype)


def _whole_factor(size: Dim, factor: float | None, target: Dim | None) -> int | None:
    """How many times as long an axis gets, if it is a whole number."""
    if target is None:
        return int(factor) if factor is not None and factor == int(factor) and factor >= 1 else None
    if isinstance(size, int):
        return target // size if isinstance(target, int) and target % size == 0 else None
    return next((times for times in range(1, 17) if size * times == target), None)
