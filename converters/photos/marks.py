"""Read which pixels of an image are marked: a mask's hole, or the lines of a drawing.

People's masks are not of two values alone. They are saved as JPEG, painted with soft brushes, drawn on transparent
layers, or made by erasing a part of the photo. consumers/cpp/programs/marks.cpp reads them by the same rules, and one
table of cases tests both.

1. An image of which some pixels are more than half transparent is a layer. If what is left of it is of one colour, that
   was painted, and is marked. If it is of many colours, it is a picture, and what was erased is marked. Otherwise its
   transparent pixels count as black, and the rules below hold.
2. The level of a pixel is the largest of its channels.
3. Of two levels, the higher one is marked. Of one level, all or nothing is, by whether it is nearer to white.
4. Of more levels, those above the middle of the lowest and the highest are marked. If these are closer than an eighth
   of the range, they count as one level, as the noise of an empty mask does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.errors import PhotoError
from converters.photos.image_files import Photo, read_picture, turn
from converters.tensors import Array

# Alpha below it is transparent.
HALF = 128
# A picture is of more colours than this, at 4 bits a channel.
PAINT_COLOURS = 8
WHITE, WHITE_16_BIT = 255, 65535
# The share of the range that levels must span to be told apart.
LEAST_CONTRAST = 1 / 8
# Shares of a mask above which a word is said.
MUCH, MUCH_OF_A_DRAWING, MOST = 0.9, 0.25, 0.5
# Of the sides of a mask that is to be scaled, relative to the photo's.
ASPECT_TOLERANCE = 0.01


@dataclass(frozen=True)
class Marks:
    """What an image marks.

    Attributes:
        marked: (H, W) bool.
        notes: How it was read, and what looks odd about it, in words.
    """

    marked: Array
    notes: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Of the pixels that are marked, from 0 to 1."""
        return float(self.marked.mean())


@dataclass(frozen=True)
class Reading:
    """How the user wants a mask to be read.

    Attributes:
        resize: Whether a mask of another size is scaled to the photo's, by nearest neighbour.
        threshold: From 0 to 255; levels above it are marked. None for the rules above.
        invert: Whether what is not marked is the hole.
    """

    resize: bool = False
    threshold: int | None = None
    invert: bool = False


BY_THE_RULES = Reading()


def read_mask(path: Path, photo: Photo, reading: Reading = BY_THE_RULES, data: bytes | None = None) -> Marks:
    """Read a mask; `data` is the file's bytes, if they were read already.

    Raises:
        PhotoError: the file cannot be read, or does not fit the photo.
    """
    marks = _fit(path, _read_marks(path, reading.threshold, data), photo, reading.resize)
    marked = ~marks.marked if reading.invert else marks.marked
    return Marks(marked, (*marks.notes, *_doubt_mask(marked)))


def read_drawing(path: Path, photo: Photo, data: bytes | None = None) -> Marks:
    """Read a line drawing; `data` is the file's bytes, if they were read already.

    Raises:
        PhotoError: the file cannot be read, or does not fit the photo.
    """
    marks = _fit(path, _read_marks(path, None, data), photo, resize=False)
    if marks.share > MUCH_OF_A_DRAWING:
        return Marks(marks.marked, (*marks.notes, "this is much for lines: is it a drawing on black?"))
    return Marks(marks.marked, marks.notes)


@dataclass(frozen=True)
class _Stored:
    """Marks as the file stores them, turned upright by its own EXIF orientation."""

    marked: Array
    notes: tuple[str, ...]
    orientation: int


