"""One photo: from its files to a pipeline's inputs, and from the pipeline's result to the filled photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.errors import PhotoError
from converters.photos.crop import Crop, choose_crop
from converters.photos.image_files import Photo, read_photo
from converters.photos.marks import BY_THE_RULES, Marks, Reading, read_drawing, read_mask
from converters.tensors import Array

# The pipelines' inputs.
PHOTO, MASK, EDITS = "photo", "mask", "edge_edits"


@dataclass(frozen=True)
class Prepared:
    """The contents of a photo's files.

    Attributes:
        photo: The photo.
        hole: (H, W) bool; all of a photo without a mask.
        share: Of the photo that is filled, from 0 to 1; None without a mask.
        edits: (H, W) int8: 1 draws an edge, -1 erases one, 0 leaves it.
        crop: What of the photo is given to the nets.
        notes: What the user may not expect of how the files were read, each beginning with the file.
    """

    photo: Photo
    hole: Array
    share: float | None
    edits: Array
    crop: Crop
    notes: tuple[str, ...]

    @property
    def opaque(self) -> Array:
        """(H, W) bool: where the result keeps none of the photo's transparency."""
        opaque: Array = self.hole & (self.share is not None)
        return opaque


def read_prepared(
    photo_path: Path,
    mask_path: Path | None,
    edits: Sequence[tuple[Path, int]] = (),
    reading: Reading = BY_THE_RULES,
    context: int | None = None,
    smallest: int = 1,
    files: Mapping[Path, bytes] | None = None,
) -> Prepared:
    """Read a photo, its mask and its edits.

    Args:
        photo_path: The photo's file.
        mask_path: The mask's; None for a photo that becomes a picture as a whole.
        edits: Files of lines, the later ones above the earlier, and what they mean in the pipeline's input.
        reading: How the mask is read.
        context: See choose_crop.
        smallest: The least H and W that the pipeline takes.
        files: The files' bytes, if they were read already.

    Raises:
        PhotoError: a file cannot be read, or does not fit.
    """
    files = files or {}
    photo = read_photo(photo_path, files.get(photo_path))
    height, width = size = photo.rgb.shape[0], photo.rgb.shape[1]
    if min(size) < smallest:
        raise PhotoError(photo_path, f"it is {width}x{height} pixels", f"Give {smallest} or more on each side")
    notes = [f"{photo_path}: {note}" for note in photo.notes]
    lines = np.zeros(size, np.int8)
    if mask_path is None:
        return Prepared(photo, np.ones(size, np.bool_), None, lines, Crop(0, height, 0, width), tuple(notes))
    mask = read_mask(mask_path, photo, reading, files.get(mask_path))
    notes += _list_notes(mask_path, mask, "the hole is {:.1f} % of the photo")
    for path, value in edits:
        drawing = read_drawing(path, photo, files.get(path))
        lines[drawing.marked] = value
        notes += _list_notes(path, drawing, "{:.1f} % of the photo is lines")
    crop = choose_crop(mask.marked, lines, context, smallest)
    if crop.size != size:
        notes.append(
            f"{photo_path}: the nets get {crop.size[1]}x{crop.size[0]} of its {width}x{height} pixels, around the hole"
        )
    return Prepared(photo, mask.marked, mask.share, lines, crop, tuple(notes))


def _list_notes(path: Path, marks: Marks, said: str) -> list[str]:
    return [f"{path}: {said.format(100 * marks.share)}", *(f"{path}: {note}" for note in marks.notes)]


def make_feeds(given: Prepared, names: Sequence[str]) -> dict[str, Array]:
    """The pipeline's inputs of these names, with N = 1."""
    arrays = {PHOTO: given.photo.rgb, MASK: given.hole.astype(np.uint8), EDITS: given.edits}
    return {name: np.ascontiguousarray(given.crop.cut(arrays[name]))[None] for name in names}


def paste(given: Prepared, result: Array) -> Array:
    """The filled photo, (H, W, 3) uint8.

    Args:
        given: The photo.
        result: (h, w, 3) uint8, what the pipeline made of the crop.
    """
    filled: Array = given.photo.rgb.copy()
    given.crop.cut(filled)[:] = result
    return filled
