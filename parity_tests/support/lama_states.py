"""Seeded state dicts of LaMa's generators, in the key names of upstream's files.

The keys are spelled here again, from the published nets, not taken from the module under test.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

KINDS = ("fourier", "dilated", "plain")
DILATIONS = 4
PREFIX = "generator."


class _Writer:
    """Adds seeded tensors to a state dict."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.state: dict[str, Tensor] = {}

    def conv(
        self, key: str, out: int, cin: int, kernel: int = 3, *, bias: bool = False, transposed: bool = False
    ) -> None:
        shape = (cin, out, kernel, kernel) if transposed else (out, cin, kernel, kernel)
        fan_in = cin * kernel * kernel / (4 if transposed else 1)
        self.state[f"{key}.weight"] = torch.randn(shape, generator=self.random) * (2 / fan_in) ** 0.5
        if bias:
            self.state[f"{key}.bias"] = 0.1 * torch.randn(out, generator=self.random)

    def norm(self, key: str, size: int, gain: float = 0.8) -> None:
        self.state[f"{key}.weight"] = gain * (1 + 0.2 * torch.randn(size, generator=self.random))
        self.state[f"{key}.bias"] = 0.2 * gain * torch.randn(size, generator=self.random)
        self.state[f"{key}.running_mean"] = 0.2 * torch.randn(size, generator=self.random)
        self.state[f"{key}.running_var"] = 0.8 + torch.rand(size, generator=self.random)
        self.state[f"{key}.num_batches_tracked"] = torch.tensor(1000)


def make_state(
    kind: str = "fourier", base: int = 8, blocks: int = 2, downsamplings: int = 3, share: float = 0.75, seed: int = 0
) -> dict[str, Tensor]:
    """A generator's state dict.

    Args:
        kind: One of KINDS; the dilated one has DILATIONS dilations.
        base: Channels after the first convolution; big-lama has 64.
        blocks: 18 in big-lama.
        downsamplings: 3 in upstream's nets.
        share: Of the channels of Fourier blocks that are global.
        seed: Of every value.
    """
    write = _Writer(seed)
    widths = [base << level for level in range(downsamplings + 1)]
    widest = widths[-1]
    # What a block adds is small, or the numbers of many blocks would grow without end.
    residual = 0.5 / blocks**0.5
    if kind == "fourier":
        whole = int(widest * share)
        local = widest - whole
        write.conv("model.1.ffc.convl2l", base, 4, 7)
        write.norm("model.1.bn_l", base)
        for i in range(downsamplings - 1):
            write.conv(f"model.{2 + i}.ffc.convl2l", widths[i + 1], widths[i])
            write.norm(f"model.{2 + i}.bn_l", widths[i + 1])
        last = f"model.{1 + downsamplings}"
        write.conv(f"{last}.ffc.convl2l", local, widths[-2])
        write.conv(f"{last}.ffc.convl2g", whole, widths[-2])
        write.norm(f"{last}.bn_l", local)
        write.norm(f"{last}.bn_g", whole)
        for at in (f"model.{2 + downsamplings + i}.conv{j}" for i in range(blocks) for j in (1, 2)):
            write.conv(f"{at}.ffc.convl2l", local, local)
            write.conv(f"{at}.ffc.convl2g", whole, local)
            write.conv(f"{at}.ffc.convg2l", local, whole)
            write.conv(f"{at}.ffc.convg2g.conv1.0", whole // 2, whole, 1)
            write.norm(f"{at}.ffc.convg2g.conv1.1", whole // 2)
            write.conv(f"{at}.ffc.convg2g.fu.conv_layer", whole // 2 * 2, whole // 2 * 2, 1)
            write.norm(f"{at}.ffc.convg2g.fu.bn", whole // 2 * 2)
            write.conv(f"{at}.ffc.convg2g.conv2", whole, whole // 2, 1)
            gain = 0.8 if at.endswith("conv1") else residual
            write.norm(f"{at}.bn_l", local, gain)
            write.norm(f"{at}.bn_g", whole, gain)
        index = 3 + downsamplings + blocks
    else:
        write.conv("model.1", base, 4, 7, bias=True)
        write.norm("model.2", base)
        for i in range(downsamplings):
            write.conv(f"model.{4 + 3 * i}", widths[i + 1], widths[i], bias=True)
            write.norm(f"model.{5 + 3 * i}", widths[i + 1])
        first = 4 + 3 * downsamplings
        for at in (f"model.{first + i}.conv_block" for i in range(blocks)):
            if kind == "dilated":
                for number in (0, 3):
                    for dilation in range(DILATIONS):
                        write.conv(f"{at}.{number}.convs.{dilation}", widest, widest // DILATIONS, bias=True)
                    write.norm(f"{at}.{number + 1}", widest, residual if number else 0.8)
            else:
                for number in (1, 5):
                    write.conv(f"{at}.{number}", widest, widest, bias=True)
                    write.norm(f"{at}.{number + 1}", widest, residual if number > 1 else 0.8)
        index = first + blocks
    for i in range(downsamplings, 0, -1):
        write.conv(f"model.{index}", widths[i - 1], widths[i], bias=True, transposed=True)
        write.norm(f"model.{index + 1}", widths[i - 1])
        index += 3
    write.conv(f"model.{index + 1}", 3, base, 7, bias=True)
    return write.state


def make_lightning(state: dict[str, Tensor]) -> dict[str, object]:
    """What upstream's training writes: the generator, its discriminator and the net of a loss in one state dict."""
    beside = {
        "discriminator.model0.0.weight": torch.ones(8, 3, 4, 4),
        "discriminator.model0.0.bias": torch.zeros(8),
        "loss_resnet_pl.impl.conv1.weight": torch.ones(8, 3, 3, 3),
        "val_evaluator.scores.fid.model.blocks.0.0.conv.weight": torch.ones(4, 3, 3, 3),
    }
    whole = {**{f"{PREFIX}{key}": value for key, value in state.items()}, **beside}
    return {"epoch": 39, "global_step": 1000, "pytorch-lightning_version": "1.2.9", "state_dict": whole}


def write_checkpoint(folder: Path, kind: str = "fourier", base: int = 8, blocks: int = 2) -> Path:
    """A file as upstream's training writes it."""
    path = folder / f"lama_{kind}_{blocks}x{base}.ckpt"
    torch.save(make_lightning(make_state(kind, base, blocks)), path)
    return path
