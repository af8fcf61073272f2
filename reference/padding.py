"""Reflect padding of planes to a multiple, and the crop that undoes it, by index: sizes may be free."""

from __future__ import annotations

import torch
from torch import Tensor


def pad(x: Tensor, multiple: int) -> Tensor:
    """(N, C, H, W) -> (N, C, H', W'): reflect padding at the bottom and the right to multiples of `multiple`.

    H and W must be at least `multiple`, or multiples of it.
    """
    for axis in (2, 3) if multiple > 1 else ():
        size = x.shape[axis]
        index = torch.arange((size + multiple - 1) // multiple * multiple, device=x.device)
        x = x.index_select(axis, torch.where(index < size, index, 2 * (size - 1) - index))
    return x


def crop(x: Tensor, height: int, width: int) -> Tensor:
    """The first `height` rows and `width` columns of x (N, C, H', W')."""
    for axis, size in ((2, height), (3, width)):
        x = x.index_select(axis, torch.arange(size, device=x.device))
    return x
