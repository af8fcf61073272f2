"""What several rooms write or name: JSON files, file hashes, and the golden case's files in a bundle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

import msgspec

# The folder inside a bundle that holds one case: inputs, and the source's outputs for them.
GOLDEN = "golden"


def hash_file(path: Path) -> str:
    """The file's sha256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write `value`, of JSON types, arrays as tuples or dataclasses, with sorted keys: the same bytes every time."""
    text = json.dumps(msgspec.to_builtins(value), indent=2, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def golden_file(kind: Literal["input", "output"], name: str) -> str:
    """The file of the golden case that holds the input or output `name`, relative to the bundle's folder."""
    return f"{GOLDEN}/{kind}_{name}.npy"
