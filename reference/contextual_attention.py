"""Contextual attention: a hole's features are rebuilt from patches of the known part.

Paper: Yu, Lin, Yang, Shen, Lu, Huang, "Generative Image Inpainting with Contextual Attention", arXiv 1801.07892. Each
3x3 patch of the thinned-out features (foreground) is compared with each other one (background) by its product with
the background patch over that patch's norm; two diagonal sums let neighbours agree; a softmax over the patches that
know no hole makes weights; the sum of the 4x4 patches of the full features, so weighted, is pasted over them.

Everything is a fixed operation, so that it exports with free sizes: patches come from a convolution with a constant
one-hot kernel, go back through the transposed one, and all comparisons of an item are one matrix product. L is the
number of patches, H/2 * W/2 in features of H by W; one float32 score matrix takes 4 L^2 bytes, 64 MiB for a photo
of 512x512.

Deviations: upstream masks a whole batch by its first item's mask, here each item has its own. Upstream's index of the
picked row, half a row or more rounded up, is computed in float32 with a rounded step; here a half always goes up, so
that every runtime picks the same row (for some odd H/8 one of upstream's rows, mostly the middle one, is the one
before; columns likewise).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RATE = 2
SOFTMAX_SCALE = 10.0
LEAST_NORM = 1e-4
# The mask has the photo's size, the features a quarter of it.
MASK_RATE = 4 * RATE

Pick = Callable[[Tensor, int], Tensor]


def pick_first(x: Tensor, rate: int) -> Tensor:
    """(N, C, rate n, rate m) -> (N, C, n, m): rows and columns 0, rate, 2 rate, ..."""
    return x[:, :, ::rate, ::rate]


class PickSpread:
    """Rows and columns spread evenly from the first to the last, both included: nearest resizing, corners aligned.

    Of n rows, row i is round(i (rate n - 1) / (n - 1)) = rate i + floor((rate - 1) i / (n - 1) + 1/2).

    Args:
        mask: (N, 1, MASK_RATE n, MASK_RATE m), read for its sizes alone.
    """

    def __init__(self, mask: Tensor) -> None:
        ones = pick_first(mask, MASK_RATE) * 0 + 1  # (N, 1, n, m)
        self.steps = [torch.cumsum(line, axis) - 1 for axis, line in ((2, ones[:, :, :, :1]), (3, ones[:, :, :1]))]
        self.last = [step.amax(axis, keepdim=True) for axis, step in zip((2, 3), self.steps, strict=True)]

    def __call__(self, x: Tensor, rate: int) -> Tensor:
        """(N, C, rate n, rate m) -> (N, C, n, m)."""
        shifts = [self._shift(step, last, rate) for step, last in zip(self.steps, self.last, strict=True)]
        x = reduce(add, (x[:, :, k::rate] * self._is(shifts[0], k) for k in range(rate)))  # (N, C, n, rate m)
        return reduce(add, (x[:, :, :, k::rate] * self._is(shifts[1], k) for k in range(rate)))

    @staticmethod
    def _shift(step: Tensor, last: Tensor, rate: int) -> Tensor:
        # Numerator and denominator doubled, and one added: a half lies off the floor's edge, whatever the division.
        return torch.floor((4 * (rate - 1) * step + 2 * last + 1) / (4 * last.clamp(min=1)))

    @staticmethod
    def _is(shift: Tensor, k: int) -> Tensor:
        """1 where the whole number `shift` is k, else 0."""
        return torch.relu(1 - (shift - k).abs())


class ContextualAttention(nn.Module):
    """(N, C, H, W) features and (N, 1, 4H, 4W) mask -> (N, C, H, W); H and W even.

    A photo that is all hole knows no patch: the result is 0.

    Args:
        channels: C.
        fuse: Whether neighbouring scores are summed along the diagonals, in both directions.
        spread: Whether features and mask are thinned out by `PickSpread`, else by `pick_first`.
    """

    fuse_weight: Tensor | None
    small: Tensor
    large: Tensor
    ones: Tensor

    def __init__(self, channels: int, fuse: bool, spread: bool) -> None:
        super().__init__()
        self.channels = channels
        self.spread = spread
        self.register_buffer("fuse_weight", torch.eye(3).reshape(1, 1, 3, 3) if fuse else None)
        self.register_buffer("small", _one_hot(channels, 3), persistent=False)
        self.register_buffer("large", _one_hot(channels, 2 * RATE), persistent=False)
        self.register_buffer("ones", torch.ones(1, 1, 3, 3), persistent=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        pick: Pick = PickSpread(mask) if self.spread else pick_first
        # Sums of nine zeros and ones: 1 where all nine are 0.
        knows = torch.relu(1 - F.conv2d(pick(mask, MASK_RATE), self.ones, padding=1))  # (N, 1, n, m)
        knows = knows.reshape(knows.shape[0], 1, -1)  # (N, 1, L)
        small = F.conv2d(pick(x, RATE), self.small, padding=1, groups=self.channels)  # (N, 9C, n, m)
        n, m = small.shape[2:]
        patches = small.reshape(small.shape[0], 9 * self.channels, -1)  # (N, 9C, L)
        norm = (patches * patches).sum(1, keepdim=True).sqrt().clamp(min=LEAST_NORM)  # (N, 1, L)
        scores = patches.transpose(1, 2) @ (patches / norm)  # (N, L foreground, L background)
        if self.fuse_weight is not None:
            scores = self._fuse(scores, n, m)
        weights = torch.softmax(scores * knows * SOFTMAX_SCALE, 2) * knows  # (N, L, L)
        large = F.conv2d(x, self.large, stride=RATE, padding=1, groups=self.channels)  # (N, 16C, n, m)
        flat = large.reshape(large.shape[0], 16 * self.channels, -1)  # (N, 16C, L)
        pasted = (flat @ weights.transpose(1, 2)).reshape(large.shape)  # (N, 16C, n, m)
        y = F.conv_transpose2d(pasted, self.large, stride=RATE, padding=1, groups=self.channels)  # (N, C, H, W)
        return y / 4  # where four patches overlap

    def _fuse(self, scores: Tensor, n: int, m: int) -> Tensor:
        """Sum each score with those of the patches after and before, counted along rows, then along columns.

        The count runs on over the end of a line, as upstream's does.
        """
        assert self.fuse_weight is not None
        # Upstream's score matrix is background by foreground.
        weight = self.fuse_weight.transpose(2, 3)
        length = scores.shape[1]
        scores = F.conv2d(scores.unsqueeze(1), weight, padding=1)  # (N, 1, L, L)
        scores = scores.reshape(-1, n, m, n, m).permute(0, 2, 1, 4, 3)  # (N, m, n, m, n)
        scores = F.conv2d(scores.reshape(-1, 1, length, length), weight, padding=1)  # (N, 1, L, L)
        scores = scores.reshape(-1, m, n, m, n).permute(0, 2, 1, 4, 3)  # (N, n, m, n, m)
        return scores.reshape(-1, length, length)


def _one_hot(channels: int, size: int) -> Tensor:
    """(channels size^2, 1, size, size): a grouped convolution with it gives each channel's patches, row by row."""
    return torch.eye(size * size).reshape(-1, 1, size, size).repeat(channels, 1, 1, 1)
