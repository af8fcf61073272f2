"""Photos behind a URL, such as s3://bucket/photos: pyarrow's filesystems, which Ray brings, list and read them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from converters.errors import MissingPackageError, PhotoError
from converters.photos.image_files import require_size
from converters.photos.matching import Matched, pair_names

REMEDY = "Check the URL, the network and the credentials"


def is_url(text: str) -> bool:
    """Whether a text is a URL rather than a path."""
    return "://" in text


@functools.lru_cache
def open_url(url: str) -> tuple[Any, str]:
    """A URL's filesystem, and its path there.

    Raises:
        MissingPackageError: pyarrow is not installed.
        PhotoError: pyarrow knows no such filesystem, or cannot reach it.
    """
    try:
        from pyarrow.fs import FileSystem
    except ImportError as error:
        raise MissingPackageError(url, f"pyarrow is missing ({error})", "Install ganport's extra ray") from error
    try:
        filesystem, path = FileSystem.from_uri(url)
    except (OSError, ValueError) as error:
        raise PhotoError(url, f"it cannot be opened ({_first_line(error)})", REMEDY) from error
    return filesystem, path


def list_urls(photos: str, masks: str | None) -> Matched:
    """Pair the photos of a folder with the masks of their names; paths are those of the folder's filesystem.

    Args:
        photos: URL of the folder of photos.
        masks: URL of the folder of masks, on the same filesystem; None for photos that need none.

    Raises:
        PhotoError: see match_names; or a URL cannot be listed.
    """
    if masks is not None and open_url(masks)[0] != open_url(photos)[0]:
        raise PhotoError(masks, f"it is on another filesystem than {photos}", "Keep photos and masks together")
    return pair_names(photos, _list_files(photos), masks, None if masks is None else _list_files(masks))


def _list_files(url: str) -> list[str]:
    filesystem, path = open_url(url)
    from pyarrow.fs import FileSelector, FileType

    try:
        found = filesystem.get_file_info(FileSelector(path))
    except (OSError, ValueError) as error:
        raise PhotoError(url, f"it cannot be listed ({_first_line(error)})", REMEDY) from error
    return [each.path for each in found if each.type == FileType.File and not each.base_name.startswith(".")]


def read_url(url: str, path: Path) -> bytes:
    """The bytes of a file of a URL's filesystem.

    Raises:
        PhotoError: it is too large, or cannot be read.
    """
    filesystem, _ = open_url(url)
    try:
        with filesystem.open_input_file(str(path)) as file:
            require_size(path, file.size())
            data: bytes = file.read()
    except (OSError, ValueError) as error:
        raise PhotoError(path, f"it cannot be read ({_first_line(error)})", REMEDY) from error
    return data


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
