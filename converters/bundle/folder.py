"""A bundle: one folder that holds a model's files, their contract, their hashes and their proof.

It is written to a sibling `.NAME.partial` and renamed when complete, so that no killed run leaves a
folder that looks like a bundle.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from converters.bundle.manifest import MANIFEST, SCHEMA_VERSION, Manifest
from converters.errors import BundleError
from converters.files import GOLDEN, golden_file, hash_file
from converters.tensors import UNREADABLE, Array, Signature, Tensors

SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Bundle:
    """A complete bundle on disk: its folder and its manifest."""

    folder: Path
    manifest: Manifest

    @property
    def signature(self) -> Signature:
        """What its files take and give."""
        return self.manifest.contract

    def golden(self) -> tuple[Tensors, Tensors]:
        """The golden case: inputs, and what the bundle's source gives for them, by name.

        Raises:
            BundleError: an array is missing or damaged.
        """

        def load(file: str) -> Array:
            try:
                with (self.folder / file).open("rb") as opened:
                    array: Array = np.lib.format.read_array(opened, allow_pickle=False)  # type: ignore[no-untyped-call]
            except (*UNREADABLE, MemoryError) as error:
                raise BundleError(self.folder, f"'{file}' is no array", "Convert its source again") from error
            return array

        inputs = {spec.name: load(golden_file("input", spec.name)) for spec in self.signature.inputs}
        return inputs, {spec.name: load(golden_file("output", spec.name)) for spec in self.signature.outputs}


def write_golden(folder: Path, inputs: Tensors, outputs: Tensors) -> None:
    """Write one case: an .npy file per input and output."""
    (folder / GOLDEN).mkdir()
    arrays = {golden_file("input", name): array for name, array in inputs.items()}
    arrays |= {golden_file("output", name): array for name, array in outputs.items()}
    for file, array in arrays.items():
        data = io.BytesIO()  # numpy's own writing to a file does not say why it fails
        np.save(data, array)
        (folder / file).write_bytes(data.getvalue())


def list_files(folder: Path) -> list[str]:
    """Every file below `folder`, relative, sorted; a link counts as a file, whatever it leads to."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def format_sums(folder: Path) -> str:
    """What SHA256SUMS must say: one `HASH  FILE` line per file but itself, as `sha256sum -c` reads it."""
    return "".join(_format_sum(hash_file(folder / file), file) for file in list_files(folder) if file != SUMS)


def _format_sum(sha256: str, file: str) -> str:
    """One line; a name that would break it is escaped as sha256sum does."""
    escaped = file.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "" if escaped == file else "\\"
    return f"{mark}{sha256}  {escaped}\n"


def recover(folder: Path) -> None:
    """Clear what a killed run left beside `folder`, and put back a bundle it had moved away."""
    partial, old = _partial(folder), _old(folder)
    _remove(partial)
    if folder.exists():
        _remove(old)
    elif old.exists():
        old.rename(folder)


def require_writable(folder: Path, overwrite: bool) -> None:
    """Refuse a place where no bundle can be written, before any work is done.

    Raises:
        BundleError: a bundle is there and `overwrite` is not given; something else is there; a parent is a file
            or may not be written to.
    """
    with _explained(folder):
        recover(folder)
        if (folder / MANIFEST).is_file() and (folder / SUMS).is_file():
            if not overwrite:
                raise BundleError(
                    folder, "a bundle is already there", "Replace it with --overwrite, or name another folder"
                )
        elif folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
            raise BundleError(
                folder, "something that is not a bundle is there", "Name another folder with -o or --name"
            )
        parent = next(ancestor for ancestor in folder.absolute().parents if ancestor.exists())
    if not parent.is_dir():
        raise BundleError(folder, f"'{parent.name}' is a file, not a folder", "Name another folder with -o")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise BundleError(folder, f"the folder '{parent.name}' is not writable", "Name another folder with -o")


