"""What is known of a checkpoint once its file has been read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        path: The file.
        format: "torch zip", "torch legacy" or "safetensors".
        tensors: Tensor by key, without the prefixes of wrappers; floating point tensors are float32 and finite.
        settings: The numbers and short strings that stood next to a wrapped state dict, such as the iteration.
        sha256: SHA-256 of the file's bytes, in hex.
    """

    path: Path
    format: str
    tensors: Mapping[str, Tensor]
    settings: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
