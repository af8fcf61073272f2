"""Read a checkpoint file into tensors by key, without running any code that the file may hold."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.errors import CheckpointError
from reference.checkpoint_data import Checkpoint
from reference.inert_classes import load_with_inert_classes
from reference.refusal import OR_EXPORT
from reference.registry import find_nearest
from reference.torch_extra import require_torch
from reference.unwrap import SAVE_ALONE, FindNearest, find_state

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".pth", ".pt", ".safetensors", ".ckpt", ".bin", ".model")
# Of a file; the largest net here, with its optimizer's state, has a tenth of it.
MAX_FILE_BYTES = 2**33
# Tensors may be views that share or repeat what is stored, and a zip archive may be compressed, which torch's is not.
# What a file's tensors take beyond what it holds may be this much in all, so that a small file cannot exhaust memory.
MAX_EXPANDED_BYTES = 2**30
# Read at once of an archive.
CHUNK_BYTES = 2**20
ENCRYPTED = 1  # a flag of its parts


def read_checkpoint(path: Path, find_match: FindNearest = find_nearest) -> Checkpoint:
    """Read `path`, whose suffix is one of SUFFIXES; what it holds is told by its content.

    Accepts a bare state dict, or one wrapped in a dict such as {"iteration": ..., "generator": ...}, with or without
    prefixes: see `reference.unwrap`.

    Args:
        path: The file.
        find_match: Tells which of several state dicts is meant: by the architectures, unless it is for another net.

    Raises:
        CheckpointError: the file is missing, damaged, unsafe, or holds something other than one state dict.
        MissingPackageError: torch, or what goes with it, is not installed.
    """
    try:
        if not path.exists():
            raise CheckpointError(path, "there is no such file", "Check the path")
        if path.is_dir():
            raise CheckpointError(path, "it is a folder, not a file", "Name the checkpoint file")
        if path.suffix not in SUFFIXES:
            raise CheckpointError(path, f"its suffix is '{path.suffix}'", f"Checkpoints end in {', '.join(SUFFIXES)}")
        if not path.is_file():
            raise CheckpointError(path, "it is no regular file", "Name the checkpoint file")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise CheckpointError(path, f"it is of {size} bytes, read are {MAX_FILE_BYTES}", "Save a state dict alone")
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(path, f"it cannot be read ({error.strerror})", "Check path and permissions") from error
    if not data:
        raise CheckpointError(path, "it is empty", "Download or copy it again")
    require_torch(path)
    if path.suffix == ".safetensors" or _has_safetensors_header(data):
        kind, content = "safetensors", _read_safetensors(path, data)
    else:
        kind = "torch zip" if data[:2] == b"PK" else "torch legacy"
        if kind == "torch zip":
            _require_sound_archive(path, data)
        content = _read_torch(path, data, kind)
    tensors, settings = find_state(path, content, find_match)
    return Checkpoint(path, kind, _clean(path, tensors), settings, hashlib.sha256(data).hexdigest())


def _has_safetensors_header(data: bytes) -> bool:
    """Whether the file starts as safetensors do: with the length of a JSON object, and that object."""
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8


def _read_safetensors(path: Path, data: bytes) -> object:
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load(data)
    except KeyError as error:
        raise CheckpointError(
            path, f"it holds tensors of type {error.args[0]}, which torch does not read", "Save them as float32"
        ) from error
    except (safetensors.SafetensorError, RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise CheckpointError(
            path, "it is no safetensors file, or a damaged one", "Download or copy it again"
        ) from error


def _require_sound_archive(path: Path, data: bytes) -> None:
    """Refuse an archive that is much larger unpacked, or of which a part is not what its check sum says.

    torch does not look at check sums. It can leave them out, too: then all parts have wrong ones.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if entry.file_size]
            unpacked = sum(entry.file_size for entry in entries)
            if unpacked - len(data) > MAX_EXPANDED_BYTES:
                raise CheckpointError(
                    path, f"it holds {len(data)} bytes and claims {unpacked} unpacked", "Save it again with torch.save"
                )
            read = [entry for entry in entries if _is_read_in_parts(entry)]
            damaged = [entry.filename for entry in read if not _has_its_sum(archive, entry)]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, UnicodeDecodeError, EOFError, OSError):
        return  # torch says what is wrong with it
    if 0 < len(damaged) < len(read):
        met = f"it is damaged: '{damaged[0]}' in it is not what its check sum says"
        raise CheckpointError(path, met, "Download or copy it again")


