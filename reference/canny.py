"""Canny edges of the known part of a photo, equal to scikit-image's, as a torch module that exports to ONNX.

The module computes the same as `skimage.feature.canny(rgb2gray(photo), sigma=2, mask=(hole == 0))`: Canny, A
Computational Approach To Edge Detection, IEEE PAMI 8 (1986), with scikit-image's border rules. A pixel that touches the
hole or the image's border is never an edge, so the hole's outline does not show up.

All numbers are float64, and all sums run in the order of SciPy's filters: on a plateau, where neighbouring strengths
are equal, the last bit decides which pixel is an edge. The filters are written as sums of shifted planes, because
ONNX Runtime has no float64 convolution.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch._higher_order_ops import while_loop
from torch.nn import functional

SIGMA = 2.0
# scikit-image's default thresholds of the gradient's magnitude, for values in [0, 1].
LOW_THRESHOLD, HIGH_THRESHOLD = 0.1, 0.2
# In pixels: SciPy cuts the Gaussian off at four sigma.
RADIUS = int(4 * SIGMA + 0.5)
# The Gaussian is normalised as SciPy does it: by numpy's sum over the whole kernel.
_KERNEL = np.exp(-0.5 / SIGMA**2 * np.arange(-RADIUS, RADIUS + 1) ** 2)
# WEIGHTS[d] is the weight at a distance of d pixels.
WEIGHTS: list[float] = (_KERNEL / _KERNEL.sum())[RADIUS:].tolist()
# Weights of red, green and blue in scikit-image's rgb2gray.
LUMA = (0.2125, 0.7154, 0.0721)
EPSILON = torch.finfo(torch.float64).eps
# Pixels that edges grow by between two tests of whether they still grow.
GROWTH_STEPS = 4


class Canny(nn.Module):
    """The edge detector; it has no weights."""

    def forward(self, photo: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        """Find the edges of the known part.

        Args:
            photo: (N, H, W, 3) uint8, RGB.
            hole: (N, H, W) bool, true in the hole.

        Returns:
            gray: (N, 1, H, W) float64 in [0, 1], 0.2125 R + 0.7154 G + 0.0721 B, inside the hole too.
            edges: (N, 1, H, W) float32, 1 on an edge, else 0.
        """
        gray = gray_of(photo)
        unknown = hole.unsqueeze(1)  # (N, 1, H, W)
        rows, columns = _sobel(_smooth(gray, unknown))
        strength = torch.sqrt(rows * rows + columns * columns)
        peaks = _is_peak(rows, columns, strength) & _has_known_neighbours(unknown)
        weak = (peaks & (strength >= double(LOW_THRESHOLD))).float()
        strong = (peaks & (strength >= double(HIGH_THRESHOLD))).float()
        return gray, _grow(strong, weak)


def gray_of(photo: Tensor) -> Tensor:
    """RGB (N, H, W, 3) uint8 -> gray (N, 1, H, W) float64 in [0, 1]."""
    rgb = photo.double() * double(1 / 255)
    red, green, blue = (rgb[..., i] * double(LUMA[i]) for i in range(3))
    return (red + green + blue).unsqueeze(1)


def double(number: float) -> Tensor:
    """`number` as a float64 tensor, because the exporter would round a Python number to float32."""
    return torch.tensor(number, dtype=torch.float64)


def _smooth(gray: Tensor, unknown: Tensor) -> Tensor:
    """Gaussian mean of the known pixels around each pixel.

    Computed as blur(gray * known) / (blur(known) + EPSILON), with numerator and denominator scaled by 1 / EPSILON.

    Args:
        gray: (N, 1, H, W) float64.
        unknown: (N, 1, H, W) bool.
    """
    known = (~unknown).double()
    both = torch.cat([gray * known, known], 1)  # (N, 2, H, W)
    for axis in (2, 3):
        both = _blur(both, axis)
    # The exporter drops the addition of a number as small as EPSILON. Its inverse is a power of two, so this is exact.
    both = both * double(1 / EPSILON)
    return both[:, :1] / (both[:, 1:] + double(1))


def _blur(x: Tensor, axis: int) -> Tensor:
    """Gaussian filter along `axis`, with zeros beyond the border."""
    padded = _pad(x, axis, RADIUS, "constant")
    y = x * double(WEIGHTS[0])
    for distance in range(RADIUS, 0, -1):
        pair = _shifted(padded, axis, RADIUS, -distance) + _shifted(padded, axis, RADIUS, distance)
        y = y + pair * double(WEIGHTS[distance])
    return y


def _sobel(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel derivatives of x (N, 1, H, W) along H and along W; beyond the border, its pixels are repeated."""
    derivatives = []
    for along, across in ((2, 3), (3, 2)):  # axes
        padded = _pad(x, along, 1, "replicate")
        slope = _shifted(padded, along, 1, 1) - _shifted(padded, along, 1, -1)
        padded = _pad(slope, across, 1, "replicate")
        derivatives.append(slope * 2 + (_shifted(padded, across, 1, -1) + _shifted(padded, across, 1, 1)))
    return derivatives[0], derivatives[1]


