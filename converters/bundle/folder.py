"""Write and read a bundle's folder.

A bundle is written into a scratch folder beside it and renamed when it is complete, so that a killed run leaves no
folder that looks like a bundle, and two runs never write into one.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from converters.bundle.checksums import MANIFEST, SUMS, explain_os_error, format_sums, list_unlisted
from converters.bundle.manifest import SCHEMA_VERSION, Manifest
from converters.bundle.scratch import NEW, OLD, clear_stale, open_scratch, require_unheld
from converters.errors import BundleError
from converters.files import GOLDEN, golden_file, read_text_file
from converters.tensors import UNREADABLE, Array, Signature, Tensors


@dataclass(frozen=True)
class Bundle:
    """A complete bundle on disk: its folder and its manifest."""

    folder: Path
    manifest: Manifest

    @property
    def signature(self) -> Signature:
        """What its files take and give."""
        return self.manifest.contract

    @property
    def golden_files(self) -> tuple[str, ...]:
        """The golden case's files, relative to the folder."""
        inputs = (golden_file("input", spec.name) for spec in self.signature.inputs)
        return (*inputs, *(golden_file("output", spec.name) for spec in self.signature.outputs))

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


def is_folder_name(name: str) -> bool:
    """Whether a bundle may be called so: no path, and nothing that a terminal would act on."""
    return name == Path(name).name and name not in ("", "..") and "\\" not in name and name.isprintable()


def write_golden(folder: Path, inputs: Tensors, outputs: Tensors) -> None:
    """Write one case: an .npy file per input and output."""
    (folder / GOLDEN).mkdir()
    arrays = {golden_file("input", name): array for name, array in inputs.items()}
    arrays |= {golden_file("output", name): array for name, array in outputs.items()}
    for file, array in arrays.items():
        data = io.BytesIO()  # numpy's own writing to a file does not say why it fails
        np.save(data, array)
        (folder / file).write_bytes(data.getvalue())


def require_writable(folder: Path, overwrite: bool) -> None:
    """Refuse a place where no bundle can be written, before any work is done.

    Raises:
        BundleError: a bundle is there and `overwrite` is not given, or it holds files that are not its own; something
            else is there; another run is writing there; a parent is a file or may not be written to.
    """
    with explain_os_error(folder):
        clear_stale(folder)
        require_unheld(folder)
        if (folder / MANIFEST).is_file() and (folder / SUMS).is_file():
            if not overwrite:
                raise BundleError(
                    folder, "a bundle is already there", "Replace it with --overwrite, or name another folder"
                )
            _require_own_files(folder)
        elif folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
            raise BundleError(
                folder, "something that is not a bundle is there", "Name another folder with -o or --name"
            )
        parent = next(ancestor for ancestor in folder.absolute().parents if ancestor.exists())
    if not parent.is_dir():
        raise BundleError(folder, f"'{parent.name}' is a file, not a folder", "Name another folder with -o")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise BundleError(folder, f"the folder '{parent.name}' is not writable", "Name another folder with -o")


def _require_own_files(folder: Path) -> None:
    """
    Raises:
        BundleError: a bundle's folder holds files that are not its own, which would be lost with it.
    """
    strangers = list_unlisted(folder)
    if strangers:
        raise BundleError(
            folder, f"'{strangers[0]}' in it is no file of the bundle", "Move it away, or name another folder"
        )


@contextlib.contextmanager
def write_bundle(folder: Path, overwrite: bool = True) -> Iterator[Path]:
    """Yield a new folder to fill; after the block it becomes `folder`, unless the block raises.

    A bundle that is there already stays until then, and comes back if the renaming fails.

    Raises:
        BundleError: the disk is full or refuses the files, another run is writing there, or something came to be there
            meanwhile and `overwrite` is not given.
    """
    with explain_os_error(folder), _made_parents(folder), open_scratch(folder) as scratch:
        new, old = scratch / NEW, scratch / OLD
        yield new
        (new / SUMS).write_text(format_sums(new), encoding="utf-8")
        try:
            if folder.exists():
                if not overwrite and any(folder.iterdir()):
                    raise BundleError(folder, "another run has written it meanwhile", "Replace it with --overwrite")
                if (folder / SUMS).is_file():
                    _require_own_files(folder)
                folder.rename(old)
            new.rename(folder)
        except BaseException:
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle's manifest.

    Raises:
        BundleError: the folder holds no manifest, half of one, or one of a later schema.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(folder, f"it holds no {MANIFEST}", "Name a bundle's folder")
    try:
        with explain_os_error(folder, "cannot be read", "Check its permissions"):
            text = read_text_file(path)
        fields = msgspec.json.decode(text)
        version = fields["schema_version"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, KeyError) as error:
        raise BundleError(path, "it is no manifest", "Convert its source again") from error
    if version != SCHEMA_VERSION:
        raise BundleError(path, f"its schema version is {version}, known is {SCHEMA_VERSION}", "Update ganport")
    try:
        return Bundle(folder, msgspec.convert(fields, Manifest))
    except msgspec.ValidationError as error:
        raise BundleError(path, str(error), "Convert its source again") from error


@contextlib.contextmanager
def _made_parents(folder: Path) -> Iterator[None]:
    """Make the missing parents of `folder`; if the block raises, delete them again."""
    missing = [parent for parent in folder.absolute().parents if not parent.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for parent in missing:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise
