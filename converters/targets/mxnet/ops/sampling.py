"""Which input elements a Resize reads for each output along one axis, and their weights, as ONNX defines them.

A coordinate is a position along the input axis: 0 is the first element, 0.5 the middle between the first two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.tensors import Array

# The crop that keeps all of an axis.
WHOLE = (0.0, 1.0)
# A coordinate this close to the middle between two elements is rounded as the middle is, as ONNX Runtime 1.32 was seen
# to do.
MIDDLE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Sampling:
    """Attributes of a Resize, and its crop.

    Attributes:
        mode: "nearest", "linear" or "cubic".
        coordinates: coordinate_transformation_mode.
        nearest_mode: How mode "nearest" rounds a coordinate.
        cubic_coeff_a: Coefficient a of the cubic filter.
        exclude_outside: Whether elements beyond the ends of the axis have weight 0, not those of the end element.
        extrapolation_value: Value of outputs outside the crop.
        antialias: Whether a filter that shrinks an axis is widened by the inverse of the scale.
        crop: Start and end of the crop by axis, as fractions of the axis; axes left out are not cropped.
    """

    mode: str
    coordinates: str
    nearest_mode: str
    cubic_coeff_a: float = -0.75
    exclude_outside: bool = False
    extrapolation_value: float = 0.0
    antialias: bool = False
    crop: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def crops(self) -> bool:
        """Whether the Resize reads `crop`."""
        return self.coordinates == "tf_crop_and_resize"

    @property
    def repeats(self) -> bool:
        """Whether a scale that is a whole number n repeats each element n times."""
        if self.mode != "nearest":
            return False
        if self.coordinates == "asymmetric":
            return self.nearest_mode == "floor"
        # The n coordinates of an element are less than 0.5 away from it, so that rounding leads to the element.
        return self.coordinates in ("half_pixel", "half_pixel_symmetric") and self.nearest_mode.startswith("round")


def nearest_places(
    size: int, length: int, scale: float, sampling: Sampling, axis: int, dtype: type[np.floating[Any]] = np.float32
) -> Array:
    """For mode "nearest", the index of the element that each output copies: (length,) int64.

    Args:
        size: Length of the input axis.
        length: Length of the output axis.
        scale: Output length per input length, as given or computed.
        axis: Selects the crop.
        dtype: Type of the coordinates; ONNX Runtime computes float32, whose rounding can decide which element it is.
    """
    at = _coordinates(np.arange(length, dtype=dtype), size, length, scale, sampling, axis)
    if sampling.nearest_mode.startswith("round"):
        below = np.floor(at)
        between = np.abs(at - below - 0.5) <= MIDDLE_TOLERANCE
        places = below + np.where(between, sampling.nearest_mode == "round_prefer_ceil", at - below > 0.5)
    else:
        places = np.floor(at) if sampling.nearest_mode == "floor" else np.ceil(at)
    inside: Array = np.clip(places, 0, size - 1).astype(np.int64)
    return inside


def make_matrix(size: int, length: int, scale: float, sampling: Sampling, axis: int) -> tuple[Array, Array]:
    """Weights (length, size) float64 of each element in each output, and a mask (length,) of outputs outside the crop.

    Arguments as of `nearest_places`.
    """
    at = _coordinates(np.arange(length, dtype=np.float64), size, length, scale, sampling, axis)
    outside = (at < 0) | (at > size - 1) if sampling.crops else np.zeros(length, bool)
    matrix = np.zeros((length, size))
    if sampling.mode == "nearest":
        matrix[np.arange(length), nearest_places(size, length, scale, sampling, axis)] = 1
        return matrix, outside
    stretch = min(scale, 1.0) if sampling.antialias else 1.0
    radius = (1 if sampling.mode == "linear" else 2) / stretch
    for row, center in enumerate(at):
        places = np.arange(int(np.floor(center - radius)) - 1, int(np.ceil(center + radius)) + 2)
        weights = _filter((places - center) * stretch, sampling)
        if sampling.exclude_outside:
            weights = np.where((places < 0) | (places >= size), 0, weights)
        if sampling.exclude_outside or sampling.antialias:
            weights = weights / weights.sum()
        np.add.at(matrix[row], np.clip(places, 0, size - 1), weights)
    return matrix, outside


def _coordinates(out: Array, size: int, length: int, scale: float, sampling: Sampling, axis: int) -> Array:
    """The coordinate of each output.

    Args:
        out: (length,) 0, 1, 2, ...; its type is that of the result.
    """
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
    """Weights of elements at these distances from the coordinate, by the linear or cubic filter."""
    x = np.abs(distance)
    if sampling.mode == "linear":
        return np.maximum(1 - x, 0)
    # Keys, "Cubic convolution interpolation for digital image processing", 1981.
    a = sampling.cubic_coeff_a
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))
