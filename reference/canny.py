"""Canny edges of the known part of a photo, equal to scikit-image's, as a torch module that exports to ONNX.

It computes what `skimage.feature.canny(rgb2gray(photo), sigma=2, mask=(hole == 0))` computes: Canny, A Computational
Approach To Edge Detection, IEEE PAMI 8 (1986), with scikit-image's border rules. The hole's outline is no edge: a pixel
that touches the hole or the image's border is never one.

Everything is float64, and every sum is taken in the order in which SciPy's filters take it, since a plateau's edge
hangs on the last bit. The filters are spelled out as shifted sums, because ONNX Runtime has no float64 convolution.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch._higher_order_ops import while_loop
from torch.nn import functional

SIGMA = 2.0
LOW, HIGH = 0.1, 0.2
# SciPy cuts the Gaussian off at four sigma.
RADIUS = int(4 * SIGMA + 0.5)
# From the middle outwards; summed as SciPy does it, by numpy and over the whole kernel.
_KERNEL = np.exp(-0.5 / SIGMA**2 * np.arange(-RADIUS, RADIUS + 1) ** 2)
WEIGHTS: list[float] = (_KERNEL / _KERNEL.sum())[RADIUS:].tolist()
# Of scikit-image's rgb2gray.
LUMA = (0.2125, 0.7154, 0.0721)
EPSILON = torch.finfo(torch.float64).eps
# Steps of growth between two looks at whether anything still grows.
STEPS = 4


class Canny(nn.Module):
    """(photo, hole) -> (gray, edges)."""

    def forward(self, photo: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        """Find the edges of the known part.

        Args:
            photo: (N, H, W, 3) uint8, RGB.
            hole: (N, H, W) bool, true in the hole.

        Returns:
            gray: (N, 1, H, W) float64 in [0, 1], 0.2125 R + 0.7154 G + 0.0721 B, the hole included.
            edges: (N, 1, H, W) float32, 1 on an edge, else 0.
        """
        gray = gray_of(photo)
        unknown = hole.unsqueeze(1)  # (N, 1, H, W)
        rows, columns = _sobel(_smooth(gray, unknown))
        strength = torch.sqrt(rows * rows + columns * columns)
        peaks = _is_peak(rows, columns, strength) & _is_surrounded(unknown)
        weak = (peaks & (strength >= double(LOW))).float()
        strong = (peaks & (strength >= double(HIGH))).float()
        return gray, _grow(strong, weak)


def gray_of(photo: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 1, H, W) float64 in [0, 1]."""
    rgb = photo.double() * double(1 / 255)
    red, green, blue = (rgb[..., i] * double(LUMA[i]) for i in range(3))
    return (red + green + blue).unsqueeze(1)


def double(number: float) -> Tensor:
    """A float64 constant: the exporter would round a Python number to float32."""
    return torch.tensor(number, dtype=torch.float64)


def _smooth(gray: Tensor, unknown: Tensor) -> Tensor:
    """Gaussian mean of the known pixels: the blurred known part over the blurred map of what is known, plus EPSILON."""
    known = (~unknown).double()
    both = torch.cat([gray * known, known], 1)  # (N, 2, H, W)
    for axis in (2, 3):
        both = _blur(both, axis)
    both = both * double(1 / EPSILON)  # a power of two, so exact: the exporter drops an addition of so small a number
    return both[:, :1] / (both[:, 1:] + double(1))


def _blur(x: Tensor, axis: int) -> Tensor:
    """Gaussian along one axis, zeros beyond the border."""
    padded = _pad(x, axis, RADIUS, "constant")
    y = x * double(WEIGHTS[0])
    for distance in range(RADIUS, 0, -1):
        pair = _shifted(padded, axis, RADIUS, -distance) + _shifted(padded, axis, RADIUS, distance)
        y = y + pair * double(WEIGHTS[distance])
    return y


def _sobel(x: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives along the rows' axis (H) and the columns' (W); the border's pixels repeat beyond it."""
    derivatives = []
    for along, across in ((2, 3), (3, 2)):
        padded = _pad(x, along, 1, "replicate")
        slope = _shifted(padded, along, 1, 1) - _shifted(padded, along, 1, -1)
        padded = _pad(slope, across, 1, "replicate")
        derivatives.append(slope * 2 + (_shifted(padded, across, 1, -1) + _shifted(padded, across, 1, 1)))
    return derivatives[0], derivatives[1]


def _is_peak(rows: Tensor, columns: Tensor, strength: Tensor) -> Tensor:
    """Where the strength is no less than on both sides along the gradient, interpolated between two neighbours."""
    padded = _pad(_pad(strength, 2, 1, "constant"), 3, 1, "constant")

    def neighbour(down: int, right: int) -> Tensor:
        return _shifted(_shifted(padded, 2, 1, down), 3, 1, right)

    falling = ((rows >= 0) & (columns >= 0)) | ((rows <= 0) & (columns <= 0))  # from top left to bottom right
    steep = rows.abs() > columns.abs()
    smaller = torch.where(steep, columns.abs(), rows.abs())
    larger = torch.where(steep, rows.abs(), columns.abs())
    weight = smaller / torch.where(larger > 0, larger, double(1))

    def is_no_less(side: int) -> Tensor:
        corner = torch.where(falling, neighbour(side, side), neighbour(-side, side))
        vertical = torch.where(falling, neighbour(side, 0), neighbour(-side, 0))
        straight = torch.where(steep, vertical, neighbour(0, side))
        return corner * weight + straight * (1 - weight) <= strength

    return is_no_less(1) & is_no_less(-1)


def _is_surrounded(unknown: Tensor) -> Tensor:
    """Where all eight neighbours exist and are known."""
    padded = functional.pad(unknown.float(), (1, 1, 1, 1), value=1.0)
    return functional.max_pool2d(padded, 3, stride=1) == 0


def _grow(strong: Tensor, weak: Tensor) -> Tensor:
    """Weak pixels that are connected, over corners too, to a strong one; (N, 1, H, W) float32, 0 or 1."""

    def step(grown: Tensor, weak: Tensor, unsettled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        larger = grown
        for _ in range(STEPS):
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
    """`size` more on both sides of H (axis 2) or W (axis 3)."""
    widths = (0, 0, size, size) if axis == 2 else (size, size, 0, 0)
    return functional.pad(x, widths, mode=mode)


def _shifted(padded: Tensor, axis: int, size: int, by: int) -> Tensor:
    """What was padded by `size` along an axis, without its padding, seen `by` pixels further on."""
    window = slice(size + by, by - size or None)
    return padded[:, :, window] if axis == 2 else padded[:, :, :, window]
