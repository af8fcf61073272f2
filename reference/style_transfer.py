"""Johnson's style transfer net: a photo redrawn in the style that the checkpoint was trained to.

Paper: Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", arXiv
1603.08155, with instance norm for batch norm (Ulyanov, Vedaldi, Lempitsky, arXiv 1607.08022). Layers and key names
follow the files of the fast_neural_style example of pytorch/examples (BSD 3-clause); the code is our own.

Base channels and the number of blocks are read from keys and shapes. What no key tells is taken as upstream has it:
reflect padding before every convolution, eps 1e-5, pixels repeated before the upsampling convolutions. Running
means and variances, which files of 2017 hold beside each norm, are left out, as upstream leaves them out: norms
always use the image's own.

Deviations: the stage maps [0, 1] to the net's 0 to 255 and back, which upstream does outside the net. Upstream clamps
when it writes the picture; here nothing is clamped, and values leave [0, 1] a little.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from converters.tensors import Array, Tensors
from reference.checkpoint import Checkpoint
from reference.key_match import KeyMatch, Shapes, compare_keys, list_shapes, load_weights, read_base
from reference.model import Contract, OutputPolicy, ReferenceModel
from reference.resnet_generator import image_feeds, instance_norm, plane

USUAL_BASE, USUAL_BLOCKS = 32, 5
LEVELS = 255


class ConvLayer(nn.Module):
    """(N, in, H, W) -> (N, out, H/stride, W/stride); pixels repeated `repeat` times first, padded by reflection."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, repeat: int = 1) -> None:
        super().__init__()
        self.repeat = nn.Upsample(scale_factor=repeat) if repeat > 1 else nn.Identity()
        self.pad = nn.ReflectionPad2d(kernel // 2)
        self.conv2d = nn.Conv2d(in_channels, out_channels, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2d(self.pad(self.repeat(x)))
        return y


class ResidualBlock(nn.Module):
    """(N, C, H, W) -> the same; two 3x3 convolutions added to the input, no ReLU after."""

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
    """(N, 3, H, W) in [0, 255] -> the same, not clamped; H and W multiples of 4, 8 or more.

    Args:
        base: Channels after the first convolution.
        blocks: Residual blocks, `res1` and on.
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
    """Maps the photo from [0, 1] to the net's [0, 255], and what it gives back."""

    def __init__(self, generator: TransformerNet) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor) -> Tensor:
        y: Tensor = self.generator(image * LEVELS)  # (N, 3, H, W)
        return y / LEVELS


def raw_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    return {"x": photo * np.float32(LEVELS)}


def read_hyperparameters(shapes: Shapes) -> tuple[int, int]:
    """(base channels, blocks) that a checkpoint's keys and shapes come nearest to."""
    found = {int(hit[1]) for key in shapes if (hit := re.match(r"res(\d{1,3})\.", key))}
    return read_base(shapes, "conv1.conv2d.weight", USUAL_BASE), max(found, default=USUAL_BLOCKS)


@dataclass(frozen=True)
class StyleTransfer:
    """The net, as `identify` sees it."""

    name: str = "style-transfer"
    license_note: str = "The files hold the checkpoint's weights and stay under the checkpoint's licence."

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare keys and shapes with what this net of the file's base channels and blocks would have."""
        with torch.device("meta"):
            net = TransformerNet(*read_hyperparameters(shapes))
        left_out = {
            f"{norm}.{statistic}": (module.num_features,)
            for norm, module in net.named_modules()
            if isinstance(module, nn.InstanceNorm2d)
            for statistic in ("running_mean", "running_var")
        }
        return compare_keys(self.name, shapes, list_shapes(net.state_dict()), left_out)

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The net with the checkpoint's weights, in eval mode.

        Raises:
            ArchitectureError: a weight is no floating point tensor.
        """
        base, blocks = read_hyperparameters(list_shapes(checkpoint.tensors))
        generator = TransformerNet(base, blocks)
        load_weights(generator, checkpoint)
        inputs, outputs, make_feeds = self.contract(raw)
        module = generator if raw else StyleStage(generator)
        hyperparameters = {"base_channels": base, "blocks": blocks}
        judging = {"y": OutputPolicy(relative=True)} if raw else {}
        return ReferenceModel(self.name, hyperparameters, inputs, outputs, module.eval(), judging, make_feeds)

    def contract(self, raw: bool) -> Contract:
        """The stage maps ranges; the bare net has its own."""
        if raw:
            x = plane("x", "the photo, RGB, in levels", (0.0, 255.0))
            y = plane("y", "the picture, RGB, in levels of 0 to 255, not clamped: clamp it before you show it", None)
            return Contract((x,), (y,), raw_feeds)
        image = plane("image", "the photo, RGB", (0.0, 1.0))
        result = plane("result", "the picture, RGB, about 0 to 1, not clamped: clamp it before you show it", None)
        return Contract((image,), (result,), image_feeds)


STYLE_TRANSFER = StyleTransfer()
