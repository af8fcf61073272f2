"""A convolution in the frequency domain, with the Fourier transform written as products with matrices.

Paper: Chi, Jiang, Mu, "Fast Fourier Convolution", NeurIPS 2020; here the variant of LaMa (advimman/lama, Apache 2.0),
whose key names the modules have. The code is our own.

Deviations:
* The transform is a product with matrices of cosines and sines, which are computed from H and W, once for all layers: a
  graph with free sizes needs no Fourier operator. How many of n steps round the circle i * j are is a whole number, so
  that an angle is rounded once, whatever the size.
* Upstream interleaves real and imaginary parts as channels. Here the real parts come first, with weights reordered to
  match. The spectrum is transposed, so that each product has its matrix on the right.
* Not supported: local Fourier units, squeeze and excitation, scaling, positional encoding, strides.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FourierBasis(NamedTuple):
    """The matrices of an orthonormal Fourier transform of real (h, w) planes; r is w // 2 + 1.

    Attributes:
        row_cos, row_sin: (w, r), from a row to the r frequencies that are kept of it.
        column_cos, column_sin: (h, h), symmetric.
        back_cos, back_sin: (r, w), from the kept frequencies to a row; those that stand for two count twice.
    """

    row_cos: Tensor
    row_sin: Tensor
    column_cos: Tensor
    column_sin: Tensor
    back_cos: Tensor
    back_sin: Tensor


def make_basis(x: Tensor) -> FourierBasis:
    """The matrices for planes of the size of x (N, C, h, w), in its element type."""
    rows, columns = (torch.arange(size, device=x.device) for size in x.shape[2:])
    # The sizes as tensors: torch cannot export a remainder by a size that is free.
    height, width = rows[-1:] + 1, columns[-1:] + 1
    doubled = torch.arange(x.shape[3] + 1, device=x.device)[::2]  # twice the frequencies 0 to w // 2, (r,)
    kept = torch.div(doubled, 2, rounding_mode="floor")
    row_cos, row_sin = _circle(columns[:, None] * kept[None], width, x.dtype)  # (w, r)
    column_cos, column_sin = _circle(rows[:, None] * rows[None], height, x.dtype)  # (h, h)
    # Of a real row, frequency f also stands for w - f, unless both are the same.
    count = 2 - (doubled == 0).to(x.dtype) - (doubled == width).to(x.dtype)  # (r,)
    back_cos, back_sin = ((matrix * count).transpose(0, 1) for matrix in (row_cos, row_sin))
    return FourierBasis(row_cos, row_sin, column_cos, column_sin, back_cos, back_sin)


def _circle(steps: Tensor, size: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine after so many of `size` steps round the circle, divided by the root of `size`.

    Args:
        steps: Whole numbers of any shape.
        size: Whole number, (1,).
        dtype: Of the results.
    """
    angle = torch.remainder(steps, size).to(dtype) * (2 * math.pi) / size.to(dtype)
    scale = size.to(dtype).rsqrt()
    return angle.cos() * scale, angle.sin() * scale


def _real_first(x: Tensor, axis: int) -> Tensor:
    """Interleaved real and imaginary entries of one axis -> all the real ones, then all the imaginary ones."""
    even, odd = (slice(start, None, 2) for start in (0, 1))
    before = (slice(None),) * axis
    return torch.cat([x[(*before, even)], x[(*before, odd)]], axis)


class FourierUnit(nn.Module):
    """(N, C, h, w) -> (N, C, h, w): convolution 1x1, batch norm and ReLU in the frequency domain; `channels` is C."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.conv_layer = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * channels)

    def forward(self, x: Tensor, basis: FourierBasis) -> Tensor:
        rows = torch.cat([x @ basis.row_cos, -(x @ basis.row_sin)], 1).transpose(2, 3)  # (N, 2C, r, h)
        cos, sin = rows @ basis.column_cos, rows @ basis.column_sin
        real = cos[:, : self.channels] + sin[:, self.channels :]  # (N, C, r, h)
        imaginary = cos[:, self.channels :] - sin[:, : self.channels]
        weight = _real_first(_real_first(self.conv_layer.weight, 0), 1)
        spectrum = F.conv2d(torch.cat([real, imaginary], 1), weight)  # (N, 2C, r, h)
        bn = self.bn
        assert bn.running_mean is not None
        assert bn.running_var is not None
        mean, var, scale, bias = (_real_first(t, 0) for t in (bn.running_mean, bn.running_var, bn.weight, bn.bias))
        spectrum = F.relu(F.batch_norm(spectrum, mean, var, scale, bias, False, 0.0, bn.eps))
        cos, sin = spectrum @ basis.column_cos, spectrum @ basis.column_sin
        real = (cos[:, : self.channels] - sin[:, self.channels :]).transpose(2, 3)  # (N, C, h, r)
        imaginary = (cos[:, self.channels :] + sin[:, : self.channels]).transpose(2, 3)
        return real @ basis.back_cos - imaginary @ basis.back_sin


class SpectralTransform(nn.Module):
    """(N, C, h, w) -> (N, C, h, w) of the global channels; `channels` is C, half of which are transformed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Sequential(nn.Conv2d(channels, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU())
        self.fu = FourierUnit(half)
        self.conv2 = nn.Conv2d(half, channels, 1, bias=False)

    def forward(self, x: Tensor, basis: FourierBasis) -> Tensor:
        x = self.conv1(x)  # (N, C/2, h, w)
        y: Tensor = self.conv2(x + self.fu(x, basis))
        return y
