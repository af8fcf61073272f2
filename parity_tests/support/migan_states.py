"""Seeded state dicts of MI-GAN's inference form, in the key names of upstream's files.

The keys are spelled here again, from the published net, not taken from the module under test.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor


def list_resolutions(resolution: int) -> list[int]:
    """4, 8, ..., `resolution`."""
    return [4 << i for i in range(resolution.bit_length() - 2)]


def count_channels(size: int, base: int, most: int) -> int:
    """Channels of one resolution; upstream's base is 32768, and its most 512."""
    return min(base // size, most)


def make_state(resolution: int = 64, base: int = 256, most: int = 16, seed: int = 0) -> dict[str, Tensor]:
    """A state dict; 256 or 512, 32768 and 512 in upstream's files."""
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    # The published filter: [1, 3, 3, 1] by itself, of sum 1, or 4 where it spreads a pixel out.
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    blur = torch.outer(line, line)

    def conv(key: str, out: int, cin: int, kernel: int, *, bias: bool) -> None:
        state[f"{key}.weight"] = torch.randn(out, cin, kernel, kernel, generator=random) / (cin * kernel**2) ** 0.5
        if bias:
            state[f"{key}.bias"] = 0.1 * torch.randn(out, generator=random)

    def near_one(shape: tuple[int, ...]) -> Tensor:
        return 1 + 0.1 * torch.randn(shape, generator=random)

    def upsampling(key: str, channels: int, size: int) -> None:
        pick = torch.zeros(size, size)
        pick[::2, ::2] = 1
        state[f"{key}.filter_const"] = pick[None, None]
        # Trained files may have any numbers here: those of each channel differ, and are not symmetric.
        state[f"{key}.filter.weight"] = (4 * blur).repeat(channels, 1, 1, 1) * near_one((channels, 1, 4, 4))

    def separable(key: str, cin: int, out: int, *, down: bool = False, up: int = 0, noise: int = 0) -> None:
        conv(f"{key}.conv1", cin, 1, 3, bias=True)
        conv(f"{key}.conv2", out, cin, 1, bias=False)
        if down:
            state[f"{key}.downsample.filter.weight"] = blur.repeat(cin, 1, 1, 1) * near_one((cin, 1, 4, 4))
        if up:
            upsampling(f"{key}.upsample", out, up)
        if noise:
            state[f"{key}.noise_const"] = torch.randn(noise, noise, generator=random)
            state[f"{key}.noise_strength"] = 0.1 + 0.1 * torch.rand((), generator=random)

    sizes = list_resolutions(resolution)
    for size, (cin, smaller) in _pairs(sizes, base, most):
        if size == resolution:
            conv(f"encoder.b{size}.fromrgb", cin, 4, 1, bias=True)
        separable(f"encoder.b{size}.conv1", cin, cin)
        separable(f"encoder.b{size}.conv2", cin, smaller, down=size > 4)
        if size == 4:
            separable("synthesis.b4.conv1", cin, cin)
            separable("synthesis.b4.conv2", cin, cin)
        else:
            separable(f"synthesis.b{size}.conv1", smaller, cin, up=size, noise=size)
            separable(f"synthesis.b{size}.conv2", cin, cin, noise=size)
            upsampling(f"synthesis.b{size}.upsample", 3, size)
        conv(f"synthesis.b{size}.torgb", 3, cin, 1, bias=True)
    return state


def _pairs(sizes: list[int], base: int, most: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Each resolution with its channels and those of the next smaller one."""
    for size in sizes:
        yield size, (count_channels(size, base, most), count_channels(max(size // 2, 4), base, most))


def write_checkpoint(folder: Path, resolution: int = 64) -> Path:
    """The state dict alone, as upstream saves it."""
    path = folder / f"migan_{resolution}.pt"
    torch.save(make_state(resolution), path)
    return path
