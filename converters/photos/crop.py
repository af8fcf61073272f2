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


def choose_crop(hole: Array, edits: Array) -> Crop:
    """The whole photo, or, of a large one, the hole and the edits in a rectangle with context.

    Args:
        hole: (H, W) bool.
        edits: (H, W); what is not 0 belongs to the rectangle, too.
    """
    height, width = hole.shape
    marked = hole | (edits != 0)
    if hole.size <= WHOLE_PIXELS:
        return Crop(0, height, 0, width)
    if not marked.any():  # any corner will do
        return Crop(0, min(height, LEAST_CONTEXT), 0, min(width, LEAST_CONTEXT))
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    context = max(LEAST_CONTEXT, round(CONTEXT * max(rows[-1] - rows[0], columns[-1] - columns[0])))
    return Crop(
        max(0, int(rows[0]) - context),
        min(height, int(rows[-1]) + 1 + context),
        max(0, int(columns[0]) - context),
        min(width, int(columns[-1]) + 1 + context),
    )