def _is_peak(rows: Tensor, columns: Tensor, strength: Tensor) -> Tensor:
    """Non-maximum suppression: true where the strength is at least that of both sides along the gradient.

    The strength of a side is interpolated between the two neighbouring pixels next to the gradient's direction.

    Args:
        rows: Derivative along H, (N, 1, H, W) float64.
        columns: Derivative along W, likewise.
        strength: The gradient's magnitude, likewise.
    """
    padded = _pad(_pad(strength, 2, 1, "constant"), 3, 1, "constant")

    def neighbour(down: int, right: int) -> Tensor:
        return _shifted(_shifted(padded, 2, 1, down), 3, 1, right)

    # The gradient runs from top left to bottom right, or back; otherwise from bottom left to top right.
    falling = ((rows >= 0) & (columns >= 0)) | ((rows <= 0) & (columns <= 0))
    steep = rows.abs() > columns.abs()
    smaller = torch.where(steep, columns.abs(), rows.abs())
    larger = torch.where(steep, rows.abs(), columns.abs())
    weight = smaller / torch.where(larger > 0, larger, double(1))

    def is_at_least(side: int) -> Tensor:
        """Compare with the side in the direction of growing columns (1) or of falling ones (-1)."""
        corner = torch.where(falling, neighbour(side, side), neighbour(-side, side))
        vertical = torch.where(falling, neighbour(side, 0), neighbour(-side, 0))
        straight = torch.where(steep, vertical, neighbour(0, side))
        return corner * weight + straight * (1 - weight) <= strength

    return is_at_least(1) & is_at_least(-1)


def _has_known_neighbours(unknown: Tensor) -> Tensor:
    """True where a pixel and its eight neighbours lie inside the image and are known; (N, 1, H, W) bool."""
    padded = functional.pad(unknown.float(), (1, 1, 1, 1), value=1.0)
    return functional.max_pool2d(padded, 3, stride=1) == 0


def _grow(strong: Tensor, weak: Tensor) -> Tensor:
    """Hysteresis: the weak pixels that a path of weak pixels connects to a strong one; corners connect, too.

    Args:
        strong: (N, 1, H, W) float32, 0 or 1; a subset of `weak`.
        weak: Likewise.

    Returns:
        (N, 1, H, W) float32, 0 or 1.
    """

    def step(grown: Tensor, weak: Tensor, unsettled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Grow by GROWTH_STEPS pixels; the last result is whether anything grew."""
        larger = grown
        for _ in range(GROWTH_STEPS):
            larger = functional.max_pool2d(larger, 3, stride=1, padding=1) * weak
        return larger, weak.clone(), (larger != grown).any()

    state = (strong, weak, torch.tensor(True))
    if torch.compiler.is_exporting():
        state = while_loop(lambda grown, weak, unsettled: unsettled.clone(), step, state)
    else:
        while bool(state[2]):
            state = step(*state)
    return state[0]


def _pad(x: Tensor, axis: int, size: int, mode: str) -> Tensor:
    """Pad x (N, C, H, W) by `size` on both sides of H (axis 2) or W (axis 3)."""
    widths = (0, 0, size, size) if axis == 2 else (size, size, 0, 0)
    return functional.pad(x, widths, mode=mode)


def _shifted(padded: Tensor, axis: int, size: int, by: int) -> Tensor:
    """The unpadded plane, moved by `by` pixels: element i is element i + `by` of the plane that `size` padded.

    Args:
        padded: The plane, padded by `size` on both sides of `axis`, which is 2 or 3.
        size: The padding.
        by: From -size to size.
    """
    window = slice(size + by, by - size or None)
    return padded[:, :, window] if axis == 2 else padded[:, :, :, window]
