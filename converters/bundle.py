"""A bundle: one folder that holds a model's files, their contract, their hashes and their proof.

It is written to a sibling `.NAME.partial` and renamed when complete, so that no killed run leaves a
folder that looks like a bundle.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import BundleError
from converters.tensors import Tensors, TensorSpec

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
GOLDEN = "golden"


@dataclass(frozen=True)
class Bundle:
    """A complete bundle on disk: its folder and its manifest, as plain JSON types."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec.from_json(fields) for fields in self.manifest["contract"]["inputs"])

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec.from_json(fields) for fields in self.manifest["contract"]["outputs"])

    def golden(self) -> tuple[Tensors, Tensors]:
        """The golden case: inputs and the untouched torch module's outputs, by name."""
        folder = self.folder / GOLDEN
        inputs = {spec.name: np.load(folder / f"input_{spec.name}.npy") for spec in self.inputs}
        outputs = {spec.name: np.load(folder / f"output_{spec.name}.npy") for spec in self.outputs}
        return inputs, outputs


def hash_file(path: Path) -> str:
    """The file's sha256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write `value` with sorted keys, the same bytes every time."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def write_golden(folder: Path, inputs: Tensors, outputs: Tensors) -> None:
    """Write one case as golden/input_NAME.npy and golden/output_NAME.npy."""
    (folder / GOLDEN).mkdir()
    for kind, tensors in (("input", inputs), ("output", outputs)):
        for name, array in tensors.items():
            np.save(folder / GOLDEN / f"{kind}_{name}.npy", array)


def list_files(folder: Path) -> list[str]:
    """Every file below `folder`, relative, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """sha256 and size in bytes of every file below `folder`, for the manifest."""
    return {
        file: {"sha256": hash_file(folder / file), "size": (folder / file).stat().st_size}
        for file in list_files(folder)
    }


def format_sums(folder: Path) -> str:
    """What SHA256SUMS must say: one `HASH  FILE` line per file but itself, as `sha256sum -c` reads it."""
    return "".join(f"{hash_file(folder / file)}  {file}\n" for file in list_files(folder) if file != SUMS)


def recover(folder: Path) -> None:
    """Clear what a killed run left beside `folder`, and put back a bundle it had moved away."""
    partial, old = _partial(folder), _old(folder)
    if partial.is_dir():
        shutil.rmtree(partial)
    if old.is_dir():
        if folder.exists():
            shutil.rmtree(old)
        else:
            old.rename(folder)


def require_writable(folder: Path, overwrite: bool) -> None:
    """Refuse a place where no bundle can be written, before any work is done.

    Raises:
        BundleError: a bundle is there and `overwrite` is not given; something else is there; a parent is a file
            or may not be written to.
    """
    recover(folder)
    if (folder / MANIFEST).is_file():
        if not overwrite:
            raise BundleError(
                folder, "a bundle is already there", "Replace it with --overwrite, or name another folder"
            )
    elif folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise BundleError(folder, "something that is not a bundle is there", "Name another folder with -o or --name")
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
        BundleError: the disk is full or refuses the files.
    """
    partial, old = _partial(folder), _old(folder)
    made = _make_parents(folder)
    try:
        partial.mkdir()
        yield partial
        (partial / SUMS).write_text(format_sums(partial), encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
        if old.exists():
            shutil.rmtree(old)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            raise BundleError(
                folder, f"cannot be written ({reason})", "Free some space or name another folder with -o"
            ) from error
        raise


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle's manifest.

    Raises:
        BundleError: the folder holds no manifest, or one of a later schema.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(folder, f"it holds no {MANIFEST}", "Name a bundle's folder")
    try:
        manifest = json.loads(path.read_bytes())
        version = manifest["schema_version"]
    except (ValueError, TypeError, KeyError) as error:
        raise BundleError(path, "it is no manifest", "Convert the checkpoint again") from error
    if version != SCHEMA_VERSION:
        raise BundleError(path, f"its schema version is {version}, known is {SCHEMA_VERSION}", "Update ganport")
    return Bundle(folder, manifest)


def verify_hashes(folder: Path) -> None:
    """Compare SHA256SUMS byte for byte with what the files give.

    Raises:
        BundleError: naming each file that is missing, not listed, or not what its hash says.
    """
    if not folder.is_dir():
        raise BundleError(folder, "it is no folder", "Name a bundle's folder")
    sums = folder / SUMS
    if not sums.is_file():
        raise BundleError(folder, f"it holds no {SUMS}", "It is no complete bundle: convert the checkpoint again")
    recorded, computed = sums.read_bytes(), format_sums(folder).encode()
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
    lines = text.decode("utf-8", errors="replace").splitlines()
    return {line[66:]: line[:66] for line in lines}


def _make_parents(folder: Path) -> list[Path]:
    """Make the missing parents of `folder`; innermost first, so that a failure can take them away again."""
    missing = [parent for parent in folder.absolute().parents if not parent.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BundleError(folder.parent, f"cannot be made ({reason})", "Name another folder with -o") from error
    return missing


def _partial(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.partial"


def _old(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.old"
