"""Pair the photos of a folder with their masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.errors import PhotoError

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")


@dataclass(frozen=True)
class Matched:
    """What was found in a folder of photos.

    Attributes:
        pairs: (photo, mask), sorted by photo; the mask is None where no folder of masks was given.
        skipped: Files whose suffix is no image's.
    """

    pairs: Sequence[tuple[Path, Path | None]]
    skipped: Sequence[Path]


def match_names(photos: Path, masks: Path | None) -> Matched:
    """Pair every photo of a folder with the mask of the same name; the suffixes may differ.

    Hidden files are left out.

    Args:
        photos: Folder of photos.
        masks: Folder of masks; None for photos that need none.

    Raises:
        PhotoError: a folder is missing, there is no photo, a photo has no mask or several, or two photos share a name.
    """
    for folder in (photos, masks):
        if folder is not None and not folder.is_dir():
            raise PhotoError(folder, "it is no folder", "Give a folder of photos and a folder of masks")
    found = sorted(path for path in photos.iterdir() if path.is_file() and not path.name.startswith("."))
    skipped = [path for path in found if path.suffix.lower() not in SUFFIXES]
    by_stem = _group(sorted(set(found) - set(skipped)))
    masks_by_stem = {} if masks is None else _group(masks.iterdir())
    if not by_stem:
        raise PhotoError(photos, "it holds no image file", "Put photos there")
    pairs: list[tuple[Path, Path | None]] = []
    for stem, (photo, *others) in by_stem.items():
        if others:
            raise PhotoError(others[0], "another photo has its name, but for the suffix", "Rename one of them")
        if masks is None:
            pairs.append((photo, None))
            continue
        candidates = [mask for mask in masks_by_stem.get(stem, ()) if mask.is_file()]
        if len(candidates) != 1:
            met = "no mask of that name is" if not candidates else f"{len(candidates)} masks of that name are"
            raise PhotoError(photo, f"{met} in {masks}", f"Keep one {stem}.png there")
        pairs.append((photo, candidates[0]))
    return Matched(pairs, skipped)


def _group(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """The paths by their names without suffix, in their order."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[path.stem].append(path)
    return groups
