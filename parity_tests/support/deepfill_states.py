"""DeepFill checkpoints with seeded random weights, in the key names of the two published layouts.

Keys and shapes are spelled here again, from the published nets, not taken from the module under test. Channels are in
quarters of the base: (name, in, out, kernel); the convolution has twice `out` rows, but for the last of a net.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

LAYOUTS = ("tf", "pt")
FILES = {"tf": "states_tf_places2.pth", "pt": "states_pt_places2.pth"}
FUSE_KEY = "stage2.contextual_attention.fuse_weight"

TF = """
conv1 5: 2 5 | conv2_downsample 2 4 3 | conv3 4 4 3 | conv4_downsample 4 8 3 | conv5 8 8 3 | conv6 8 8 3
conv7_atrous 8 8 3 | conv8_atrous 8 8 3 | conv9_atrous 8 8 3 | conv10_atrous 8 8 3 | conv11 8 8 3 | conv12 8 8 3
conv13_upsample.conv 8 4 3 | conv14 4 4 3 | conv15_upsample.conv 4 2 3 | conv16 2 1 3 | conv17 1 3: 3
xconv1 3: 2 5 | xconv2_downsample 2 2 3 | xconv3 2 4 3 | xconv4_downsample 4 4 3 | xconv5 4 8 3 | xconv6 8 8 3
xconv7_atrous 8 8 3 | xconv8_atrous 8 8 3 | xconv9_atrous 8 8 3 | xconv10_atrous 8 8 3
pmconv1 3: 2 5 | pmconv2_downsample 2 2 3 | pmconv3 2 4 3 | pmconv4_downsample 4 8 3 | pmconv5 8 8 3 | pmconv6 8 8 3
pmconv9 8 8 3 | pmconv10 8 8 3 | allconv11 16 8 3 | allconv12 8 8 3
allconv13_upsample.conv 8 4 3 | allconv14 4 4 3 | allconv15_upsample.conv 4 2 3 | allconv16 2 1 3 | allconv17 1 3: 3
"""
PT = """
stage1.conv1 5: 2 5 | stage1.down_block1.conv1_downsample 2 4 3 | stage1.down_block1.conv2 4 4 3
stage1.down_block2.conv1_downsample 4 8 3 | stage1.down_block2.conv2 8 8 3
stage1.conv_bn1 8 8 3 | stage1.conv_bn2 8 8 3 | stage1.conv_bn3 8 8 3 | stage1.conv_bn4 8 8 3
stage1.conv_bn5 8 8 3 | stage1.conv_bn6 8 8 3 | stage1.conv_bn7 8 8 3
stage1.up_block1.conv1_upsample.conv 8 4 3 | stage1.up_block1.conv2 4 4 3
stage1.up_block2.conv1_upsample.conv 4 2 3 | stage1.up_block2.conv2 2 1 3 | stage1.conv_to_rgb 1 3: 3
stage2.conv_conv1 3: 2 5 | stage2.conv_down_block1.conv1_downsample 2 2 3 | stage2.conv_down_block1.conv2 2 4 3
stage2.conv_down_block2.conv1_downsample 4 4 3 | stage2.conv_down_block2.conv2 4 8 3
stage2.conv_conv_bn1 8 8 3 | stage2.conv_conv_bn2 8 8 3 | stage2.conv_conv_bn3 8 8 3 | stage2.conv_conv_bn4 8 8 3
stage2.conv_conv_bn5 8 8 3
stage2.ca_conv1 3: 2 5 | stage2.ca_down_block1.conv1_downsample 2 2 3 | stage2.ca_down_block1.conv2 2 4 3
stage2.ca_down_block2.conv1_downsample 4 8 3 | stage2.ca_down_block2.conv2 8 8 3 | stage2.ca_conv_bn1 8 8 3
stage2.ca_conv_bn4 8 8 3 | stage2.ca_conv_bn5 8 8 3 | stage2.conv_bn6 16 8 3 | stage2.conv_bn7 8 8 3
stage2.up_block1.conv1_upsample.conv 8 4 3 | stage2.up_block1.conv2 4 4 3
stage2.up_block2.conv1_upsample.conv 4 2 3 | stage2.up_block2.conv2 2 1 3 | stage2.conv_to_rgb 1 3: 3
"""


def rows(layout: str) -> Iterable[tuple[str, str, str, int]]:
    """(name, in, out, kernel) of every convolution; "5:" and "3:" are counts, the rest quarters of the base."""
    for line in {"tf": TF, "pt": PT}[layout].strip().splitlines():
        for row in line.split(" | "):
            name, cin, cout, kernel = row.split()
            yield name, cin, cout, int(kernel)


def make_state(layout: str, base: int = 8, seed: int = 0) -> dict[str, Tensor]:
    """A state dict of the layout "tf" (networks_tf.py) or "pt" (networks.py); `base` is a multiple of 4, but not 12.

    With a base of 12 upstream takes the 3 channels before the last convolution for red, green and blue, and leaves
    their gate out.
    """
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def count(channels: str) -> int:
        return int(channels[:-1]) if channels.endswith(":") else int(channels) * base // 4

    for name, cin, cout, kernel in rows(layout):
        fan_in = count(cin) * kernel * kernel
        out = count(cout) if cout == "3:" else 2 * count(cout)
        # Gates halve what they let through: a gain of 2 keeps the signal alive to the last layer.
        state[f"{name}.conv.weight"] = 2 * torch.randn(out, count(cin), kernel, kernel, generator=random) / fan_in**0.5
        state[f"{name}.conv.bias"] = 0.1 * torch.randn(out, generator=random)
    if layout == "pt":
        state[FUSE_KEY] = torch.eye(3).reshape(1, 1, 3, 3)
    return state


def write_checkpoint(folder: Path, layout: str, base: int = 8, seed: int = 0) -> Path:
    """A file as published: {"G": state dict, ...}."""
    path = folder / FILES[layout]
    torch.save({"G": make_state(layout, base, seed), "n_iter": 100}, path)
    return path