@contextlib.contextmanager
def write_bundle(folder: Path) -> Iterator[Path]:
    """Give a partial folder to fill; on leaving without an error it becomes `folder`.

    An existing bundle is replaced only then, and comes back if the replacement fails.

    Raises:
        BundleError: the disk is full or refuses the files, or another run is at work on them.
    """
    partial, old = _partial(folder), _old(folder)
    with _explained(folder), _made_parents(folder):
        try:
            partial.mkdir()
        except FileExistsError as error:
            raise BundleError(folder, "another run is writing it", "Wait, or name another folder with -o") from error
        try:
            yield partial
            (partial / SUMS).write_text(format_sums(partial), encoding="utf-8")
            if folder.exists():
                folder.rename(old)
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise
        _remove(old)


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle's manifest.

    Raises:
        BundleError: the folder holds no manifest, half of one, or one of a later schema.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(folder, f"it holds no {MANIFEST}", "Name a bundle's folder")
    try:
        fields = msgspec.json.decode(path.read_bytes())
        version = fields["schema_version"]
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError) as error:
        raise BundleError(path, "it is no manifest", "Convert its source again") from error
    if version != SCHEMA_VERSION:
        raise BundleError(path, f"its schema version is {version}, known is {SCHEMA_VERSION}", "Update ganport")
    try:
        return Bundle(folder, msgspec.convert(fields, Manifest))
    except msgspec.ValidationError as error:
        raise BundleError(path, str(error), "Convert its source again") from error


def verify_hashes(folder: Path) -> None:
    """Compare SHA256SUMS byte for byte with what the files give.

    Raises:
        BundleError: naming each file that is missing, not listed, or not what its hash says.
    """
    if not folder.is_dir():
        raise BundleError(folder, "it is no folder", "Name a bundle's folder")
    sums = folder / SUMS
    if not sums.is_file():
        raise BundleError(folder, f"it holds no {SUMS}", "It is no complete bundle: convert its source again")
    with _explained(folder, "cannot be read", "Check its permissions"):
        for file in list_files(folder):
            if not (folder / file).is_file():
                raise BundleError(folder, f"'{file}' is no regular file", "Do not use it: fetch or convert it again")
        recorded, computed = sums.read_bytes(), os.fsencode(format_sums(folder))
    if recorded == computed:
        return
    listed, present = _parse_sums(recorded), _parse_sums(computed)
    changed = sorted(file for file in listed.keys() & present.keys() if listed[file] != present[file])
    faults = [f"'{file}' is not what its hash in {SUMS} says" for file in changed]
    faults += [f"'{file}' is missing" for file in sorted(listed.keys() - present.keys())]
    faults += [f"'{file}' is not listed" for file in sorted(present.keys() - listed.keys())]
    if not changed or changed == [MANIFEST] or _manifest_agrees(folder, changed):
        faults.append(f"'{SUMS}' itself may be altered")
    raise BundleError(folder, "; ".join(faults), "Do not use it: fetch or convert it again")


def _manifest_agrees(folder: Path, files: list[str]) -> bool:
    """Whether the manifest's hashes of `files` are the present ones: then SHA256SUMS is at fault."""
    try:
        known = json.loads((folder / MANIFEST).read_bytes())["files"]
        return all(known[file]["sha256"] == hash_file(folder / file) for file in files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _parse_sums(text: bytes) -> dict[str, str]:
    """Hash by file name."""
    lines = (line.partition("  ") for line in text.decode("utf-8", errors="surrogateescape").split("\n") if line)
    return {file: sha256 for sha256, _, file in lines}


@contextlib.contextmanager
def _explained(
    folder: Path, fault: str = "cannot be written", remedy: str = "Free some space or name another folder with -o"
) -> Iterator[None]:
    """Say what the file system's refusal was about."""
    try:
        yield
    except OSError as error:
        raise BundleError(folder, f"{fault} ({error.strerror or error})", remedy) from error


@contextlib.contextmanager
def _made_parents(folder: Path) -> Iterator[None]:
    """Make the missing parents of `folder`; a failure takes them away again."""
    missing = [parent for parent in folder.absolute().parents if not parent.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for parent in missing:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def _remove(path: Path) -> None:
    """Remove a folder and what is in it, a file, or a link but not what it leads to."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # never there, or another run was faster
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _partial(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.partial"


def _old(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.old"
