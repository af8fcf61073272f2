"""Where Resize reads: coordinates and weights of each output along one axis, by ONNX's definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.tensors import Array

# The crop that takes all of an axis.
WHOLE = (0.0, 1.0)
# As near to the middle of two elements, a coordinate is in the middle: what ONNX Runtime 1.32 was seen to do.
BETWEEN = 1e-6


@dataclass(frozen=True)
class Sampling:
    """Resize's attributes.

    Attributes:
        mode: nearest, linear or cubic.
        coordinates: coordinate_transformation_mode.
        nearest_mode: How a coordinate is rounded.
        cubic_coeff_a: Of the cubic filter.
        exclude_outside: Whether weights outside the axis count as 0.
        extrapolation_value: Outside the crop of tf_crop_and_resize.
        antialias: Whether the filter is as much wider as the result is smaller.
        policy: keep_aspect_ratio_policy.
        crop: Start and end of each axis, as parts of it.
    """

    mode: str
    coordinates: str
    nearest_mode: str
    cubic_coeff_a: float = -0.75
    exclude_outside: bool = False
    extrapolation_value: float = 0.0
    antialias: bool = False
    policy: str = "stretch"
    crop: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def crops(self) -> bool:
        """Whether it reads a part of the tensor."""
        return self.coordinates == "tf_crop_and_resize"

    @property
    def repeats(self) -> bool:
        """Whether a whole factor repeats each element as often."""
        if self.mode != "nearest":
            return False
        if self.coordinates == "asymmetric":
            return self.nearest_mode == "floor"
        # A coordinate is at most half an element from its own, and half of one only where it is between two.
        return self.coordinates in ("half_pixel", "half_pixel_symmetric") and self.nearest_mode.startswith("round")


def nearest_places(
    size: int, length: int, scale: float, sampling: Sampling, axis: int, dtype: type[np.floating[Any]] = np.float32
) -> Array:
    """(length,) int64: which element each output is; in float32 as ONNX Runtime, where rounding may decide."""
    at = _coordinates(np.arange(length, dtype=dtype), size, length, scale, sampling, axis)
    if sampling.nearest_mode.startswith("round"):
        below = np.floor(at)
        between = np.abs(at - below - 0.5) <= BETWEEN
        places = below + np.where(between, sampling.nearest_mode == "round_prefer_ceil", at - below > 0.5)
    else:
        places = np.floor(at) if sampling.nearest_mode == "floor" else np.ceil(at)
    inside: Array = np.clip(places, 0, size - 1).astype(np.int64)
    return inside


def make_matrix(size: int, length: int, scale: float, sampling: Sampling, axis: int) -> tuple[Array, Array]:
    """(length, size) weights, and which outputs are outside the crop."""
    at = _coordinates(np.arange(length, dtype=np.float64), size, length, scale, sampling, axis)
    outside = (at < 0) | (at > size - 1) if sampling.crops else np.zeros(length, bool)
    matrix = np.zeros((length, size))
    if sampling.mode == "nearest":
        matrix[np.arange(length), nearest_places(size, length, scale, sampling, axis)] = 1
        return matrix, outside
    stretch = min(scale, 1.0) if sampling.antialias else 1.0
    radius = (1 if sampling.mode == "linear" else 2) / stretch
    for row, middle in enumerate(at):
        places = np.arange(int(np.floor(middle - radius)) - 1, int(np.ceil(middle + radius)) + 2)
        weights = _filter((places - middle) * stretch, sampling)
        if sampling.exclude_outside:
            weights = np.where((places < 0) | (places >= size), 0, weights)
        if sampling.exclude_outside or sampling.antialias:
            weights = weights / weights.sum()
        np.add.at(matrix[row], np.clip(places, 0, size - 1), weights)
    return matrix, outside


def _coordinates(out: Array, size: int, length: int, scale: float, sampling: Sampling, axis: int) -> Array:
    """(length,) of the type of `out`, the outputs' numbers: each one's place between the elements."""
    match sampling.coordinates:
        case "asymmetric":
            return out / scale
        case "align_corners":
            return out * (size - 1) / (length - 1) if length > 1 else np.zeros(length)
        case "pytorch_half_pixel":
            return (out + 0.5) / scale - 0.5 if length > 1 else np.zeros(length)
        case "half_pixel_symmetric":
            number = out.dtype.type
            offset = number(size / 2) * (1 - number(length) / (number(scale) * number(size)))
            return ((out.astype(np.float64) + 0.5) / float(number(scale)) + (float(offset) - 0.5)).astype(out.dtype)
        case "tf_crop_and_resize":
            start, end = sampling.crop.get(axis, WHOLE)
            if length > 1:
                return start * (size - 1) + out * ((end - start) * (size - 1) / (length - 1))
            return np.full(length, 0.5 * (start + end) * (size - 1))
        case "tf_half_pixel_for_nn":
            return (out + 0.5) / scale
        case _:
            return (out + 0.5) / scale - 0.5


def _filter(distance: Array, sampling: Sampling) -> Array:
    """Weight of an element at that distance."""
    x = np.abs(distance)
    if sampling.mode == "linear":
        return np.maximum(1 - x, 0)
    a = sampling.cubic_coeff_a
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))
