"""Seeded state dicts of AOT-GAN's generator, in the key names of upstream's files.

The keys are spelled here again, from the published net, not taken from the module under test.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor


def make_state(base: int = 8, blocks: int = 2, seed: int = 0) -> dict[str, Tensor]:
    """A state dict; `base` is 64 and `blocks` 8 in upstream's files."""
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def conv(key: str, out: int, cin: int, kernel: int = 3, gain: float = 1.4) -> None:
        scale = gain / (cin * kernel * kernel) ** 0.5
        state[f"{key}.weight"] = scale * torch.randn(out, cin, kernel, kernel, generator=random)
        state[f"{key}.bias"] = 0.1 * torch.randn(out, generator=random)

    conv("encoder.1", base, 4, 7)
    conv("encoder.3", 2 * base, base, 4)
    conv("encoder.5", 4 * base, 2 * base, 4)
    for block in range(blocks):
        for branch in ("00", "01", "02", "03"):
            conv(f"middle.{block}.block{branch}.1", base, 4 * base)
        conv(f"middle.{block}.fuse.1", 4 * base, 4 * base)
        conv(f"middle.{block}.gate.1", 4 * base, 4 * base)
    conv("decoder.0.conv", 2 * base, 4 * base)
    conv("decoder.2.conv", base, 2 * base)
    conv("decoder.4", 3, base, gain=0.5)
    return state


def write_checkpoint(folder: Path, base: int = 8, blocks: int = 2) -> Path:
    """The state dict alone, as upstream saves it."""
    path = folder / "G0000000.pt"
    torch.save(make_state(base, blocks), path)
    return path
