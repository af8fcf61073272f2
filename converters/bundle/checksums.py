"""SHA256SUMS of a bundle: write it, and check that every file is there, listed and unchanged."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from converters.errors import BundleError
from converters.files import hash_file, read_text_file

SUMS, MANIFEST = "SHA256SUMS", "manifest.json"
# A file that is larger is compared with the size that the manifest records before it is hashed.
LARGE_BYTES = 2**30
DO_NOT_USE = "Do not use it: fetch or convert it again"


def list_files(folder: Path) -> list[str]:
    """Every file below `folder`, relative to it and sorted; a link counts as a file, whatever it points to."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def format_sums(folder: Path) -> str:
    """The right text of SHA256SUMS: a line `HASH  FILE` for every other file, as `sha256sum -c` reads it."""
    return "".join(_format_sum(hash_file(folder / file), file) for file in list_files(folder) if file != SUMS)


def _format_sum(sha256: str, file: str) -> str:
    """One line; characters of the name that would break the line are escaped as sha256sum escapes them."""
    escaped = file.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "" if escaped == file else "\\"
    return f"{mark}{sha256}  {escaped}\n"


def list_unlisted(folder: Path) -> list[str]:
    """The files of a bundle's folder that neither SHA256SUMS nor the manifest lists; without them, nothing is lost."""
    listed = {MANIFEST, SUMS, *_read_recorded_files(folder), *_parse_sums(read_text_file(folder / SUMS))}
    return [file for file in list_files(folder) if file not in listed]


def verify_hashes(folder: Path) -> None:
    """Compare SHA256SUMS byte for byte with the sums of the files that are there.

    Raises:
        BundleError: naming each file that is missing, not listed, or not what its hash says.
    """
    if not folder.is_dir():
        raise BundleError(folder, "it is no folder", "Name a bundle's folder")
    sums = folder / SUMS
    if not sums.is_file():
        raise BundleError(folder, f"it holds no {SUMS}", "It is no complete bundle: convert its source again")
    with explain_os_error(folder, "cannot be read", "Check its permissions"):
        for file in list_files(folder):
            _require_regular(folder, file)
        recorded = read_text_file(sums)
        _require_recorded_sizes(folder)
        computed = os.fsencode(format_sums(folder))
    if recorded == computed:
        return
    listed, present = _parse_sums(recorded), _parse_sums(computed)
    changed = sorted(file for file in listed.keys() & present.keys() if listed[file] != present[file])
    faults = [f"'{file}' is not what its hash in {SUMS} says" for file in changed]
    faults += [f"'{file}' is missing" for file in sorted(listed.keys() - present.keys())]
    faults += [f"'{file}' is not listed" for file in sorted(present.keys() - listed.keys())]
    if not changed or changed == [MANIFEST] or _manifest_agrees(folder, changed):
        faults.append(f"'{SUMS}' itself may be altered")
    raise BundleError(folder, "; ".join(faults), DO_NOT_USE)


def require_unchanged(folder: Path, files: Sequence[str]) -> None:
    """Check files that are about to be used: each lies in the folder and has the hash that SHA256SUMS gives it.

    Raises:
        BundleError: a file lies elsewhere, is no regular file, is not listed, or is not what its hash says.
    """
    sums = folder / SUMS
    if not sums.is_file():
        raise BundleError(folder, f"it holds no {SUMS}", "It is no complete bundle: convert its source again")
    with explain_os_error(folder, "cannot be read", "Check its permissions"):
        listed = _parse_sums(read_text_file(sums))
        for file in files:
            if Path(file).is_absolute() or ".." in Path(file).parts:
                raise BundleError(folder, f"'{file}' lies outside of it", DO_NOT_USE)
            _require_regular(folder, file)
            if file not in listed:
                raise BundleError(folder, f"'{file}' is not listed in {SUMS}", DO_NOT_USE)
            if listed[file] != hash_file(folder / file):
                raise BundleError(folder, f"'{file}' is not what its hash in {SUMS} says", DO_NOT_USE)


def _require_regular(folder: Path, file: str) -> None:
    """
    Raises:
        BundleError: the file is a folder, a link, a device or the like, or is reached through a link.
    """
    path = folder / file
    if not path.is_file() or path.resolve() != folder.resolve() / file:
        raise BundleError(folder, f"'{file}' is no regular file", DO_NOT_USE)


def _require_recorded_sizes(folder: Path) -> None:
    """Find a large file of another size than the manifest records, before hours go into its hash.

    Raises:
        BundleError: there is one.
    """
    sizes = {file: (folder / file).stat().st_size for file in list_files(folder)}
    large = {file: size for file, size in sizes.items() if size > LARGE_BYTES}
    recorded = _read_recorded_files(folder) if large else {}
    for file, size in large.items():
        if recorded.get(file, {}).get("size") != size:
            raise BundleError(folder, f"'{file}' is of {size} bytes, which {MANIFEST} does not record", DO_NOT_USE)


def _read_recorded_files(folder: Path) -> dict[str, Any]:
    """What the manifest says of each file; nothing where it is damaged."""
    try:
        files: dict[str, Any] = msgspec.json.decode(read_text_file(folder / MANIFEST), type=_Recorded).files
    except (OSError, ValueError, RecursionError):
        return {}
    return files


class _Recorded(msgspec.Struct):
    """The part of a manifest that is read even if the rest is damaged."""

    files: dict[str, dict[str, Any]]


def _manifest_agrees(folder: Path, files: list[str]) -> bool:
    """Whether `files` have the hashes that the manifest records: then SHA256SUMS is wrong, not they."""
    known = _read_recorded_files(folder)
    return all(known.get(file, {}).get("sha256") == hash_file(folder / file) for file in files)


def _parse_sums(text: bytes) -> dict[str, str]:
    """Hash by file name."""
    lines = (line.partition("  ") for line in text.decode("utf-8", errors="surrogateescape").split("\n") if line)
    return {file: sha256 for sha256, _, file in lines}


@contextlib.contextmanager
def explain_os_error(
    folder: Path, fault: str = "cannot be written", remedy: str = "Free some space or name another folder with -o"
) -> Iterator[None]:
    """Turn an error of the operating system, inside the block, into a BundleError about `folder`."""
    try:
        yield
    except OSError as error:
        raise BundleError(folder, f"{fault} ({error.strerror or error})", remedy) from error
