"""One photo of a request: what its parts must be, and how they become the net's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from converters.errors import PhotoError
from converters.photos.image_files import encode_photo
from converters.photos.one_photo import EDITS, MASK, PHOTO, Prepared, paste, read_prepared
from converters.runners import Runner
from converters.tensors import Array

# The parts that have lines, the later ones above the earlier, and what they mean in the net's input.
LINES = {"erase": -1, "draw": 1}


def read_parts(parts: Mapping[str, bytes], net: Runner) -> Prepared:
    """Read the pictures of a request.

    Raises:
        PhotoError: one is missing, unknown, no picture, or does not fit.
    """
    names = [spec.name for spec in net.inputs]
    needed = [name for name in (PHOTO, MASK) if name in names]
    known = [*needed, *(LINES if EDITS in names else ())]
    for name in parts:
        if name not in known:
            raise PhotoError(f"field '{name[:80]}'", "this net knows no such field", f"Send {', '.join(known)}")
    for name in needed:
        if name not in parts:
            raise PhotoError(name, "it is missing", f"Send {', '.join(known)}")
    mask = Path(MASK) if MASK in needed else None
    edits = [(Path(name), value) for name, value in LINES.items() if name in parts]
    files = {Path(name): data for name, data in parts.items()}
    smallest = max(spec.minimum for spec in net.inputs)
    return read_prepared(Path(PHOTO), mask, edits, smallest=smallest, files=files)


def write_png(given: Prepared, result: Array) -> bytes:
    """The filled photo.

    Args:
        given: The photo.
        result: (h, w, 3) uint8, what the net made of the part that it got.
    """
    return encode_photo(".png", given.photo, paste(given, result), given.opaque)
