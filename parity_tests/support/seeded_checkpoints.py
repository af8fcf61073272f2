"""Checkpoints with seeded random weights, in the format and key names of upstream's files.

Every `weight_orig` is scaled by 10^U(-2, 2): the InstanceNorm after a convolution cancels the scale of its weights,
so that weights left unfolded would hardly show otherwise.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

FULL_BASE, FULL_BLOCKS = 64, 8
POWER_ITERATIONS = 20
NETS = {"edge": (3, 1), "inpaint": (4, 3)}
FILES = {"edge": "EdgeModel_gen.pth", "inpaint": "InpaintingModel_gen.pth"}


def make_state(net: str, base: int = 4, blocks: int = 1, seed: int = 0, form: str = "hooks") -> dict[str, Tensor]:
    """A state dict of the "edge" or the "inpaint" net.

    Args:
        form: How the edge net holds its spectral norm: "hooks" (weight_orig, weight_u, weight_v), "hooks of torch 0.4"
            (weight_orig, weight_u, and the weight divided by sigma), "parametrizations" (weight.original, 0._u, 0._v)
            or "folded" (plain weights, divided by sigma).
    """
    random = torch.Generator().manual_seed(seed)
    in_channels, out_channels = NETS[net]
    state: dict[str, Tensor] = {}

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    def conv(key: str, out: int, cin: int, kernel: int, *, bias: bool = True, transposed: bool = False) -> None:
        shape = (cin, out, kernel, kernel) if transposed else (out, cin, kernel, kernel)
        weight = normal(*shape) / (cin * kernel * kernel / (4 if transposed else 1)) ** 0.5
        if bias:
            state[f"{key}.bias"] = 0.1 * normal(out)
        if net == "edge" and key != "decoder.7":
            weight = weight * 10 ** (4 * torch.rand((), generator=random) - 2)
            state.update(_spectral(key, weight, 1 if transposed else 0, form, random))
        else:
            state[f"{key}.weight"] = weight

    conv("encoder.1", base, in_channels, 7)
    conv("encoder.4", 2 * base, base, 4)
    conv("encoder.7", 4 * base, 2 * base, 4)
    for block in range(blocks):
        for index in (1, 5):
            conv(f"middle.{block}.conv_block.{index}", 4 * base, 4 * base, 3, bias=net == "inpaint")
    conv("decoder.0", 2 * base, 4 * base, 4, transposed=True)
    conv("decoder.3", base, 2 * base, 4, transposed=True)
    conv("decoder.7", out_channels, base, 7)
    return state


def _spectral(key: str, weight: Tensor, dim: int, form: str, random: torch.Generator) -> dict[str, Tensor]:
    matrix = weight.transpose(0, dim).flatten(1)
    u = nn.functional.normalize(torch.randn(matrix.shape[0], generator=random), dim=0)
    for _ in range(POWER_ITERATIONS):
        v = nn.functional.normalize(matrix.T @ u, dim=0)
        u = nn.functional.normalize(matrix @ v, dim=0)
    if form == "folded":
        return {f"{key}.weight": weight / (u @ matrix @ v)}
    if form == "hooks of torch 0.4":
        return {f"{key}.weight_orig": weight, f"{key}.weight_u": u, f"{key}.weight": weight / (u @ matrix @ v)}
    names = {
        "hooks": ("weight_orig", "weight_u", "weight_v"),
        "parametrizations": tuple(f"parametrizations.weight.{part}" for part in ("original", "0._u", "0._v")),
    }[form]
    return {f"{key}.{name}": value for name, value in zip(names, (weight, u, v), strict=True)}


def write_checkpoint(folder: Path, net: str, base: int = 4, blocks: int = 1, seed: int = 0) -> Path:
    """A file as upstream's training writes it, spectral norm alive: {"iteration": int, "generator": state dict}."""
    path = folder / FILES[net]
    torch.save({"iteration": 2_000_000, "generator": make_state(net, base, blocks, seed)}, path)
    return path
