"""AOT-GAN: fills holes by blocks that look at four distances at once, and lets a gate choose what to replace.

Paper: Zeng, Fu, Chao, Guo, "Aggregated Contextual Transformations for High-Resolution Image Inpainting", arXiv
2104.01431. Upstream: researchmm/AOT-GAN-for-Inpainting at 2cd1afd, licence Apache 2.0. The code is our own. Layers and
key names follow upstream's checkpoints (`G0000000.pt`): `middle.0.block00.1.weight`, ...

Base channels and the number of blocks are read from keys and shapes. The dilations of a block, 1, 2, 4 and 8, leave no
trace in a file: a fork that trains with other `--rates` looks the same.

The net takes [rgb, mask] with rgb in [-1, 1], 1 (white) in the hole, and gives rgb in [-1, 1].

Deviation: the stage does masking, the change of range and compositing, which upstream does outside the net.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from converters.tensors import Array
from reference.checkpoint_data import Checkpoint
from reference.inpaint_contract import generator_contract, stage_contract
from reference.key_match import KeyMatch, Shapes, compare_keys, list_shapes, load_weights, read_base
from reference.model import Contract, OutputPolicy, ReferenceModel

# What a file is compared with where its own keys and shapes say nothing.
USUAL_BASE, USUAL_BLOCKS = 64, 8
# More blocks are taken for damage.
MAX_BLOCKS = 64
DILATIONS = (1, 2, 4, 8)
MULTIPLE = 4
# Reflect padding by 8 pixels needs 9, and the blocks see a quarter of H and W.
MINIMUM = 9 * MULTIPLE
BLOCK_KEY = re.compile(r"middle\.(\d{1,3})\.", re.ASCII)
# Added to the gate's standard deviation.
TINY = 1e-9


class Block(nn.Module):
    """(N, C, H, W) -> (N, C, H, W): a blend of the input and of what four dilated convolutions see; `channels` is C."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for i, dilation in enumerate(DILATIONS):
            conv = nn.Conv2d(channels, channels // len(DILATIONS), 3, dilation=dilation)
            self.add_module(f"block{i:02}", nn.Sequential(nn.ReflectionPad2d(dilation), conv, nn.ReLU()))
        self.fuse = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3))
        self.gate = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        seen = [self.get_submodule(f"block{i:02}")(x) for i in range(len(DILATIONS))]
        new: Tensor = self.fuse(torch.cat(seen, 1))  # (N, C, H, W)
        share = torch.sigmoid(5 * (2 * standardize(self.gate(x)) - 1))  # (N, C, H, W)
        return x * (1 - share) + new * share


def standardize(x: Tensor) -> Tensor:
    """(N, C, H, W) -> the same, each plane with mean 0 and standard deviation 1 (divided by H W - 1)."""
    mean, deviation = x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True)
    return (x - mean) / (deviation + TINY)


class Upsampling(nn.Module):
    """(N, C, H, W) -> (N, cout, 2H, 2W): linear interpolation with aligned corners, then a convolution."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))
        return y


class Generator(nn.Module):
    """(N, 4, H, W) -> (N, 3, H, W) in [-1, 1]; channels in: red, green, blue in [-1, 1], 1 in the hole; mask."""

    def __init__(self, base: int, blocks: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(4, base, 7),  # (N, base, H, W)
            nn.ReLU(),
            nn.Conv2d(base, 2 * base, 4, stride=2, padding=1),  # (N, 2 base, H/2, W/2)
            nn.ReLU(),
            nn.Conv2d(2 * base, 4 * base, 4, stride=2, padding=1),  # (N, 4 base, H/4, W/4)
            nn.ReLU(),
        )
        self.middle = nn.Sequential(*(Block(4 * base) for _ in range(blocks)))
        self.decoder = nn.Sequential(
            Upsampling(4 * base, 2 * base),  # (N, 2 base, H/2, W/2)
            nn.ReLU(),
            Upsampling(2 * base, base),  # (N, base, H, W)
            nn.ReLU(),
            nn.Conv2d(base, 3, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.decoder(self.middle(self.encoder(x))))


class InpaintStage(nn.Module):
    """image (N, 3, H, W) in [0, 1] and mask (N, 1, H, W), 1 in the hole -> the image with its hole filled.

    Known pixels come back bit for bit.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        known = 1 - mask
        y: Tensor = self.generator(torch.cat([(2 * image - 1) * known + mask, mask], 1))  # (N, 3, H, W)
        return (y + 1) / 2 * mask + image * known


@dataclass(frozen=True)
class AotGan:
    """AOT-GAN as an architecture; see reference.model.Architecture."""

    name: str = "aot-gan"
    license_note: str = (
        "The files hold the checkpoint's weights and stay under the checkpoint's licence. AOT-GAN's authors publish "
        "code and weights in a repository under Apache 2.0 (researchmm/AOT-GAN-for-Inpainting)."
    )

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare keys and shapes with those of a net of the file's base channels and number of blocks."""
        with torch.device("meta"):
            net = Generator(*_read_sizes(shapes))
        return compare_keys(self.name, shapes, list_shapes(net.state_dict()), {})

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The net with the checkpoint's weights, in eval mode.

        Raises:
            ArchitectureError: a weight is not a floating point tensor.
        """
        base, blocks = _read_sizes(list_shapes(checkpoint.tensors))
        generator = Generator(base, blocks)
        load_weights(generator, checkpoint)
        inputs, outputs, make_feeds = self.contract(raw)
        module = generator if raw else InpaintStage(generator)
        policies = {} if raw else {"result": OutputPolicy(known="image")}
        hyperparameters = {"base_channels": base, "blocks": blocks}
        return ReferenceModel(self.name, hyperparameters, inputs, outputs, module.eval(), policies, make_feeds)

    def contract(self, raw: bool) -> Contract:
        """Inputs and outputs. The stage does masking, the change of range and compositing, the generator does not."""
        if not raw:
            return stage_contract(MULTIPLE, MINIMUM)
        x = "channels: red, green, blue in [-1, 1], 1 in the hole; mask, 1 is the hole", -1.0
        y = "the whole plane in [-1, 1], not composited", (-1.0, 1.0)
        return generator_contract(x, y, _make_x, MULTIPLE, MINIMUM)


def _read_sizes(shapes: Shapes) -> tuple[int, int]:
    """(base channels, blocks) of the net that a file's keys and shapes come nearest to."""
    blocks = {hit[1] for key in shapes if (hit := BLOCK_KEY.match(key))}
    return read_base(shapes, "encoder.1.weight", USUAL_BASE), min(len(blocks), MAX_BLOCKS) or USUAL_BLOCKS


def _make_x(photo: Array, mask: Array) -> Array:
    return np.concatenate([(2 * photo - 1) * (1 - mask) + mask, mask], axis=1)


AOT_GAN = AotGan()
