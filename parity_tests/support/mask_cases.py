"""One table of masks as people have them, which Python and the C++ program read by the same rules.

Every mask is of the same hole: a disc, 8.4 % of the picture, unless its row says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Array = NDArray[np.uint8]
SIZE = (96, 130)
ROWS, COLUMNS = np.indices(SIZE)
DISC = (ROWS - 40) ** 2 + (COLUMNS - 60) ** 2 <= 18.3**2
NOTHING, EVERYTHING = np.zeros(SIZE, bool), np.ones(SIZE, bool)
WHITE_DISC: Array = (DISC * 255).astype(np.uint8)


@dataclass(frozen=True)
class MaskCase:
    """A mask file.

    Attributes:
        name: Of the case.
        write: Writes the file, at the path without suffix, and gives its path.
        hole: What must be read, to the rim.
        said: A piece of what is said of it.
        rim: Whether pixels beside the hole's edge may be read either way.
        in_cpp: Whether the C++ program reads such files.
    """

    name: str
    write: Callable[[Path], Path]
    hole: NDArray[np.bool_]
    said: str
    rim: bool = False
    in_cpp: bool = True

    def __str__(self) -> str:
        return self.name


def save(
    array: NDArray[np.generic], suffix: str = ".png", mode: str | None = None, **options: object
) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        image = Image.fromarray(array)
        image = image if mode is None else image.convert(mode)
        image.save(path.with_suffix(suffix), **options)
        return path.with_suffix(suffix)

    return write


def layer(paint: tuple[int, int, int], alpha: Array) -> Array:
    return np.dstack([np.full((*SIZE, 3), paint, np.uint8), alpha])


SOFT: Array = np.asarray(Image.fromarray(WHITE_DISC).filter(ImageFilter.GaussianBlur(3)))
PICTURE: Array = np.dstack([ROWS * 2, COLUMNS, (ROWS * COLUMNS) % 251]).astype(np.uint8)
PALETTE = Image.fromarray(DISC.astype(np.uint8), "P")
PALETTE.putpalette([0, 0, 0, 200, 30, 30])
THREE: Array = np.where(DISC, 255, np.where(COLUMNS < 20, 60, 0)).astype(np.uint8)


def save_palette(path: Path) -> Path:
    PALETTE.save(path.with_suffix(".png"))
    return path.with_suffix(".png")


CASES = (
    MaskCase("0 and 255", save(WHITE_DISC), DISC, "of its two levels, 0 and 255 of 255"),
    MaskCase("0 and 1", save(DISC.astype(np.uint8)), DISC, "of its two levels, 0 and 1 of 255"),
    MaskCase("1 and 255", save(np.maximum(WHITE_DISC, 1)), DISC, "of its two levels, 1 and 255 of 255"),
    MaskCase("100 and 200", save(WHITE_DISC // 255 * 100 + 100), DISC, "none of it is black"),
    MaskCase("1 bit", save(WHITE_DISC, mode="1"), DISC, "of its two levels"),
    MaskCase("palette", save_palette, DISC, "of its two levels, 0 and 200 of 255"),
    MaskCase("colour", save(np.dstack([WHITE_DISC, WHITE_DISC * 0, WHITE_DISC * 0])), DISC, "two levels"),
    MaskCase("16 bits, 0 and 65535", save(WHITE_DISC.astype(np.uint16) * 257), DISC, "0 and 65535 of 65535"),
    MaskCase("16 bits, 0 and 1", save(DISC.astype(np.uint16)), DISC, "0 and 1 of 65535"),
    MaskCase("16 bits, 0 and 255", save(WHITE_DISC.astype(np.uint16)), DISC, "0 and 255 of 65535"),
    MaskCase("JPEG", save(WHITE_DISC, ".jpg", quality=75), DISC, "those above 127.5 are marked", rim=True),
    MaskCase("poor JPEG", save(WHITE_DISC, ".jpg", quality=20), DISC, "are marked", rim=True),
    MaskCase("lossy WebP", save(WHITE_DISC, ".webp", mode="RGB", quality=60), DISC, "are marked", True, in_cpp=False),
    MaskCase("soft brush", save(SOFT), DISC, "levels, 0 to 25", rim=True),
    MaskCase("grey and white", save(THREE), DISC, "it has 3 levels, 0 to 255 of 255: those above 127.5 are marked"),
    MaskCase("dimmed, three levels", save(THREE // 2), DISC, "0 to 127 of 255: those above 63.5 are marked"),
    MaskCase("dark on white", save(255 - WHITE_DISC), ~DISC, "if it is what is dark in the mask, give --invert"),
    MaskCase("paint on a layer", save(layer((255, 255, 255), WHITE_DISC)), DISC, "painted on its transparent layer"),
    MaskCase("black paint on a layer", save(layer((0, 0, 0), WHITE_DISC)), DISC, "painted on its transparent layer"),
    MaskCase(
        "soft paint on a layer", save(layer((255, 0, 0), SOFT)), DISC, "painted on its transparent layer", rim=True
    ),
    MaskCase("erased from a picture", save(np.dstack([PICTURE, 255 - WHITE_DISC])), DISC, "what was erased from"),
    MaskCase(
        "black and white on a layer",
        save(np.dstack([*[WHITE_DISC] * 3, np.where(COLUMNS < 9, 0, 255).astype(np.uint8)])),
        DISC,
        "what is transparent counts as black; of its two levels",
    ),
    MaskCase("opaque alpha", save(np.dstack([*[WHITE_DISC] * 3, np.full(SIZE, 255, np.uint8)])), DISC, "two levels"),
    MaskCase("empty", save(NOTHING.astype(np.uint8)), NOTHING, "there is no hole"),
    MaskCase("empty, noisy", save((ROWS * COLUMNS % 5).astype(np.uint8)), NOTHING, "levels 0 to 4 of 255 alone"),
    MaskCase("empty, transparent", save(layer((0, 0, 0), NOTHING.astype(np.uint8))), NOTHING, "there is no hole"),
    MaskCase("full", save(np.full(SIZE, 255, np.uint8)), EVERYTHING, "there is nothing but hole"),
    MaskCase("black of 1", save(np.full(SIZE, 1, np.uint8)), NOTHING, "it is of level 1 of 255 alone"),
    MaskCase(
        "nearly everything",
        save(np.where(ROWS > 1, 255, 0).astype(np.uint8)),
        ROWS > 1,
        "the hole is nearly everything",
    ),
)


def is_right(marked: NDArray[np.bool_], case: MaskCase) -> bool:
    """Whether the hole is read; where the case has a rim, but for pixels beside the hole's edge."""
    wrong = marked != case.hole
    if case.rim:
        padded = np.pad(case.hole, 1, mode="edge")
        near = np.stack([padded[y : y + SIZE[0], x : x + SIZE[1]] for y in range(3) for x in range(3)])
        wrong &= near.all(axis=0) | ~near.any(axis=0)
    return not wrong.any()
