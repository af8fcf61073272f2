"""The part of a large photo that is given to the nets: the hole with what is around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.tensors import Array

# A photo of more pixels is cropped around its hole.
WHOLE_PIXELS = 1_500_000
# What is kept around the hole: this share of its larger side, but at least so many pixels.
CONTEXT, LEAST_CONTEXT = 0.5, 128


@dataclass(frozen=True)
class Crop:
    """A rectangle of a picture: rows `top` to `bottom`, columns `left` to `right`, without the last ones."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.bottom - self.top, self.right - self.left

    def cut(self, array: Array) -> Array:
        """The rectangle of an array whose first axes are H and W; a view."""
        return array[self.top : self.bottom, self.left : self.right]


def choose_crop(hole: Array, edits: Array, context: int | None = None, smallest: int = 1) -> Crop:
    """The whole photo, or, of a large one, the hole and the edits in a rectangle with context.

    Args:
        hole: (H, W) bool.
        edits: (H, W); what is not 0 belongs to the rectangle, too.
        context: How many pixels around them belong to it, of a photo of any size; None leaves that to the rules above.
        smallest: The least height and width of the rectangle; the photo has them.
    """
    height, width = hole.shape
    marked = hole | (edits != 0)
    if context is None and hole.size <= WHOLE_PIXELS:
        return Crop(0, height, 0, width)
    if not marked.any():  # any corner will do
        corner = max(LEAST_CONTEXT, smallest)
        return Crop(0, min(height, corner), 0, min(width, corner))
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    if context is None:
        context = max(LEAST_CONTEXT, round(CONTEXT * max(rows[-1] - rows[0], columns[-1] - columns[0])))
    return Crop(*_widen(rows, context, height, smallest), *_widen(columns, context, width, smallest))


def _widen(marked: Array, context: int, size: int, smallest: int) -> tuple[int, int]:
    """The first place and the one after the last, on an axis of `size`, of the marked places with what is around."""
    first, last = max(0, int(marked[0]) - context), min(size, int(marked[-1]) + 1 + context)
    if last - first < smallest:
        first = min(max(0, first - (smallest - (last - first)) // 2), size - smallest)
        last = first + smallest
    return first, last
