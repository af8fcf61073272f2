"""CycleGAN's generator: an image-to-image net of strided convolutions, residual blocks and upsampling layers, no mask.

Paper: Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
arXiv 1703.10593. The code is our own. Layers and key names follow the files of two repositories:

* junyanz/pytorch-CycleGAN-and-pix2pix (BSD): blocks are called `conv_block`, and transposed convolutions upsample.
* eriklindernoren/PyTorch-GAN (MIT): blocks are called `block`, and upsampling repeats pixels.

Mixtures of both fit, too, such as the files of the package vintagify (MIT).

Keys and shapes give the base channels, the number and the name of the blocks, whether blocks have dropout (which does
nothing in eval mode, but moves the second convolution from index 5 to 6), the kind of norm, how the net upsamples, and
whether its images are RGB or gray (1 channel in, 1 out, or both). Everything else is as in upstream: reflect padding,
eps 1e-5, and a zero-padded convolution after upsampling by repeated pixels.

With batch norm, upstream's convolutions in front of a norm have no bias: that tells it from an instance norm. In eval
mode a batch norm uses the running statistics in the file. Running statistics next to norms without weights are ignored,
as upstream's loader ignores them: those norms always use the image's own statistics. Running statistics next to norms
with weights that follow a convolution with a bias are of a batch norm or of an instance norm, which may use or ignore
them. No key tells which, so such a file does not match. A fork that keeps these keys and computes something else looks
the same, too: DeblurGAN adds the input to the result, clamps it, and uses its norms' running statistics.

Deviations: the stage maps [0, 1] to [-1, 1] and back, which upstream does outside the net. Upstream's test script keeps
dropout on, and batch norms on the image's own statistics, unless it is given `--eval`; here everything is in eval mode.
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

EPSILON = 1e-5
# What a file is compared with where its own keys and shapes say nothing.
USUAL_BASE, USUAL_BLOCKS = 64, 9
# Index of the first residual block in the generator's Sequential.
FIRST_BLOCK = 10


# How far behind the last block the last convolution is, by Layout.repeated.
LAST_BEHIND_BLOCKS = {False: 7, True: 9}


def instance_norm(channels: int, affine: bool) -> nn.InstanceNorm2d:
    """(N, C, H, W) -> the same, with mean 0 and variance 1 per item and channel; if affine, then scaled and shifted."""
    return nn.InstanceNorm2d(channels, eps=EPSILON, affine=affine, track_running_stats=False)


def running_statistics(net: nn.Module, counters: bool) -> dict[str, tuple[int, ...]]:
    """Shape by key for the running statistics that a file may hold next to the instance norms of `net`.

    Args:
        net: A net whose norms have none.
        counters: Whether files have the norms' `num_batches_tracked`, too; those of 2017 lack them.
    """
    statistics: dict[str, tuple[int, ...]] = {}
    for norm, module in net.named_modules():
        if isinstance(module, nn.InstanceNorm2d):
            statistics[f"{norm}.running_mean"] = statistics[f"{norm}.running_var"] = (module.num_features,)
            if counters:
                statistics[f"{norm}.num_batches_tracked"] = ()
    return statistics


@dataclass(frozen=True)
class Layout:
    """The variant of the net that a checkpoint's keys and shapes give.

    Attributes:
        base: Channels after the first convolution.
        blocks: Number of residual blocks.
        block_name: "conv_block" or "block".
        affine: Whether norms have a learned scale and bias.
        batch: Whether norms are batch norms; then the convolutions in front of them have no bias.
        dropout: Whether blocks have a dropout layer.
        repeated: Whether the net upsamples by repeated pixels and a convolution; otherwise by a transposed convolution.
        in_channels: 3 for RGB or 1 for gray.
        out_channels: Likewise.
    """

    base: int = USUAL_BASE
    blocks: int = USUAL_BLOCKS
    block_name: str = "conv_block"
    affine: bool = False
    batch: bool = False
    dropout: bool = False
    repeated: bool = False
    in_channels: int = 3
    out_channels: int = 3

    def norm(self, channels: int) -> nn.Module:
        """(N, C, H, W) -> the same, normalised; `channels` is C."""
        return nn.BatchNorm2d(channels, EPSILON) if self.batch else instance_norm(channels, self.affine)


def read_layout(shapes: Shapes) -> Layout:
    """The layout that a file's keys and shapes come nearest to."""
    found: dict[int, str] = {}
    for key in shapes:
        if (hit := re.match(r"model\.(\d{2,3})\.(conv_block|block)\.", key)) and int(hit[1]) >= FIRST_BLOCK:
            found[int(hit[1])] = hit[2]
    blocks = max(found) - FIRST_BLOCK + 1 if found else USUAL_BLOCKS
    name = found[min(found)] if found else "conv_block"

    def is_conv(key: str) -> bool:
        return len(shapes.get(key, ())) == 4

    affine = "model.2.weight" in shapes
    repeated = is_conv(f"model.{FIRST_BLOCK + blocks + 1}.weight")
    return Layout(
        read_base(shapes, "model.1.weight", USUAL_BASE),
        blocks,
        name,
        affine,
        batch=affine and "model.2.running_mean" in shapes and "model.1.bias" not in shapes,
        dropout=is_conv(f"model.{FIRST_BLOCK}.{name}.6.weight"),
        repeated=repeated,
        in_channels=read_channels(shapes, "model.1.weight", 1),
        out_channels=read_channels(shapes, f"model.{FIRST_BLOCK + blocks + LAST_BEHIND_BLOCKS[repeated]}.weight", 0),
    )


