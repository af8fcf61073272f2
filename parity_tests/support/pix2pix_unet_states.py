"""Seeded state dicts of pix2pix's U-Net, in the key names of upstream's files.

The keys are spelled here again, from the published net, not taken from the module under test.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

NORMS = ("batch", "instance")


def name_block(level: int) -> str:
    """Start of the keys of a block's layers; 0 is the outermost."""
    return "model.model." if level == 0 else "model.model.1." + "model.3." * (level - 1) + "model."


def make_state(
    norm: str = "batch", depth: int = 7, base: int = 8, channels: tuple[int, int] = (3, 3), seed: int = 0
) -> dict[str, Tensor]:
    """A state dict.

    Args:
        norm: One of NORMS; a batch norm's comes with its running statistics.
        depth: Of blocks: 7 in `unet_128`, 8 in `unet_256`.
        base: Channels after the first convolution; they double up to 8 times that.
        channels: Of the images in and out.
        seed: Of every value.
    """
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    widths = [base * factor for factor in (1, 2, 4, 8, *[8] * (depth - 4))]

    def conv(key: str, out: int, cin: int, *, bias: bool, transposed: bool = False) -> None:
        shape = (cin, out, 4, 4) if transposed else (out, cin, 4, 4)
        fan_in = cin * 16 / (4 if transposed else 1)
        state[f"{key}.weight"] = torch.randn(shape, generator=random) * (2 / fan_in) ** 0.5
        if bias:
            state[f"{key}.bias"] = 0.1 * torch.randn(out, generator=random)

    def norm_of(key: str, size: int) -> None:
        if norm == "batch":
            state[f"{key}.weight"] = 1 + 0.2 * torch.randn(size, generator=random)
            state[f"{key}.bias"] = 0.2 * torch.randn(size, generator=random)
            state[f"{key}.running_mean"] = 0.2 * torch.randn(size, generator=random)
            state[f"{key}.running_var"] = 0.5 + torch.rand(size, generator=random)
            state[f"{key}.num_batches_tracked"] = torch.tensor(1000)

    biased = norm == "instance"
    conv("model.model.0", widths[0], channels[0], bias=biased)
    for level in range(1, depth):
        at, outer, inner = name_block(level), widths[level - 1], widths[level]
        conv(f"{at}1", inner, outer, bias=biased)
        if level == depth - 1:
            conv(f"{at}3", outer, inner, bias=biased, transposed=True)
            norm_of(f"{at}4", outer)
        else:
            norm_of(f"{at}2", inner)
            conv(f"{at}5", outer, 2 * inner, bias=biased, transposed=True)
            norm_of(f"{at}6", outer)
    conv("model.model.3", channels[1], 2 * widths[0], bias=True, transposed=True)
    return state


def write_checkpoint(folder: Path, norm: str = "batch", depth: int = 7, base: int = 8) -> Path:
    """The state dict alone, as upstream saves it."""
    path = folder / f"latest_net_G_{norm}_{depth}x{base}.pth"
    torch.save(make_state(norm, depth, base), path)
    return path
