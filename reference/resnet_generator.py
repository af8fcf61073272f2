"""CycleGAN's generator: two strided convolutions, residual blocks, two upsampling layers; image to image, no mask.

Paper: Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
arXiv 1703.10593. Layers and key names follow the files of junyanz/pytorch-CycleGAN-and-pix2pix (BSD), whose blocks are
called `conv_block` and upsample by transposed convolutions, and of eriklindernoren/PyTorch-GAN (MIT), whose blocks are
called `block` and upsample by repeating pixels; mixtures of both, such as that of the package vintagify (MIT), fit too.
The code is our own.

Read from keys and shapes: base channels, blocks, what blocks are called, whether they have dropout (nothing in eval
mode, but it moves the second convolution from 5 to 6), whether norms are affine, how the net upsamples. What no key
tells is taken as upstream has it: reflect padding, eps 1e-5, pixels repeated before a zero-padded convolution.

Running statistics beside norms that learn nothing are left out, as upstream's loader leaves them out: those norms
always use the image's own. Beside affine norms they may be a batch norm's, which computes something else, and no key
tells which, so that such a file does not fit. A fork that keeps these keys and computes something else cannot be told
by its file: DeblurGAN adds the input to the result, clamps it, and uses its norms' running statistics.

Deviations: the stage maps [0, 1] to [-1, 1] and back, which upstream does outside the net. Upstream's pix2pix test
script leaves dropout on unless told `--eval`; here it is off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from converters.tensors import Array, Tensors, TensorSpec
from reference.checkpoint import Checkpoint
from reference.key_match import KeyMatch, Shapes, compare_keys, list_shapes, load_weights, read_base
from reference.model import Contract, ReferenceModel

EPSILON = 1e-5
# What a file is compared with where its own shapes say nothing.
USUAL_BASE, USUAL_BLOCKS = 64, 9
FIRST_BLOCK = 10
RUNNING_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def instance_norm(channels: int, affine: bool) -> nn.InstanceNorm2d:
    """(N, C, H, W) -> the same: mean 0, variance 1 per item and channel; then, if affine, a learned scale and bias."""
    return nn.InstanceNorm2d(channels, eps=EPSILON, affine=affine, track_running_stats=False)


@dataclass(frozen=True)
class Layout:
    """What the keys and shapes of a checkpoint tell.

    Attributes:
        base: Channels after the first convolution.
        blocks: Residual blocks.
        block_name: "conv_block" or "block".
        affine: Whether norms learn a scale and a bias.
        dropout: Whether blocks have a dropout layer.
        repeated: Whether the net upsamples by repeating pixels and a convolution, not by a transposed convolution.
    """

    base: int = USUAL_BASE
    blocks: int = USUAL_BLOCKS
    block_name: str = "conv_block"
    affine: bool = False
    dropout: bool = False
    repeated: bool = False


def read_layout(shapes: Shapes) -> Layout:
    """The layout that a checkpoint's keys and shapes come nearest to."""
    found: dict[int, str] = {}
    for key in shapes:
        if (hit := re.match(r"model\.(\d{2,3})\.(conv_block|block)\.", key)) and int(hit[1]) >= FIRST_BLOCK:
            found[int(hit[1])] = hit[2]
    blocks = max(found) - FIRST_BLOCK + 1 if found else USUAL_BLOCKS
    name = found[min(found)] if found else "conv_block"

    def is_conv(key: str) -> bool:
        return len(shapes.get(key, ())) == 4

    return Layout(
        read_base(shapes, "model.1.weight", USUAL_BASE),
        blocks,
        name,
        affine="model.2.weight" in shapes,
        dropout=is_conv(f"model.{FIRST_BLOCK}.{name}.6.weight"),
        repeated=is_conv(f"model.{FIRST_BLOCK + blocks + 1}.weight"),
    )


class ResidualBlock(nn.Module):
    """(N, C, H, W) -> the same; two 3x3 convolutions added to the input, no ReLU after."""

    def __init__(self, channels: int, layout: Layout) -> None:
        super().__init__()
        layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),  # (N, C, H, W)
            instance_norm(channels, layout.affine),
            nn.ReLU(),
            *([nn.Dropout()] if layout.dropout else []),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),  # (N, C, H, W)
            instance_norm(channels, layout.affine),
        )
        self.add_module(layout.block_name, layers)

    def forward(self, x: Tensor) -> Tensor:
        (layers,) = self.children()
        residual: Tensor = layers(x)
        return x + residual


