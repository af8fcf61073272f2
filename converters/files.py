"""Write JSON files, hash files, and name the golden case's files in a bundle."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Literal

import msgspec

# The folder inside a bundle that holds the golden case: one input, and the source's outputs for it.
GOLDEN = "golden"
# Of a manifest, of SHA256SUMS and the like. A manifest of a large tuned net has a thousandth of it.
MAX_TEXT_BYTES = 2**26


def read_text_file(path: Path) -> bytes:
    """The bytes of a file of text, such as a manifest.

    Raises:
        OSError: it cannot be read, or is larger than any such file (EFBIG).
    """
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return path.read_bytes()


def hash_file(path: Path) -> str:
    """The SHA-256 of the file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON with sorted keys, so that equal values give equal bytes.

    Args:
        path: The file to write.
        value: JSON types, dataclasses and tuples, nested at will; numbers must be finite.
    """
    text = json.dumps(msgspec.to_builtins(value), indent=2, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def golden_file(kind: Literal["input", "output"], name: str) -> str:
    """The file of the golden case that holds the input or output `name`, relative to the bundle's folder."""
    return f"{GOLDEN}/{kind}_{name}.npy"