def _is_read_in_parts(entry: zipfile.ZipInfo) -> bool:
    """Whether it takes little memory to read a part of an archive: bz2 and lzma may unpack anything in one step."""
    return entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and not entry.flag_bits & ENCRYPTED


def _has_its_sum(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(entry) as part:
            while part.read(CHUNK_BYTES):
                pass
    except zlib.error:
        return False
    except zipfile.BadZipFile as error:
        if "CRC" in str(error):
            return False
        raise
    return True


def _read_torch(path: Path, data: bytes, kind: str) -> object:
    """Unpickle `data` with torch's weights-only loader; `kind` is "torch zip" or "torch legacy"."""
    import torch

    damaged = "it is damaged or cut short" if kind == "torch zip" else "it is no PyTorch checkpoint, or a damaged one"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            except pickle.UnpicklingError:
                content = load_with_inert_classes(data) if kind == "torch zip" else None
                if content is None:
                    raise
                return content
    except pickle.UnpicklingError as error:
        newer_pickle = data[0] == 0x80 and data[1:2] > b"\x02"  # torch.save writes protocol 2
        if newer_pickle or "Unsupported operand" not in str(error):
            raise CheckpointError(
                path,
                "it asks for Python code to be run or for a class that is no tensor; nothing in it was run",
                "Save the generator's state dict alone: torch.save(generator.state_dict(), ...)",
            ) from None
        raise CheckpointError(path, damaged, "Download or copy it again") from None
    except (EOFError, LookupError, RuntimeError, ValueError, AttributeError, TypeError, ArithmeticError) as error:
        if "TorchScript" in str(error):
            raise CheckpointError(
                path,
                "it is a TorchScript program",
                f"Give the state dict that the generator was trained to, {OR_EXPORT}",
            ) from error
        raise CheckpointError(path, damaged, "Download or copy it again") from error
    except (OSError, struct.error, UnicodeDecodeError, zipfile.BadZipFile, AssertionError, MemoryError) as error:
        raise CheckpointError(path, damaged, "Download or copy it again") from error


def _clean(path: Path, tensors: dict[str, Any]) -> dict[str, Tensor]:
    """Refuse anything but plain finite tensors, and convert floating point tensors to float32."""
    import torch

    if not tensors:
        raise CheckpointError(path, "it holds no tensors", "Give the generator's checkpoint")
    for key, value in tensors.items():
        if not isinstance(value, torch.Tensor):
            raise CheckpointError(path, f"'{key}' is a {type(value).__name__}, not a tensor", SAVE_ALONE)
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise CheckpointError(path, f"'{key}' is sparse, quantized or without values", "Save plain tensors")
    stored = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in tensors.values()}
    sizes = {key: value.numel() * value.element_size() for key, value in tensors.items()}
    held, claimed = sum(stored.values()), sum(sizes.values())
    if claimed - held > MAX_EXPANDED_BYTES:
        met = f"its tensors, '{max(sizes, key=sizes.__getitem__)}' above all, claim {claimed} bytes and hold {held}"
        raise CheckpointError(path, met, "Save plain tensors")
    cleaned = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    for key, value in cleaned.items():
        if (value.is_floating_point() or value.is_complex()) and not bool(torch.isfinite(value).all()):
            raise CheckpointError(
                path, f"'{key}' holds NaN or infinity in float32", "Take an earlier checkpoint: this net has diverged"
            )
    return cleaned
