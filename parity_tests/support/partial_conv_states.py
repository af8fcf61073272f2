"""Seeded state dicts of the partial-convolution U-Net, key by key in its two layouts."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

LAYOUTS = ("input_conv", "conv2d")
# Keeps results within magnitude 5: with larger weights, the factor of a window with few known values grows by layers.
WEIGHT_GAIN = 0.75


def make_state(layout: str, layers: int, base: int, seed: int) -> dict[str, Tensor]:
    """A state dict; equal seeds give nets that compute the same in both layouts.

    Args:
        layout: "input_conv" (enc_1.conv.input_conv.weight, and enc_1.conv.mask_conv.weight of ones; a layer divides by
            the number of known values) or "conv2d" (enc_1.conv.weight; a layer divides by their share).
        layers: Of the encoder, and of the decoder: 1 or more.
        base: Channels behind enc_1; they double up to 8 times that.
        seed: Of every value.
    """
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    # Behind enc_0, which is the image, enc_1, enc_2, ...
    behind = [3, *(base * (1, 2, 4, 8)[min(number, 3)] for number in range(layers))]

    def conv(name: str, out: int, cin: int, kernel: int) -> None:
        fan_in = cin * kernel * kernel
        weight = torch.randn(out, cin, kernel, kernel, generator=random) * WEIGHT_GAIN / fan_in**0.5
        if layout == "conv2d":
            state[f"{name}.conv.weight"] = weight
        else:
            state[f"{name}.conv.input_conv.weight"] = weight * fan_in
            state[f"{name}.conv.mask_conv.weight"] = torch.ones(out, cin, kernel, kernel)

    def norm(name: str, channels: int) -> None:
        state[f"{name}.bn.weight"] = 0.5 + torch.rand(channels, generator=random)
        state[f"{name}.bn.bias"] = 0.3 * torch.randn(channels, generator=random)
        state[f"{name}.bn.running_mean"] = 0.3 * torch.randn(channels, generator=random)
        state[f"{name}.bn.running_var"] = 0.5 + torch.rand(channels, generator=random)
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(1_000_000)

    for number in range(1, layers + 1):
        kernel = 7 if number == 1 else 5 if number in (2, 3) else 3
        conv(f"enc_{number}", behind[number], behind[number - 1], kernel)
        if number > 1:
            norm(f"enc_{number}", behind[number])
    for number in range(layers, 0, -1):
        out = behind[number - 1]
        conv(f"dec_{number}", out, behind[number] + out, 3)
        if number > 1:
            norm(f"dec_{number}", out)
    state["dec_1.conv.bias" if layout == "conv2d" else "dec_1.conv.input_conv.bias"] = torch.tensor([0.1, -0.2, 0.3])
    return state


def write_checkpoint(folder: Path, layout: str, layers: int, base: int, seed: int) -> Path:
    """The state dict alone, as a file."""
    path = folder / f"{layout}_{layers}x{base}.pth"
    torch.save(make_state(layout, layers, base, seed), path)
    return path
