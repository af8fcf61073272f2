"""Pair the photos of a folder with their masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from converters.errors import PhotoError

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")


@dataclass(frozen=True)
class Matched:
    """What was found: paths as text, which takes a quarter of the memory of Path objects.

    Attributes:
        pairs: (photo, mask), in order; the mask is None where photos need none.
        skipped: Files whose suffix is no image's.
    """

    pairs: Sequence[tuple[str, str | None]]
    skipped: Sequence[str]


def match_names(photos: Path, masks: Path | None) -> Matched:
    """Pair every photo of a folder with the mask of the same name; the suffixes may differ.

    Hidden files are left out.

    Args:
        photos: Folder of photos.
        masks: Folder of masks; None for photos that need none.

    Raises:
        PhotoError: a folder is missing, there is no photo, a photo has no mask or several, or two photos share a name.
    """
    if not photos.is_dir():
        raise PhotoError(photos, "it is no folder", "Give a folder of photos and a folder of masks")
    found = [str(path) for path in photos.iterdir() if path.is_file() and not path.name.startswith(".")]
    return match_files(photos, found, masks)


def match_files(where: Path, found: Iterable[str], masks: Path | None) -> Matched:
    """Pair photos with the masks of their names in a folder; see match_names.

    Args:
        where: What is named in an error of all photos.
        found: Paths of photos, and of other files.
        masks: Folder of masks; None for photos that need none.
    """
    if masks is not None and not masks.is_dir():
        raise PhotoError(masks, "it is no folder", "Give a folder of photos and a folder of masks")
    known = None if masks is None else map(str, masks.iterdir())
    return pair_names(where, found, masks, known, lambda mask: Path(mask).is_file())


def pair_names(
    where: object,
    found: Iterable[str],
    masks: object,
    known: Iterable[str] | None,
    is_file: Callable[[str], bool] = lambda mask: True,
) -> Matched:
    """Pair paths by their names.

    Args:
        where: What is named in an error of all photos.
        found: Paths of photos, and of other files.
        masks: What is named in an error of a mask.
        known: Paths of masks; None for photos that need none.
        is_file: Whether a path among the masks is a mask.

    Raises:
        PhotoError: see match_names.
    """
    photos: list[str] = []
    skipped: list[str] = []
    for path in sorted(found):
        (photos if PurePosixPath(path).suffix.lower() in SUFFIXES else skipped).append(path)
    if not photos:
        raise PhotoError(where, "it holds no image file", "Put photos there")
    require_names(photos)
    if known is None:
        return Matched([(photo, None) for photo in photos], skipped)
    by_stem: dict[str, list[str]] = {}
    for mask in sorted(known):
        by_stem.setdefault(stem_of(mask), []).append(mask)
    pairs: list[tuple[str, str | None]] = []
    for photo in photos:
        stem = stem_of(photo)
        candidates = [mask for mask in by_stem.get(stem, ()) if is_file(mask)]
        if len(candidates) != 1:
            met = "no mask of that name is" if not candidates else f"{len(candidates)} masks of that name are"
            raise PhotoError(photo, f"{met} in {masks}", f"Keep one {stem}.png there")
        pairs.append((photo, candidates[0]))
    return Matched(pairs, skipped)


def require_names(photos: Sequence[str]) -> None:
    """Refuse photos whose results would have one name.

    Raises:
        PhotoError: there are such photos.
    """
    seen: set[str] = set()
    for photo in photos:
        stem = stem_of(photo)
        if stem in seen:
            raise PhotoError(photo, "another photo has its name, but for the suffix", "Rename one of them")
        seen.add(stem)


def stem_of(path: str) -> str:
    """The name without its last suffix."""
    return PurePosixPath(path).stem
