"""One photo: from the files of a request to the net's arrays, and back to a PNG."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.errors import GanportError, PhotoError
from converters.photos.crop import Crop, choose_crop
from converters.photos.image_files import Photo, read_photo, write_photo
from converters.photos.marks import read_drawing, read_mask
from converters.runners import Runner
from converters.tensors import Array

# The parts of a request, and the value that lines have in the net's input.
PHOTO, MASK = "photo", "mask"
LINES = {"erase": -1, "draw": 1}
EDITS = "edge_edits"


@dataclass(frozen=True)
class Work:
    """A photo that was read.

    Attributes:
        photo: The photo.
        hole: (H, W) bool; nothing where the net makes a picture of the whole photo.
        crop: The part that the net gets.
        feeds: The net's inputs, N = 1.
    """

    photo: Photo
    hole: Array
    crop: Crop
    feeds: Mapping[str, Array]


def list_parts(names: list[str]) -> tuple[str, ...]:
    """The parts of a request that a net with these inputs takes; those that it must have come first."""
    needed = tuple(name for name in (PHOTO, MASK) if name in names)
    return (*needed, *(LINES if EDITS in names else ()))


def read_work(scratch: Path, parts: Mapping[str, bytes], net: Runner) -> Work:
    """Read the pictures of a request.

    They pass through files, so that they are read by the rules of `ganport inpaint`.

    Raises:
        PhotoError: a part is missing, unknown, no picture, or does not fit.
    """
    names = [spec.name for spec in net.inputs]
    known = list_parts(names)
    for name in parts:
        if name not in known:
            raise PhotoError(f"field '{name[:80]}'", "this net knows no such field", f"Send {', '.join(known)}")
    for name in (PHOTO, MASK):
        if name in known and name not in parts:
            raise PhotoError(name, "it is missing", f"Send {', '.join(known)}")
    paths = {name: scratch / name for name in parts}
    for name, path in paths.items():
        path.write_bytes(parts[name])
    try:
        return _read(paths, net, names)
    except GanportError as error:
        raise type(error)(error.where.replace(f"{scratch}/", ""), error.met, error.remedy) from error


def _read(paths: Mapping[str, Path], net: Runner, names: list[str]) -> Work:
    smallest = max(spec.minimum for spec in net.inputs)
    photo = read_photo(paths[PHOTO])
    size = height, width = photo.rgb.shape[:2]
    if min(size) < smallest:
        raise PhotoError(PHOTO, f"it is {width}x{height} pixels", f"Give {smallest} or more on each side")
    hole, edits = np.zeros(size, np.bool_), np.zeros(size, np.int8)
    crop = Crop(0, height, 0, width)
    if MASK in paths:
        hole = read_mask(paths[MASK], photo).marked
        for name, value in LINES.items():
            if name in paths:
                edits[read_drawing(paths[name], photo).marked] = value
        crop = choose_crop(hole, edits, None, smallest)
    arrays = {PHOTO: photo.rgb, MASK: hole.astype(np.uint8), EDITS: edits}
    feeds = {name: np.ascontiguousarray(crop.cut(arrays[name]))[None] for name in names}
    return Work(photo, hole, crop, feeds)


def finish(work: Work, result: Array) -> bytes:
    """The filled photo as PNG.

    Args:
        work: The photo.
        result: (H, W, 3) uint8, what the net made of the part that it got.
    """
    filled = work.photo.rgb.copy()
    work.crop.cut(filled)[:] = result
    with tempfile.TemporaryDirectory(prefix="ganport-") as scratch:
        path = Path(scratch) / "filled.png"
        write_photo(path, work.photo, filled, work.hole)
        return path.read_bytes()
