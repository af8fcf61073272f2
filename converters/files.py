"""Write JSON files, hash files, and name the golden case's files in a bundle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

import msgspec

# The folder inside a bundle that holds the golden case: one input, and the source's outputs for it.
GOLDEN = "golden"


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