def _read_marks(path: Path, threshold: int | None, data: bytes | None) -> _Stored:
    picture = read_picture(path, data)
    image, white, alpha = picture.image, WHITE, None
    if image.mode.startswith("I"):
        levels, white = np.asarray(image).clip(0, WHITE_16_BIT).astype(np.uint16), WHITE_16_BIT
    elif image.mode == "L" and "transparency" not in image.info:
        levels = np.asarray(image)
    else:
        pixels = np.asarray(image.convert("RGBA"))
        levels, alpha = pixels[..., :3].max(axis=2), pixels[..., 3]
    if threshold is not None:
        seen = True if alpha is None else alpha >= HALF
        marked, how = (levels > threshold * (white // WHITE)) & seen, f"levels above {threshold} of {WHITE} are marked"
    elif alpha is not None and (alpha < HALF).any():
        marked, how = _read_layer(pixels, levels)
    else:
        marked, how = _cut(levels, white)
    return _Stored(marked, (*picture.notes, how), picture.orientation)


def _read_layer(pixels: Array, levels: Array) -> tuple[Array, str]:
    """Rule 1. `pixels` is (H, W, 4), RGBA."""
    seen = pixels[..., 3] >= HALF
    colours = len(np.unique(pixels[seen][:, :3] >> 4, axis=0))
    if colours == 1:
        return seen, "what is painted on its transparent layer is marked"
    if colours > PAINT_COLOURS:
        return ~seen, "what was erased from the picture is marked"
    marked, how = _cut(np.where(seen, levels, 0), WHITE)
    return marked, f"what is transparent counts as black; {how}"


def _cut(levels: Array, white: int) -> tuple[Array, str]:
    """Rules 3 and 4."""
    values = np.unique(levels)
    low, high = int(values[0]), int(values[-1])
    no_black = "; none of it is black" if low >= white * LEAST_CONTRAST else ""
    if len(values) == 2:
        return levels == high, f"of its two levels, {low} and {high} of {white}, the higher one is marked{no_black}"
    if high - low < white * LEAST_CONTRAST:
        is_white = low + high > white
        levels_said = f"level {low}" if low == high else f"levels {low} to {high}"
        return np.full(levels.shape, is_white), f"it is of {levels_said} of {white} alone, which counts as " + (
            "white" if is_white else "black"
        )
    middle = (low + high) / 2
    said = f"it has {len(values)} levels, {low} to {high} of {white}: those above {middle:g} are marked"
    return levels > middle, said + no_black


def _fit(path: Path, stored: _Stored, photo: Photo, resize: bool) -> Marks:
    """The marks in the photo's size.

    A mask that was made from the stored pixels of a rotated photo is turned with it.

    Raises:
        PhotoError: it has another size, and is not to be scaled, or another shape.
    """
    from PIL import Image

    marked, notes, size = stored.marked, stored.notes, photo.rgb.shape[:2]
    if marked.shape == size:
        return Marks(marked, notes)
    turned = np.asarray(turn(Image.fromarray(marked), photo.orientation))
    if turned.shape == size and stored.orientation == 1:
        return Marks(turned, (*notes, "it is turned with the photo, whose EXIF block says that it is rotated"))
    said = f"it is {marked.shape[1]}x{marked.shape[0]} pixels, the photo {size[1]}x{size[0]}"
    if not resize:
        raise PhotoError(path, said, "Give both the same size, or scale the mask with --resize-mask")
    if abs(marked.shape[0] * size[1] / (marked.shape[1] * size[0]) - 1) > ASPECT_TOLERANCE:
        raise PhotoError(path, f"{said}: of another shape, so that scaled marks would lie elsewhere", "Crop it first")
    scaled = Image.fromarray(marked).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return Marks(np.asarray(scaled), (*notes, f"scaled from {marked.shape[1]}x{marked.shape[0]} pixels"))


def _doubt_mask(marked: Array) -> tuple[str, ...]:
    """What is odd about a mask, in words; most often nothing."""
    share = float(marked.mean())
    if share in (0, 1):
        return ("there is no hole" if share == 0 else "there is nothing but hole",)
    edge = np.concatenate([marked[0], marked[-1], marked[:, 0], marked[:, -1]])
    if share > MOST and edge.all():
        return ("the hole takes the whole edge: if it is what is dark in the mask, give --invert",)
    return ("the hole is nearly everything",) if share > MUCH else ()
