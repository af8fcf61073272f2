"""Contextual attention: rebuild the features of a hole from patches of the known part.

Paper: Yu, Lin, Yang, Shen, Lu, Huang, "Generative Image Inpainting with Contextual Attention", arXiv 1801.07892:

1. Subsample the features by 2 and cut them into 3x3 patches. Every patch is once a foreground patch f, which is to be
   rebuilt, and once a background patch b, to copy from.
2. The score of a pair is the dot product f . b / |b|.
3. With `fuse`, two diagonal sums make neighbouring foreground patches prefer neighbouring background patches.
4. A softmax over the background patches that touch no hole turns scores into weights.
5. Each foreground patch becomes the weighted sum of the 4x4 patches of the full features; overlaps are averaged.

The module uses only operators that export with free sizes: a convolution with a constant one-hot kernel cuts out
patches, the transposed convolution pastes them, and matrix products compare all pairs. L is the number of patches,
H/2 * W/2 for features of H by W. One float32 matrix of all scores takes 4 L^2 bytes: 1 GiB for a photo of 1024x1024.
The foreground is therefore taken in blocks of columns, one after another.

Deviations:
* Upstream masks a whole batch by its first item's mask; here each item has its own mask.
* Subsampling with `spread` needs the index of a row, rounded half up. Upstream computes it in float32 with a rounded
  step. Here a half always goes up, so that every runtime takes the same row. For some odd H/8, one of upstream's rows,
  mostly the middle one, is the row before; the same holds for columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Blocks of foreground columns whose scores are computed one after another.
BLOCKS = 8
# Columns at either side of a block that the two sums of `fuse` reach.
HALO = 2
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
        ones = torch.ones_like(pick_first(mask, MASK_RATE))  # (N, 1, n, m)
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
        fuse: The kernel (1, 1, 3, 3) that sums the scores of neighbouring pairs of patches, FUSE_KERNEL in published
            files; None for no sums.
        spread: Whether `PickSpread` subsamples features and mask; otherwise `pick_first` does.
    """

    small: Tensor
    large: Tensor
    ones: Tensor

    def __init__(self, channels: int, fuse: Tensor | None, spread: bool) -> None:
        super().__init__()
        self.channels = channels
        # Upstream's score matrix, and with it the stored kernel, is background by foreground.
        self.fuse = [] if fuse is None else fuse[0, 0].T.tolist()
        self.spread = spread
        self.register_buffer("small", _one_hot(channels, 3), persistent=False)
        self.register_buffer("large", _one_hot(channels, 2 * RATE), persistent=False)
        self.register_buffer("ones", torch.ones(1, 1, 3, 3), persistent=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        pick: Pick = PickSpread(mask) if self.spread else pick_first
        # The convolution counts the hole's pixels in a patch. The result is 1 if there are none, else 0.
        known = torch.relu(1 - F.conv2d(pick(mask, MASK_RATE), self.ones, padding=1))  # (N, 1, n, m)
        small = F.conv2d(pick(x, RATE), self.small, padding=1, groups=self.channels)  # (N, 9C, n, m)
        n, m = small.shape[2:]
        patches = small.reshape(small.shape[0], 9 * self.channels, -1)  # (N, 9C, L)
        norm = (patches * patches).sum(1, keepdim=True).sqrt().clamp(min=MIN_NORM)  # (N, 1, L)
        background = patches / norm  # (N, 9C, L), row by row
        large = F.conv2d(x, self.large, stride=RATE, padding=1, groups=self.channels)  # (N, 16C, n, m)
        # What is summed over the background patches is numbered column by column, as the fused scores are.
        flat = large.transpose(2, 3).reshape(large.shape[0], 16 * self.channels, -1)  # (N, 16C, L)
        known = known.transpose(2, 3).reshape(known.shape[0], 1, -1)  # (N, 1, L)
        pasted = []
        for scores in self._score(small, background):  # (N, c n foreground, L background), both column by column
            weights = torch.softmax(scores * (known * SOFTMAX_SCALE), 2) * known
            part = flat @ weights.transpose(1, 2)  # (N, 16C, c n)
            pasted.append(part.reshape(part.shape[0], part.shape[1], -1, n))  # (N, 16C, c, n)
        whole = torch.cat(pasted, 2)[:, :, :m].transpose(2, 3)  # (N, 16C, n, m)
        y = F.conv_transpose2d(whole, self.large, stride=RATE, padding=1, groups=self.channels)  # (N, C, H, W)
        return y / 4  # four patches overlap on each pixel

    def _score(self, small: Tensor, background: Tensor) -> Iterator[Tensor]:
        """The scores of one block of foreground columns after another, so that memory holds one block's.

        Args:
            small: The patches, (N, 9C, n, m).
            background: The patches over their norms, (N, 9C, n m), row by row.

        Yields:
            (N, c n, n m), both sides numbered column by column; c = ceil(m / BLOCKS), or one more for the halo. The
            columns beyond m are zeros.
        """
        n, m = small.shape[2:]
        if not self.fuse:
            columnwise = background.reshape(*small.shape).transpose(2, 3).flatten(2)
            for window in _unbind(_cut(small)):
                yield window.transpose(2, 3).flatten(2).transpose(1, 2) @ columnwise
            return
        # The sums reach two columns beyond a block. Left of a row lies the end of the row above, right of it the
        # beginning of the row below; of those the first column counts only, see `inside`.
        above = F.pad(small[:, :, :, -1:], (1, 0, 1, 0))[:, :, :-1]  # (N, 9C, n, 2)
        below = F.pad(small[:, :, :, :1], (0, 1, 0, 1))[:, :, 1:]
        wide = torch.cat([above, small, below], 3)  # (N, 9C, n, m + 4)
        inside = F.pad(small[:, :1] * 0 + 1, (HALO, HALO))  # (N, 1, n, m + 4)
        for window in _cut_overlapping(torch.cat([wide, inside], 1)):
            scores = window[:, :-1].flatten(2).transpose(1, 2) @ background  # (N, n (c + 4), L)
            yield self._fuse(scores, window[:, -1:, :, 1:-1], n, m)

    def _fuse(self, scores: Tensor, inside: Tensor, n: int, m: int) -> Tensor:
        """Add to each score (f, b) those of (f - 1, b - 1) and (f + 1, b + 1).

        Patches are numbered row by row for the first sum, and column by column for the second one. The last patch of a
        line and the first one of the next line count as neighbours, as in upstream.

        Args:
            scores: (N, n (c + 4) foreground, L background), row by row: a block with two columns at either side.
            inside: (N, 1, n, c + 2), 0 for a column beyond the plane, else 1.
            n: Rows of patches.
            m: Columns of patches; L = n m.

        Returns:
            (N, c n, L), column by column.
        """
        batch, _, length = scores.shape
        width = inside.shape[3]  # c + 2
        scores = scores.reshape(batch, n, width + 2, length)
        scores = self._add_neighbours(scores) * inside.squeeze(1).unsqueeze(3)  # (N, n, c + 2, L)
        scores = scores.reshape(batch, n, width, n, m).permute(0, 2, 1, 4, 3)  # (N, c + 2, n, m, n)
        scores = F.pad(scores.reshape(batch, 1, width * n, length), (0, 0, 1, 1))
        scores = self._add_neighbours(scores).reshape(batch, width, n, length)  # (N, c + 2, n, L)
        return scores[:, 1:-1].flatten(1, 2)

    def _add_neighbours(self, scores: Tensor) -> Tensor:
        """(N, K, F + 2, B) -> (N, K, F, B): a convolution with the kernel, with zeros beside the background patches.

        Not as a convolution: of one channel, runtimes make the 8 or 16 that a processor's vector holds.
        """
        padded = F.pad(scores, (1, 1))
        terms = []
        for f, row in enumerate(self.fuse):
            for b, weight in enumerate(row):
                if weight or f == b == 1:
                    shifted = padded[:, :, f : f - 2 or None, b : b - 2 or None]
                    terms.append(shifted if weight == 1 else shifted * weight)
        return reduce(add, terms)


def _cut(x: Tensor) -> Tensor:
    """(N, C, n, m) -> (N, C, n, BLOCKS, c), c = ceil(m / BLOCKS): the columns in blocks; beyond m there are zeros.

    A convolution gathers columns 0, BLOCKS, ..., then 1, BLOCKS + 1, ...: so m stays free in every target.
    """
    channels, n = x.shape[1:3]
    kernel = torch.eye(BLOCKS, dtype=x.dtype).reshape(BLOCKS, 1, 1, BLOCKS).repeat(channels, 1, 1, 1)
    strided = F.conv2d(F.pad(x, (0, BLOCKS - 1)), kernel, stride=(1, BLOCKS), groups=channels)  # (N, 8 C, n, c)
    strided = strided.reshape(x.shape[0], channels, BLOCKS, n, -1).permute(0, 1, 3, 4, 2)  # (N, C, n, c, 8)
    return strided.reshape(x.shape[0], channels, n, BLOCKS, -1)


def _unbind(blocks: Tensor) -> list[Tensor]:
    """(N, C, n, K, c) -> K times (N, C, n, c)."""
    return [blocks[:, :, :, k : k + 1].squeeze(3) for k in range(blocks.shape[3])]


def _cut_overlapping(x: Tensor) -> list[Tensor]:
    """(N, C, n, m) -> BLOCKS times (N, C, n, c + 2 HALO), each with the first columns of the next block as its last."""
    firsts = [_cut(F.pad(x[:, :, :, j:], (0, j)))[:, :, :, 1:, :1] for j in range(2 * HALO)]
    following = torch.cat(firsts, 4)  # (N, C, n, BLOCKS - 1, 4); none follows the last block
    blocks = _cut(x)
    with_next = _unbind(torch.cat([blocks[:, :, :, :-1], following], 4))
    return [*with_next, F.pad(blocks[:, :, :, -1:].squeeze(3), (0, 2 * HALO))]


def _one_hot(channels: int, size: int) -> Tensor:
    """A kernel (channels size^2, 1, size, size) for a convolution with `channels` groups that cuts out patches.

    The convolution's output has each channel's size^2 patch elements, row by row, as its channels.
    """
    return torch.eye(size * size).reshape(-1, 1, size, size).repeat(channels, 1, 1, 1)
