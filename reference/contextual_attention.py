"""Contextual attention: rebuild the features of a hole from patches of the known part.

Paper: Yu, Lin, Yang, Shen, Lu, Huang, "Generative Image Inpainting with Contextual Attention", arXiv 1801.07892:

1. Subsample the features by 2 and cut them into 3x3 patches. Every patch is once a foreground patch f, which is to be
   rebuilt, and once a background patch b, to copy from.
2. The score of a pair is the dot product f . b / |b|.
3. With `fuse`, two diagonal sums make neighbouring foreground patches prefer neighbouring background patches.
4. A softmax over the background patches that touch no hole turns scores into weights.
5. Each foreground patch becomes the weighted sum of the 4x4 patches of the full features; overlaps are averaged.

The module uses only operators that export with free sizes: a convolution with a constant one-hot kernel cuts out
patches, the transposed convolution pastes them, and one matrix product per item compares all pairs. L is the number of
patches, H/2 * W/2 for features of H by W. One float32 score matrix takes 4 L^2 bytes: 64 MiB for a photo of 512x512.

Deviations:
* Upstream masks a whole batch by its first item's mask; here each item has its own mask.
* Subsampling with `spread` needs the index of a row, rounded half up. Upstream computes it in float32 with a rounded
  step. Here a half always goes up, so that every runtime takes the same row. For some odd H/8, one of upstream's rows,
  mostly the middle one, is the row before; the same holds for columns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Subsampling rate of the features.
RATE = 2
# Subsampling rate of the mask: the photo and its mask are four times as high and wide as the features.
MASK_RATE = 4 * RATE
SOFTMAX_SCALE = 10.0
MIN_NORM = 1e-4
FUSE_KERNEL = torch.eye(3).reshape(1, 1, 3, 3)

Pick = Callable[[Tensor, int], Tensor]


def pick_first(x: Tensor, rate: int) -> Tensor:
    """(N, C, rate n, rate m) -> (N, C, n, m): rows and columns 0, rate, 2 rate, ..."""
    return x[:, :, ::rate, ::rate]


class PickSpread:
    """Subsampling that spreads rows and columns evenly from the first to the last, both included.

    This is nearest resizing with aligned corners. For n rows, row i of the result is row
    round(i (rate n - 1) / (n - 1)) = rate i + floor((rate - 1) i / (n - 1) + 1/2) of the input.

    The second term, the shift, is in 0..rate - 1. The row is selected without an index, as the sum of the rows
    rate i + k over k, each times 1 or 0: sizes stay free in the exported graph.

    Args:
        mask: (N, 1, MASK_RATE n, MASK_RATE m), of which only the sizes matter.
    """

    def __init__(self, mask: Tensor) -> None:
        ones = pick_first(mask, MASK_RATE) * 0 + 1  # (N, 1, n, m)
        # i for every row, (N, 1, n, 1), and for every column, (N, 1, 1, m).
        self.indices = [torch.cumsum(line, axis) - 1 for axis, line in ((2, ones[:, :, :, :1]), (3, ones[:, :, :1]))]
        self.last = [index.amax(axis, keepdim=True) for axis, index in zip((2, 3), self.indices, strict=True)]

    def __call__(self, x: Tensor, rate: int) -> Tensor:
        """(N, C, rate n, rate m) -> (N, C, n, m)."""
        shifts = [self._shift(index, last, rate) for index, last in zip(self.indices, self.last, strict=True)]
        x = reduce(add, (x[:, :, k::rate] * self._is(shifts[0], k) for k in range(rate)))  # (N, C, n, rate m)
        return reduce(add, (x[:, :, :, k::rate] * self._is(shifts[1], k) for k in range(rate)))

    @staticmethod
    def _shift(index: Tensor, last: Tensor, rate: int) -> Tensor:
        """floor((rate - 1) i / (n - 1) + 1/2), with last = n - 1."""
        # Over the common denominator 4 (n - 1), the 1 added to the numerator makes it odd. The quotient is then never a
        # whole number, so that a rounded division cannot fall below one; the floor stays the same.
        return torch.floor((4 * (rate - 1) * index + 2 * last + 1) / (4 * last.clamp(min=1)))

    @staticmethod
    def _is(shift: Tensor, k: int) -> Tensor:
        """1 where `shift`, a whole number, equals k; else 0."""
        return torch.relu(1 - (shift - k).abs())


class ContextualAttention(nn.Module):
    """(N, C, H, W) features and (N, 1, 4H, 4W) mask, 1 in the hole -> (N, C, H, W); H and W even.

    If every patch touches the hole, the result is 0.

    Args:
        channels: C.
        fuse: Whether to sum the scores of neighbouring pairs of patches.
        spread: Whether `PickSpread` subsamples features and mask; otherwise `pick_first` does.
    """

    fuse_weight: Tensor | None
    small: Tensor
    large: Tensor
    ones: Tensor

    def __init__(self, channels: int, fuse: bool, spread: bool) -> None:
        super().__init__()
        self.channels = channels
        self.spread = spread
        self.register_buffer("fuse_weight", FUSE_KERNEL.clone() if fuse else None)
        self.register_buffer("small", _one_hot(channels, 3), persistent=False)
        self.register_buffer("large", _one_hot(channels, 2 * RATE), persistent=False)
        self.register_buffer("ones", torch.ones(1, 1, 3, 3), persistent=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        pick: Pick = PickSpread(mask) if self.spread else pick_first
        # The convolution counts the hole's pixels in a patch. The result is 1 if there are none, else 0.
        known = torch.relu(1 - F.conv2d(pick(mask, MASK_RATE), self.ones, padding=1))  # (N, 1, n, m)
        known = known.reshape(known.shape[0], 1, -1)  # (N, 1, L)
        small = F.conv2d(pick(x, RATE), self.small, padding=1, groups=self.channels)  # (N, 9C, n, m)
        n, m = small.shape[2:]
        patches = small.reshape(small.shape[0], 9 * self.channels, -1)  # (N, 9C, L)
        norm = (patches * patches).sum(1, keepdim=True).sqrt().clamp(min=MIN_NORM)  # (N, 1, L)
        scores = patches.transpose(1, 2) @ (patches / norm)  # (N, L foreground, L background)
        if self.fuse_weight is not None:
            scores = self._fuse(scores, n, m)
        weights = torch.softmax(scores * known * SOFTMAX_SCALE, 2) * known  # (N, L, L)
        large = F.conv2d(x, self.large, stride=RATE, padding=1, groups=self.channels)  # (N, 16C, n, m)
        flat = large.reshape(large.shape[0], 16 * self.channels, -1)  # (N, 16C, L)
        pasted = (flat @ weights.transpose(1, 2)).reshape(large.shape)  # (N, 16C, n, m)
        y = F.conv_transpose2d(pasted, self.large, stride=RATE, padding=1, groups=self.channels)  # (N, C, H, W)
        return y / 4  # four patches overlap on each pixel

    def _fuse(self, scores: Tensor, n: int, m: int) -> Tensor:
        """Add to each score (f, b) those of (f - 1, b - 1) and (f + 1, b + 1).

        Patches are numbered row by row for the first sum, and column by column for the second one. The last patch of a
        line and the first one of the next line count as neighbours, as in upstream.

        Args:
            scores: (N, L foreground, L background).
            n: Rows of patches.
            m: Columns of patches; L = n m.
        """
        assert self.fuse_weight is not None
        # Upstream's score matrix, and with it the stored kernel, is background by foreground.
        weight = self.fuse_weight.transpose(2, 3)
        length = scores.shape[1]
        scores = F.conv2d(scores.unsqueeze(1), weight, padding=1)  # (N, 1, L, L)
        scores = scores.reshape(-1, n, m, n, m).permute(0, 2, 1, 4, 3)  # (N, m, n, m, n)
        scores = F.conv2d(scores.reshape(-1, 1, length, length), weight, padding=1)  # (N, 1, L, L)
        scores = scores.reshape(-1, m, n, m, n).permute(0, 2, 1, 4, 3)  # (N, n, m, n, m)
        return scores.reshape(-1, length, length)


def _one_hot(channels: int, size: int) -> Tensor:
    """A kernel (channels size^2, 1, size, size) for a convolution with `channels` groups that cuts out patches.

    The convolution's output has each channel's size^2 patch elements, row by row, as its channels.
    """
    return torch.eye(size * size).reshape(-1, 1, size, size).repeat(channels, 1, 1, 1)