class ResnetGenerator(nn.Module):
    """(N, 3, H, W) in [-1, 1] -> the same; H and W multiples of 4, 8 or more."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        base = layout.base
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, base, 7),  # (N, base, H, W)
            instance_norm(base, layout.affine),
            nn.ReLU(),
            nn.Conv2d(base, 2 * base, 3, stride=2, padding=1),  # (N, 2 base, H/2, W/2)
            instance_norm(2 * base, layout.affine),
            nn.ReLU(),
            nn.Conv2d(2 * base, 4 * base, 3, stride=2, padding=1),  # (N, 4 base, H/4, W/4)
            instance_norm(4 * base, layout.affine),
            nn.ReLU(),
            *(ResidualBlock(4 * base, layout) for _ in range(layout.blocks)),
            *_double(4 * base, layout),  # (N, 2 base, H/2, W/2)
            *_double(2 * base, layout),  # (N, base, H, W)
            nn.ReflectionPad2d(3),
            nn.Conv2d(base, 3, 7),  # (N, 3, H, W)
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


def _double(channels: int, layout: Layout) -> list[nn.Module]:
    """Layers that make (N, C/2, 2H, 2W) of (N, C, H, W)."""
    half = channels // 2
    doubling: list[nn.Module] = (
        [nn.Upsample(scale_factor=2), nn.Conv2d(channels, half, 3, padding=1)]
        if layout.repeated
        else [nn.ConvTranspose2d(channels, half, 3, stride=2, padding=1, output_padding=1)]
    )
    return [*doubling, instance_norm(half, layout.affine), nn.ReLU()]


class ImageStage(nn.Module):
    """Maps the photo from [0, 1] to the net's [-1, 1], and what it gives back."""

    def __init__(self, generator: ResnetGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor) -> Tensor:
        y: Tensor = self.generator(2 * image - 1)  # (N, 3, H, W)
        return (y + 1) / 2


def plane(name: str, meaning: str, value_range: tuple[float, float] | None) -> TensorSpec:
    """(N, 3, H, W) float32, H and W multiples of 4 and, for the blocks' reflect pads, 8 or more."""
    return TensorSpec(name, ("N", 3, "H", "W"), "float32", "NCHW", value_range, meaning, 4, 8)


def image_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    return {"image": photo}


def raw_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    return {"x": 2 * photo - 1}


@dataclass(frozen=True)
class CycleGan:
    """The generator, as `identify` sees it."""

    name: str = "cyclegan-resnet"
    license_note: str = "The files hold the checkpoint's weights and stay under the checkpoint's licence."

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare keys and shapes with what this net of the file's layout would have."""
        layout = read_layout(shapes)
        with torch.device("meta"):
            net = ResnetGenerator(layout)
        left_out: dict[str, tuple[int, ...]] = {}
        if not layout.affine:
            for norm, module in net.named_modules():
                if isinstance(module, nn.InstanceNorm2d):
                    mean, variance, count = (f"{norm}.{statistic}" for statistic in RUNNING_STATISTICS)
                    left_out |= {mean: (module.num_features,), variance: (module.num_features,), count: ()}
        return compare_keys(self.name, shapes, list_shapes(net.state_dict()), left_out)

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The net with the checkpoint's weights, in eval mode.

        Raises:
            ArchitectureError: a weight is no floating point tensor.
        """
        layout = read_layout(list_shapes(checkpoint.tensors))
        generator = ResnetGenerator(layout)
        load_weights(generator, checkpoint)
        hyperparameters = {
            "base_channels": layout.base,
            "blocks": layout.blocks,
            "affine_norms": int(layout.affine),
            "dropout": int(layout.dropout),
            "pixels_repeated": int(layout.repeated),
        }
        inputs, outputs, make_feeds = self.contract(raw)
        module = generator if raw else ImageStage(generator)
        return ReferenceModel(self.name, hyperparameters, inputs, outputs, module.eval(), {}, make_feeds)

    def contract(self, raw: bool) -> Contract:
        """The stage maps ranges; the bare generator has its own."""
        if raw:
            x = plane("x", "the photo, RGB, 2 p - 1 of a p in [0, 1]", (-1.0, 1.0))
            y = plane("y", "the picture, RGB, as the tanh gives it", (-1.0, 1.0))
            return Contract((x,), (y,), raw_feeds)
        image = plane("image", "the photo, RGB", (0.0, 1.0))
        result = plane("result", "the picture made of it, RGB; every pixel is new", (0.0, 1.0))
        return Contract((image,), (result,), image_feeds)


CYCLEGAN = CycleGan()
