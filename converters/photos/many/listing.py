"""Which photos there are: in a folder, of a pattern, or in a list."""

from __future__ import annotations

import csv
import glob
from pathlib import Path

from converters.errors import PhotoError
from converters.photos.matching import Matched, match_files, match_names, require_names

LIST_SUFFIX = ".csv"
COLUMNS = ("photo", "mask")


def is_many(photos: Path) -> bool:
    """Whether a path stands for many photos: it is a folder, a list, or a pattern such as `photos/*.jpg`."""
    return photos.is_dir() or is_list(photos) or _is_pattern(photos)


def is_list(photos: Path) -> bool:
    """Whether a path is that of a list of photos."""
    return photos.suffix.lower() == LIST_SUFFIX


def _is_pattern(photos: Path) -> bool:
    return glob.has_magic(str(photos)) and not photos.exists()


def list_photos(photos: Path, masks: Path | None, filling: bool = True) -> Matched:
    """The photos and their masks.

    Args:
        photos: A folder, a list or a pattern.
        masks: The folder of masks; None where the list names them, or where photos need none.
        filling: Whether photos need masks.

    Raises:
        PhotoError: see match_names; or the list is damaged.
    """
    if is_list(photos):
        return _read_list(photos, masks, filling)
    if _is_pattern(photos):
        found = (path for path in glob.iglob(str(photos), recursive=True) if Path(path).is_file())
        return match_files(photos, found, masks)
    return match_names(photos, masks)


def _read_list(path: Path, masks: Path | None, filling: bool) -> Matched:
    """Lines `photo` or `photo,mask`, below a line with these words or without it; paths are as for the command."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [(number, row) for number, row in enumerate(csv.reader(file), 1) if any(row)]
    except OSError as error:
        raise PhotoError(path, f"it cannot be read ({error.strerror})", "Check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise PhotoError(path, "it is no list in UTF-8", "Write a line PHOTO,MASK for each photo") from error
    if lines and tuple(lines[0][1]) in (COLUMNS, COLUMNS[:1]):
        del lines[0]
    if not lines:
        raise PhotoError(path, "it names no photo", "Write a line PHOTO,MASK for each photo")
    width = 2 if filling and masks is None else 1
    for number, row in lines:
        if len(row) != width or not all(row):
            met = f"line {number} has {len(row)} columns, of {width}" if all(row) else f"line {number} has a gap"
            raise PhotoError(path, met, "Write PHOTO,MASK; or photos alone, where masks are in a folder or not needed")
    photos = [row[0] for _, row in lines]
    if masks is not None:
        return match_files(path, photos, masks)
    require_names(photos)
    return Matched([(row[0], row[1] if filling else None) for _, row in lines], [])
