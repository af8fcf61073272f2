"""Checkpoints and reference models made of a state dict in memory, and photos with holes; no file is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from reference.checkpoint_data import Checkpoint
from reference.model import ReferenceModel
from reference.registry import ARCHITECTURES, identify, open_architecture


def make_checkpoint(state: Mapping[str, Tensor]) -> Checkpoint:
    """A checkpoint as `read_checkpoint` would give it for a file `net.pth` with this state dict."""
    return Checkpoint(Path("net.pth"), "torch zip", state)


def build_model(state: Mapping[str, Tensor], *, raw: bool = False) -> ReferenceModel:
    """The reference model that the state dict is identified as; `raw` asks for the bare generator."""
    checkpoint = make_checkpoint(state)
    return identify(checkpoint).build(checkpoint, raw)


def list_matching_architectures(state: Mapping[str, Tensor]) -> list[str]:
    """Names of the architectures that the state dict's keys and shapes fit without a fault."""
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    matches = [open_architecture(name).match(shapes) for name in ARCHITECTURES]
    return [match.architecture for match in matches if not match.faults]


def without_key(state: Mapping[str, Tensor], key: str) -> dict[str, Tensor]:
    """A copy of the state dict that lacks one of its keys."""
    assert key in state
    return {name: value for name, value in state.items() if name != key}


def make_planes(height: int, width: int, items: int = 2) -> tuple[Tensor, Tensor]:
    """Photos (N, 3, H, W) of noise, and masks (N, 1, H, W), float64, whose hole moves from item to item."""
    random = torch.Generator().manual_seed(height + width)
    image = torch.rand((items, 3, height, width), generator=random, dtype=torch.float64)
    mask = torch.zeros(items, 1, height, width, dtype=torch.float64)
    for item in range(items):
        mask[item, :, height // 4 : height // 2, width // 3 + item :] = 1
    return image, mask
