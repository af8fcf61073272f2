"""pix2pix's U-Net: an image-to-image net of strided convolutions, nested blocks and skip connections, no mask.

Paper: Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial Networks", arXiv 1611.07004.
The code is our own. Layers and key names follow the files of junyanz/pytorch-CycleGAN-and-pix2pix (BSD), its `unet_128`
and `unet_256`: each block holds the next one, so that keys grow with depth, `model.model.1.model.3.model.1.weight`.

Keys and shapes give the base channels, the depth, the kind of norm, and whether images are RGB or gray (1 channel in, 1
out, or both). With batch norm, convolutions in front of a norm have no bias, and nor has the first one; with instance
norm all have one, norms have no weights, and running statistics next to them, in files of 2017, are ignored as upstream
ignores them.

Deviations:
* Everything is in eval mode: dropout, which no key shows, does nothing, and batch norms use the file's running
  statistics. Upstream's test script keeps dropout on, which makes every result another one, and normalises by the
  image's own statistics, unless it is given `--eval`.
* The stage maps [0, 1] to [-1, 1] and back, which upstream does outside the net.
* Upstream's leaky ReLU overwrites its input, which the skip connection hands on. A ReLU follows at once, and so both
  compute the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reference.checkpoint_data import Checkpoint
from reference.image_stage import ImageStage, image_contract, list_counters, list_weights, read_channels
from reference.key_match import KeyMatch, Shapes, compare_keys, list_shapes, load_weights, read_base
from reference.model import Contract, ReferenceModel
from reference.resnet_generator import EPSILON, instance_norm, running_statistics

# Slope of the leaky ReLU for negative values.
SLOPE = 0.2
# What a file is compared with where its own keys and shapes say nothing: `unet_256`.
USUAL_BASE, USUAL_DEPTH = 64, 8
# Upstream's shallowest net has 5 blocks. H and W are multiples of 2^depth, and parity is proven at several sizes:
# photos go up to 1024.
MIN_DEPTH, MAX_DEPTH = 5, 10
# Channels double from block to block, up to this many times the base.
MAX_WIDENING = 8
# The key of a tensor in the block that is as many blocks deep as "model.3." is repeated, plus 1.
NESTED_KEY = re.compile(r"model\.model\.1\.((?:model\.3\.)*)model\.\d")


@dataclass(frozen=True)
class Layout:
    """The variant of the net that a checkpoint's keys and shapes give.

    Attributes:
        base: Channels after the first convolution.
        depth: Number of blocks, and of times that H and W are halved.
        batch: Whether norms are batch norms; otherwise they are instance norms without weights.
        in_channels: 3 for RGB or 1 for gray.
        out_channels: Likewise.
    """

    base: int = USUAL_BASE
    depth: int = USUAL_DEPTH
    batch: bool = True
    in_channels: int = 3
    out_channels: int = 3

    def width(self, level: int) -> int:
        """Channels between the two halves of the block `level`, of which 0 is the outermost."""
        return self.base * min(1 << level, MAX_WIDENING)

    def norm(self, channels: int) -> nn.Module:
        """(N, C, H, W) -> the same, normalised; `channels` is C."""
        return nn.BatchNorm2d(channels, EPSILON) if self.batch else instance_norm(channels, affine=False)


def read_layout(shapes: Shapes) -> Layout:
    """The layout that a file's keys and shapes come nearest to."""
    levels = [1 + len(hit[1]) // len("model.3.") for key in shapes if (hit := NESTED_KEY.match(key))]
    return Layout(
        read_base(shapes, "model.model.0.weight", USUAL_BASE),
        min(max(MIN_DEPTH, 1 + max(levels)), MAX_DEPTH) if levels else USUAL_DEPTH,
        batch="model.model.0.bias" not in shapes,
        in_channels=read_channels(shapes, "model.model.0.weight", 1),
        out_channels=read_channels(shapes, "model.model.3.weight", 1),
    )


class SkipBlock(nn.Module):
    """(N, C, H, W) -> (N, 2 C, H, W): the input, and what the layers and the blocks inside make of it.

    The outermost block gives the picture alone, (N, out, H, W) in [-1, 1].

    Args:
        layout: Of the whole net.
        level: 0 is the outermost block, layout.depth - 1 the innermost.
    """

    def __init__(self, layout: Layout, level: int = 0) -> None:
        super().__init__()
        outermost, innermost = level == 0, level == layout.depth - 1
        inner = layout.width(level)
        cin = layout.in_channels if outermost else layout.width(level - 1)
        cout = layout.out_channels if outermost else cin
        bias = not layout.batch
        joined = inner if innermost else 2 * inner
        down: list[nn.Module] = [nn.Conv2d(cin, inner, 4, stride=2, padding=1, bias=bias)]  # (N, inner, H/2, W/2)
        if not outermost:
            down.insert(0, nn.LeakyReLU(SLOPE))
        if not outermost and not innermost:
            down.append(layout.norm(inner))
        between = [] if innermost else [SkipBlock(layout, level + 1)]  # (N, 2 inner, H/2, W/2)
        last = nn.Tanh() if outermost else layout.norm(cout)
        up = nn.ConvTranspose2d(joined, cout, 4, stride=2, padding=1, bias=bias or outermost)  # (N, cout, H, W)
        self.outermost = outermost
        self.model = nn.Sequential(*down, *between, nn.ReLU(), up, last)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)  # (N, cout, H, W)
        return y if self.outermost else torch.cat([x, y], 1)


class UnetGenerator(nn.Module):
    """(N, in, H, W) in [-1, 1] -> (N, out, H, W) in [-1, 1]; H and W are multiples of 2^depth."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.model = SkipBlock(layout)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)  # (N, out, H, W)
        return y


@dataclass(frozen=True)
class Pix2PixUnet:
    """The U-Net as an architecture; see reference.model.Architecture."""

    name: str = "pix2pix-unet"
    license_note: str = "The files hold the checkpoint's weights and stay under the checkpoint's licence."

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare keys and shapes with those of a net that has the file's layout."""
        layout = read_layout(shapes)
        with torch.device("meta"):
            net = UnetGenerator(layout)
        ignored = list_counters(net) if layout.batch else running_statistics(net, counters=True)
        return compare_keys(self.name, shapes, list_weights(net), ignored)

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The net with the checkpoint's weights, in eval mode.

        Raises:
            ArchitectureError: a weight is not a floating point tensor.
        """
        layout = read_layout(list_shapes(checkpoint.tensors))
        generator = UnetGenerator(layout)
        load_weights(generator, checkpoint, {key: key for key in list_weights(generator)})
        hyperparameters = {
            "base_channels": layout.base,
            "depth": layout.depth,
            "batch_norms": int(layout.batch),
            "in_channels": layout.in_channels,
            "out_channels": layout.out_channels,
        }
        inputs, outputs, make_feeds = _contract(raw, layout)
        module = generator if raw else ImageStage(generator)
        return ReferenceModel(self.name, hyperparameters, inputs, outputs, module.eval(), {}, make_feeds)

    def contract(self, raw: bool) -> Contract:
        """Inputs and outputs of a net of the usual depth from RGB to RGB; with another depth, other multiples hold."""
        return _contract(raw, Layout())


def _contract(raw: bool, layout: Layout) -> Contract:
    """In [0, 1] for the stage, in [-1, 1] for the generator."""
    multiple = 1 << layout.depth
    return image_contract(raw, (layout.in_channels, layout.out_channels), multiple, multiple)


PIX2PIX_UNET = Pix2PixUnet()
