"""Resize and Upsample.

In some modes MXNet's `repeat` can scale an axis by a whole number; the axis may then have a free size. An axis of
length 1 is broadcast, also to a free size: all that is sampled is its one element. A plane of free sizes is resampled
linearly by a whole factor with MXNet's own operator. Every other axis is resampled with an index vector or a matrix: a
constant, or, where a size is free, computed when the model runs (`free_resizing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from converters.targets.mxnet.ops.free_resizing import resize_free_axis
from converters.targets.mxnet.ops.free_sizes import write_broadcast
from converters.targets.mxnet.ops.matrices import multiply_along
from converters.targets.mxnet.ops.registry import FLOATS, OPS, Emitter, Value
from converters.targets.mxnet.ops.sampling import WHOLE, Sampling, make_matrix, nearest_places
from converters.targets.mxnet.sizes import Dim, SymbolicDim

MODES = ("nearest", "linear", "cubic")
COORDINATES = (
    *("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel"),
    *("align_corners", "asymmetric", "tf_crop_and_resize", "tf_half_pixel_for_nn"),
)
# Those that agree for a whole factor with one of the two ways of MXNet's operator for planes.
PLANE_COORDINATES = ("align_corners", "half_pixel", "pytorch_half_pixel")
NEAREST_MODES = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@OPS.op("Upsample", since=9)
def upsample(emit: Emitter, x: Value, scales: Value, *, mode: str = "nearest") -> Value:
    """x with axis i scaled by scales[i]."""
    factors = [float(scale) for scale in emit.require_array(scales, "scales").flat]
    return _resize(emit, x, factors, None, Sampling(mode, "asymmetric", "floor"))


@OPS.op("Resize", since=10)
def resize_asymmetric(emit: Emitter, x: Value, scales: Value, *, mode: str = "nearest") -> Value:
    """The same; an axis may also shrink."""
    if mode == "nearest" and emit.require_array(scales, "scales").min() < 1:
        raise emit.refuse("opset 10 does not say how it rounds where it shrinks", "Convert it to opset 11 or later")
    return upsample(emit, x, scales, mode=mode)


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
    """x resampled along each axis, scaled by `scales` or to the size in `sizes`."""
    return resize_some_axes(
        emit,
        x,
        roi,
        scales,
        sizes,
        mode=mode,
        coordinate_transformation_mode=coordinate_transformation_mode,
        nearest_mode=nearest_mode,
        cubic_coeff_a=cubic_coeff_a,
        exclude_outside=exclude_outside,
        extrapolation_value=extrapolation_value,
    )


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
    """The same, for `axes` only.

    Args:
        antialias: Whether to widen the filter of an axis that shrinks.
        keep_aspect_ratio_policy: "stretch" uses `sizes` as they are. Else all axes get one scale, so that no size
            exceeds its entry in `sizes` ("not_larger") or falls below it ("not_smaller").
    """
    shape = emit.require_shape(x)
    rank = len(shape)
    over = list(range(rank)) if axes is None else [axis % rank for axis in axes]
    sampling = Sampling(
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        bool(exclude_outside),
        extrapolation_value,
        bool(antialias),
    )
    if sampling.crops:
        sampling = replace(sampling, crop=_read_crop(emit, roi, over))
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
    if keep_aspect_ratio_policy == "stretch":
        return _resize(emit, x, None, wanted, sampling)
    fixed = emit.require_fixed_shape(x)
    ratios = [emit.require_fixed(wanted[axis]) / fixed[axis] for axis in over]
    ratio = min(ratios) if keep_aspect_ratio_policy == "not_larger" else max(ratios)
    factors = [ratio if axis in over else 1.0 for axis in range(rank)]
    rounded = [int(np.floor(fixed[axis] * ratio + 0.5)) if axis in over else fixed[axis] for axis in range(rank)]
    return _resize(emit, x, factors, rounded, sampling)


def _read_crop(emit: Emitter, roi: Value | None, axes: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Start and end of the crop by axis, as fractions; `roi` lists the starts of all `axes`, then the ends."""
    if roi is None:
        raise emit.refuse("its roi is left out", "Check the model")
    corners = [float(corner) for corner in emit.require_array(roi, "roi").flat]
    return {axis: (corners[i], corners[len(axes) + i]) for i, axis in enumerate(axes)}