class ResidualBlock(nn.Module):
    """(N, C, H, W) -> the same: the input plus the output of two 3x3 convolutions."""

    def __init__(self, channels: int, layout: Layout) -> None:
        super().__init__()
        layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=not layout.batch),  # (N, C, H, W)
            layout.norm(channels),
            nn.ReLU(),
            *([nn.Dropout()] if layout.dropout else []),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=not layout.batch),  # (N, C, H, W)
            layout.norm(channels),
        )
        self.add_module(layout.block_name, layers)

    def forward(self, x: Tensor) -> Tensor:
        (layers,) = self.children()
        residual: Tensor = layers(x)
        return x + residual


class ResnetGenerator(nn.Module):
    """(N, in, H, W) in [-1, 1] -> (N, out, H, W) in [-1, 1]; H and W are multiples of 4 and at least 8."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        base, bias = layout.base, not layout.batch
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(layout.in_channels, base, 7, bias=bias),  # (N, base, H, W)
            layout.norm(base),
            nn.ReLU(),
            nn.Conv2d(base, 2 * base, 3, stride=2, padding=1, bias=bias),  # (N, 2 base, H/2, W/2)
            layout.norm(2 * base),
            nn.ReLU(),
            nn.Conv2d(2 * base, 4 * base, 3, stride=2, padding=1, bias=bias),  # (N, 4 base, H/4, W/4)
            layout.norm(4 * base),
            nn.ReLU(),
            *(ResidualBlock(4 * base, layout) for _ in range(layout.blocks)),
            *_upsample(4 * base, layout),  # (N, 2 base, H/2, W/2)
            *_upsample(2 * base, layout),  # (N, base, H, W)
            nn.ReflectionPad2d(3),
            nn.Conv2d(base, layout.out_channels, 7),  # (N, out, H, W)
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


def _upsample(channels: int, layout: Layout) -> list[nn.Module]:
    """Layers that map (N, C, H, W) to (N, C/2, 2H, 2W); `channels` is C."""
    half, bias = channels // 2, not layout.batch
    upsampling: list[nn.Module] = (
        [nn.Upsample(scale_factor=2), nn.Conv2d(channels, half, 3, padding=1, bias=bias)]
        if layout.repeated
        else [nn.ConvTranspose2d(channels, half, 3, stride=2, padding=1, output_padding=1, bias=bias)]
    )
    return [*upsampling, layout.norm(half), nn.ReLU()]


@dataclass(frozen=True)
class CycleGan:
    """The generator as an architecture; see reference.model.Architecture."""

    name: str = "cyclegan-resnet"
    license_note: str = "The files hold the checkpoint's weights and stay under the checkpoint's licence."

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare keys and shapes with those of a net that has the file's layout."""
        layout = read_layout(shapes)
        with torch.device("meta"):
            net = ResnetGenerator(layout)
        ignored = {} if layout.affine else running_statistics(net, counters=True)
        return compare_keys(self.name, shapes, list_weights(net), {**ignored, **list_counters(net)})

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The net with the checkpoint's weights, in eval mode.

        Raises:
            ArchitectureError: a weight is not a floating point tensor.
        """
        layout = read_layout(list_shapes(checkpoint.tensors))
        generator = ResnetGenerator(layout)
        load_weights(generator, checkpoint, {key: key for key in list_weights(generator)})
        hyperparameters = {
            "base_channels": layout.base,
            "blocks": layout.blocks,
            "affine_norms": int(layout.affine),
            "batch_norms": int(layout.batch),
            "dropout": int(layout.dropout),
            "pixels_repeated": int(layout.repeated),
            "in_channels": layout.in_channels,
            "out_channels": layout.out_channels,
        }
        inputs, outputs, make_feeds = image_contract(raw, (layout.in_channels, layout.out_channels))
        module = generator if raw else ImageStage(generator)
        return ReferenceModel(self.name, hyperparameters, inputs, outputs, module.eval(), {}, make_feeds)

    def contract(self, raw: bool) -> Contract:
        """Inputs and outputs of a net from RGB to RGB; gray nets have 1 channel instead of 3."""
        return image_contract(raw, (3, 3))


CYCLEGAN = CycleGan()
