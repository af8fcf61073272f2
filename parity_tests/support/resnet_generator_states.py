"""State dicts of ResNet image-to-image generators with seeded random weights, in the key names of upstream's files.

8 channels at first: with 4, MXNet's convolutions round a constant image unevenly, and norms of what should be constant
make a pattern of that. Norms that learn get scales around 1 and biases around 0, far enough from them to be missed if
they are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

# name -> what its blocks are called, the second convolution's place in a block, the kind of norm ("plain", "affine" or
# "batch", before which convolutions have no bias), pixels repeated
CYCLEGAN_LAYOUTS = {
    "cyclegan": ("conv_block", 5, "plain", False),
    "cyclegan with dropout": ("conv_block", 6, "plain", False),
    "cyclegan, affine": ("conv_block", 5, "affine", False),
    "cyclegan with dropout, affine": ("conv_block", 6, "affine", False),
    "cyclegan, batch norm": ("conv_block", 5, "batch", False),
    "cyclegan with dropout, batch norm": ("conv_block", 6, "batch", False),
    "pytorch-gan": ("block", 5, "plain", True),
    "vintagify": ("block", 5, "affine", False),
}
STYLE = "style transfer"
LAYOUTS = (*CYCLEGAN_LAYOUTS, STYLE)


def make_state(
    layout: str, base: int = 8, blocks: int = 2, seed: int = 0, channels: tuple[int, int] = (3, 3)
) -> dict[str, Tensor]:
    """A state dict of one of LAYOUTS; `channels` are those of the images in and out, 3 in the style net."""
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    def conv(key: str, out: int, cin: int, kernel: int, *, transposed: bool = False) -> None:
        shape = (cin, out, kernel, kernel) if transposed else (out, cin, kernel, kernel)
        state[f"{key}.weight"] = normal(*shape) / (cin * kernel * kernel / (4 if transposed else 1)) ** 0.5
        state[f"{key}.bias"] = 0.1 * normal(out)

    def norm(key: str, channels: int) -> None:
        state[f"{key}.weight"] = 1 + 0.2 * normal(channels)
        state[f"{key}.bias"] = 0.2 * normal(channels)

    if layout == STYLE:
        for key, out, cin, kernel in (("1", base, 3, 9), ("2", 2 * base, base, 3), ("3", 4 * base, 2 * base, 3)):
            conv(f"conv{key}.conv2d", out, cin, kernel)
            norm(f"in{key}", out)
        for block in range(1, blocks + 1):
            for key in "12":
                conv(f"res{block}.conv{key}.conv2d", 4 * base, 4 * base, 3)
                norm(f"res{block}.in{key}", 4 * base)
        for key, after, out, cin in (("1", "4", 2 * base, 4 * base), ("2", "5", base, 2 * base)):
            conv(f"deconv{key}.conv2d", out, cin, 3)
            norm(f"in{after}", out)
        conv("deconv3.conv2d", 3, base, 9)
        # As a trained net's last layer: pictures of 0 to 255 and a little beyond.
        state["deconv3.conv2d.weight"] *= 40
        state["deconv3.conv2d.bias"] += 128
        return state

    name, second, kind, repeated = CYCLEGAN_LAYOUTS[layout]

    def conv_and_norm(place: str, index: int, out: int, cin: int, kernel: int, *, transposed: bool = False) -> None:
        conv(f"{place}.{index}", out, cin, kernel, transposed=transposed)
        if kind != "plain":
            norm(f"{place}.{index + 1}", out)
        if kind == "batch":
            del state[f"{place}.{index}.bias"]
            state[f"{place}.{index + 1}.running_mean"] = 0.3 * normal(out)
            state[f"{place}.{index + 1}.running_var"] = 0.5 + torch.rand(out, generator=random)

    conv_and_norm("model", 1, base, channels[0], 7)
    conv_and_norm("model", 4, 2 * base, base, 3)
    conv_and_norm("model", 7, 4 * base, 2 * base, 3)
    for block in range(10, 10 + blocks):
        for index in (1, second):
            conv_and_norm(f"model.{block}.{name}", index, 4 * base, 4 * base, 3)
    up = 10 + blocks
    if repeated:
        conv_and_norm("model", up + 1, 2 * base, 4 * base, 3)
        conv_and_norm("model", up + 5, base, 2 * base, 3)
        conv(f"model.{up + 9}", channels[1], base, 7)
    else:
        conv_and_norm("model", up, 2 * base, 4 * base, 3, transposed=True)
        conv_and_norm("model", up + 3, base, 2 * base, 3, transposed=True)
        conv(f"model.{up + 7}", channels[1], base, 7)
    return state


def list_norms(layout: str, base: int = 8, blocks: int = 2) -> dict[str, int]:
    """The key of every norm, and its channels: where files of old put running statistics."""
    if layout == STYLE:
        inside = {f"res{block}.in{key}": 4 * base for block in range(1, blocks + 1) for key in "12"}
        return {"in1": base, "in2": 2 * base, "in3": 4 * base, **inside, "in4": 2 * base, "in5": base}
    name, second, _, repeated = CYCLEGAN_LAYOUTS[layout]
    inside = {f"model.{block}.{name}.{i + 1}": 4 * base for block in range(10, 10 + blocks) for i in (1, second)}
    first, second = (12 + blocks, 16 + blocks) if repeated else (11 + blocks, 14 + blocks)
    ends = {f"model.{first}": 2 * base, f"model.{second}": base}
    return {"model.2": base, "model.5": 2 * base, "model.8": 4 * base, **inside, **ends}


def add_running_statistics(
    state: dict[str, Tensor], norms: dict[str, int], *, count: bool = False, seed: int = 1
) -> dict[str, Tensor]:
    """The state with a running mean and variance for every norm; with `count`, with the batches that they saw."""
    random = torch.Generator().manual_seed(seed)
    added = dict(state)
    for key, channels in norms.items():
        added[f"{key}.running_mean"] = torch.randn(channels, generator=random)
        added[f"{key}.running_var"] = 0.5 + torch.rand(channels, generator=random)
        if count:
            added[f"{key}.num_batches_tracked"] = torch.tensor(7)
    return added
