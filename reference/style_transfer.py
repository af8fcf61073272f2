"""Johnson's style transfer net: redraws a photo in the one style that the checkpoint was trained for.

Paper: Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", arXiv
1603.08155, with instance norm instead of batch norm (Ulyanov, Vedaldi, Lempitsky, arXiv 1607.08022). Layers and key
names follow the files of the fast_neural_style example of pytorch/examples (BSD 3-clause); the code is our own.

Keys and shapes give the base channels and the number of blocks. Everything else is as in upstream: reflect padding
before every convolution, eps 1e-5, and upsampling by repeated pixels before a convolution. Running means and variances,
which files of 2017 hold next to each norm, are ignored, as upstream ignores them: norms always use the image's own
statistics.

Deviations: the stage maps [0, 1] to the net's [0, 255] and back, which upstream does outside the net. Upstream clamps
when it writes the picture; here nothing is clamped, and values may lie slightly outside [0, 1].
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from converters.tensors import Array, Tensors
from reference.checkpoint_data import Checkpoint
from reference.image_stage import plane_spec
from reference.key_match import KeyMatch, Shapes, compare_keys, list_shapes, load_weights, read_base
from reference.model import Contract, OutputPolicy, ReferenceModel
from reference.resnet_generator import instance_norm, running_statistics

# What a file is compared with where its own keys and shapes say nothing.
USUAL_BASE, USUAL_BLOCKS = 32, 5
# The net's value for white.
WHITE = 255


class ConvLayer(nn.Module):
    """(N, in, H, W) -> (N, out, repeat H / stride, repeat W / stride): upsample, pad by reflection, convolve.

    Upsampling repeats each pixel `repeat` times along H and W.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, repeat: int = 1) -> None:
        super().__init__()
        self.repeat = nn.Upsample(scale_factor=repeat) if repeat > 1 else nn.Identity()
        self.pad = nn.ReflectionPad2d(kernel // 2)
        self.conv2d = nn.Conv2d(in_channels, out_channels, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2d(self.pad(self.repeat(x)))
        return y


class ResidualBlock(nn.Module):
    """(N, C, H, W) -> the same: the input plus the output of two 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(channels, channels, 3)
        self.in1 = instance_norm(channels, affine=True)
        self.conv2 = ConvLayer(channels, channels, 3)
        self.in2 = instance_norm(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.in1(self.conv1(x)))  # (N, C, H, W)
        residual: Tensor = self.in2(self.conv2(y))
        return x + residual


class TransformerNet(nn.Module):
    """(N, 3, H, W) in [0, 255] -> the same, not clamped; H and W are multiples of 4 and at least 8.

    Args:
        base: Channels after the first convolution.
        blocks: Number of residual blocks; they are named `res1`, `res2` and so on.
    """

    def __init__(self, base: int, blocks: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(3, base, 9)
        self.in1 = instance_norm(base, affine=True)
        self.conv2 = ConvLayer(base, 2 * base, 3, stride=2)
        self.in2 = instance_norm(2 * base, affine=True)
        self.conv3 = ConvLayer(2 * base, 4 * base, 3, stride=2)
        self.in3 = instance_norm(4 * base, affine=True)
        self.blocks = blocks
        for block in range(1, blocks + 1):
            self.add_module(f"res{block}", ResidualBlock(4 * base))
        self.deconv1 = ConvLayer(4 * base, 2 * base, 3, repeat=2)
        self.in4 = instance_norm(2 * base, affine=True)
        self.deconv2 = ConvLayer(2 * base, base, 3, repeat=2)
        self.in5 = instance_norm(base, affine=True)
        self.deconv3 = ConvLayer(base, 3, 9)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.in1(self.conv1(x)))  # (N, base, H, W)
        y = torch.relu(self.in2(self.conv2(y)))  # (N, 2 base, H/2, W/2)
        y = torch.relu(self.in3(self.conv3(y)))  # (N, 4 base, H/4, W/4)
        for block in range(1, self.blocks + 1):
            y = self.get_submodule(f"res{block}")(y)  # (N, 4 base, H/4, W/4)
        y = torch.relu(self.in4(self.deconv1(y)))  # (N, 2 base, H/2, W/2)
        y = torch.relu(self.in5(self.deconv2(y)))  # (N, base, H, W)
        picture: Tensor = self.deconv3(y)  # (N, 3, H, W)
        return picture


class StyleStage(nn.Module):
    """image (N, 3, H, W) in [0, 1] -> the same, not clamped; the net in between takes and gives [0, 255]."""

    def __init__(self, generator: TransformerNet) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor) -> Tensor:
        y: Tensor = self.generator(image * WHITE)  # (N, 3, H, W)
        return y / WHITE


def image_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    return {"image": photo}


def raw_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    return {"x": photo * np.float32(WHITE)}


def read_hyperparameters(shapes: Shapes) -> tuple[int, int]:
    """(base channels, blocks) of the net that a file's keys and shapes come nearest to."""
    found = {int(hit[1]) for key in shapes if (hit := re.match(r"res(\d{1,3})\.", key))}
    return read_base(shapes, "conv1.conv2d.weight", USUAL_BASE), max(found, default=USUAL_BLOCKS)


@dataclass(frozen=True)
class StyleTransfer:
    """The net as an architecture; see reference.model.Architecture."""

    name: str = "style-transfer"
    license_note: str = "The files hold the checkpoint's weights and stay under the checkpoint's licence."

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare keys and shapes with those of a net that has the file's base channels and number of blocks."""
        with torch.device("meta"):
            net = TransformerNet(*read_hyperparameters(shapes))
        ignored = running_statistics(net, counters=False)
        return compare_keys(self.name, shapes, list_shapes(net.state_dict()), ignored)

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The net with the checkpoint's weights, in eval mode.

        Raises:
            ArchitectureError: a weight is not a floating point tensor.
        """
        base, blocks = read_hyperparameters(list_shapes(checkpoint.tensors))
        generator = TransformerNet(base, blocks)
        load_weights(generator, checkpoint)
        inputs, outputs, make_feeds = self.contract(raw)
        module = generator if raw else StyleStage(generator)
        hyperparameters = {"base_channels": base, "blocks": blocks}
        policies = {"y": OutputPolicy(relative=True)} if raw else {}
        return ReferenceModel(self.name, hyperparameters, inputs, outputs, module.eval(), policies, make_feeds)

    def contract(self, raw: bool) -> Contract:
        """Inputs and outputs: in [0, 1] for the stage, in [0, 255] for the net; outputs may lie outside."""
        if raw:
            x = plane_spec("x", "the photo, RGB, in levels", (0.0, 255.0))
            y = plane_spec(
                "y", "the picture, RGB, in levels of 0 to 255, not clamped: clamp it before you show it", None
            )
            return Contract((x,), (y,), raw_feeds)
        image = plane_spec("image", "the photo, RGB", (0.0, 1.0))
        result = plane_spec("result", "the picture, RGB, about 0 to 1, not clamped: clamp it before you show it", None)
        return Contract((image,), (result,), image_feeds)


STYLE_TRANSFER = StyleTransfer()