def _scale_length(size: float, factor: float) -> int:
    """floor(size * factor), computed in float32 as the factor is given: in float64, 10 * float32(0.7) is below 7."""
    return int(np.floor(np.float32(size) * np.float32(factor)))


def _resize(
    emit: Emitter, x: Value, factors: Sequence[float] | None, sizes: Sequence[Dim] | None, sampling: Sampling
) -> Value:
    """x resampled along each axis.

    Args:
        factors: Scale of each axis; None to derive them from `sizes`.
        sizes: Output size of each axis; None to derive them from `factors`. Both are given where the sizes are rounded
            in another way (`keep_aspect_ratio_policy`).
    """
    for what, value, allowed in (
        ("mode", sampling.mode, MODES),
        ("coordinate transformation", sampling.coordinates, COORDINATES),
        ("nearest mode", sampling.nearest_mode, NEAREST_MODES),
    ):
        if value not in allowed:
            raise emit.refuse(f"its {what} is '{value}'", f"Use one of {', '.join(allowed)}")
    shape = emit.require_shape(x)
    if sampling.crops and factors is not None and sizes is None:
        raise emit.refuse("ONNX and ONNX Runtime differ in what a factor times a crop is", "Export it with sizes")
    plane = _resize_plane(emit, x, factors, sizes, sampling)
    if plane is not None:
        return plane
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


def _resize_plane(
    emit: Emitter, x: Value, factors: Sequence[float] | None, sizes: Sequence[Dim] | None, sampling: Sampling
) -> Value | None:
    """(N, C, H, W) float32 with H or W free, both scaled linearly by whole factors; None if that is not what is asked.

    MXNet's operator places the corners as torch and ONNX do, both with align_corners and without.
    """
    shape = emit.require_shape(x)
    free = any(isinstance(size, SymbolicDim) for size in shape[2:])
    if len(shape) != 4 or not free or x.dtype != "float32" or sampling.mode != "linear" or sampling.antialias:
        return None
    if sampling.coordinates not in PLANE_COORDINATES:
        return None
    times = [
        _whole_factor(size, None if factors is None else factors[axis], None if sizes is None else sizes[axis])
        for axis, size in enumerate(shape)
    ]
    height, width = times[2:]
    if times[:2] != [1, 1] or height is None or width is None or height == width == 1:
        return None
    aligned = sampling.coordinates == "align_corners"
    scales: dict[str, Any] = {"scale_height": float(height), "scale_width": float(width)}
    y = emit("_contrib_BilinearResize2D", x, **scales, align_corners=aligned, mode="size")
    return replace(y, shape=(*shape[:2], shape[2] * height, shape[3] * width))


def _resize_axis(
    emit: Emitter, x: Value, axis: int, factor: float | None, target: Dim | None, sampling: Sampling
) -> Value:
    """x resampled along one axis; factor and target as of `_resize`."""
    shape = emit.require_shape(x)
    size = shape[axis]
    times = _whole_factor(size, factor, target)
    if times is not None and sampling.repeats:
        longer = emit("repeat", x, repeats=times, axis=axis)
        return replace(longer, shape=(*shape[:axis], size * times, *shape[axis + 1 :]))
    if size == 1 and isinstance(target, SymbolicDim) and not sampling.crops:
        return write_broadcast(emit, x, (*shape[:axis], target, *shape[axis + 1 :]))
    if isinstance(size, SymbolicDim) or isinstance(target, SymbolicDim):
        return resize_free_axis(emit, x, axis, factor, target, sampling)
    length = _scale_length(size, factor) if target is None and factor is not None else target
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
    """How many times as long the axis gets; None if that is not a whole number, or unknown."""
    if target is None:
        return int(factor) if factor is not None and factor == int(factor) and factor >= 1 else None
    if isinstance(size, int):
        return target // size if isinstance(target, int) and target % size == 0 else None
    return next((times for times in range(1, 17) if size * times == target), None)
