"""LaMa: a residual net that fills large holes, whose blocks see the whole picture through its Fourier transform.

Paper: Suvorov, Logacheva, Mashikhin, Remizova, Ashukha, Silvestrov, Kong, Goka, Park, Lempitsky, "Resolution-robust
Large Mask Inpainting with Fourier Convolutions", arXiv 2109.07161. Upstream: advimman/lama at 786f593, licence Apache
2.0. The code is our own. Layers and key names follow upstream's checkpoints, which are Lightning's: the generator's
keys start with `generator.` there. Three kinds of blocks are supported, of which a file's keys tell one:

* "fourier" (big-lama with 18 blocks, lama-fourier with 9): `model.5.conv1.ffc.convl2l.weight`. Channels are local or
  global, and a spectral transform maps global ones to global ones.
* "dilated" (lama-dilated): `model.13.conv_block.0.convs.0.weight`. Each share of the channels has its own dilation.
* "plain" (lama-regular, big-lama-regular): `model.13.conv_block.1.weight`.

Channels, blocks, downsamplings, shares of global channels and dilations are read from keys and shapes.

Deviations:
* Those of fourier_unit.py.
* The stage does masking, concatenation of the mask and compositing, which upstream's training module does.
* Not supported: local Fourier units, gates, squeeze and excitation, learned rotations. Upstream's published files have
  none, and all of them show in the keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import add
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from converters.tensors import Array
from reference.checkpoint_data import Checkpoint
from reference.fourier_unit import FourierBasis, SpectralTransform, make_basis
from reference.image_stage import list_counters, list_weights
from reference.inpaint_contract import UNIT, generator_contract, stage_contract
from reference.key_match import KeyMatch, Shapes, compare_keys, list_shapes, load_weights, read_base
from reference.model import Contract, OutputPolicy, ReferenceModel

IN_CHANNELS = 4
# What a file is compared with where its own keys and shapes say nothing: big-lama.
USUAL_BASE, USUAL_DOWNSAMPLINGS, USUAL_BLOCKS, USUAL_GLOBAL = 64, 3, 18, 384
# Channels double from downsampling to downsampling, up to this number.
MAX_CHANNELS = 1024
# More than these are taken for damage: a file's numbers decide how large a net is laid out.
MAX_DOWNSAMPLINGS, MAX_BLOCKS, MAX_DILATIONS = 6, 64, 6
FOURIER, DILATED, PLAIN = "fourier", "dilated", "plain"
BLOCK_KEYS = {
    FOURIER: re.compile(r"model\.(\d{1,3})\.conv1\.ffc\.", re.ASCII),
    DILATED: re.compile(r"model\.(\d{1,3})\.conv_block\.0\.convs\.", re.ASCII),
    PLAIN: re.compile(r"model\.(\d{1,3})\.conv_block\.1\.", re.ASCII),
}


class Bands(NamedTuple):
    """Features (N, C, H, W): of the local channels and, from the last downsampling on, of the global ones.

    With these comes the basis of their Fourier transform.
    """

    local: Tensor
    whole: Tensor | None = None
    basis: FourierBasis | None = None


class FastFourierConv(nn.Module):
    """Convolutions from local and global channels to local and global channels, without norm and activation."""

    def __init__(self, cin: tuple[int, int], cout: tuple[int, int], kernel: int, stride: int) -> None:
        super().__init__()
        self.padding = kernel // 2

        def conv(source: int, target: int) -> nn.Conv2d | None:
            return nn.Conv2d(source, target, kernel, stride, bias=False) if source and target else None

        self.convl2l = conv(cin[0], cout[0])
        self.convl2g = conv(cin[0], cout[1])
        self.convg2l = conv(cin[1], cout[0])
        self.convg2g = SpectralTransform(cin[1]) if cin[1] and cout[1] else None

    def forward(self, x: Bands) -> Bands:
        padded = F.pad(x.local, (self.padding,) * 4, mode="reflect")
        assert self.convl2l is not None
        local: Tensor = self.convl2l(padded)
        if self.convl2g is None:
            return Bands(local)
        whole: Tensor = self.convl2g(padded)
        if x.whole is None or x.basis is None:
            return Bands(local, whole)
        assert self.convg2l is not None
        assert self.convg2g is not None
        local = local + self.convg2l(F.pad(x.whole, (self.padding,) * 4, mode="reflect"))
        return Bands(local, whole + self.convg2g(x.whole, x.basis), x.basis)


class FourierLayer(nn.Module):
    """A FastFourierConv, then batch norm and ReLU; sizes are (local, global) channels."""

    def __init__(self, cin: tuple[int, int], cout: tuple[int, int], kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.ffc = FastFourierConv(cin, cout, kernel, stride)
        self.bn_l = nn.BatchNorm2d(cout[0])
        self.bn_g = nn.BatchNorm2d(cout[1]) if cout[1] else None

    def forward(self, x: Bands) -> Bands:
        y: Bands = self.ffc(x)
        local = F.relu(self.bn_l(y.local))
        if self.bn_g is None or y.whole is None:
            return Bands(local)
        return Bands(local, F.relu(self.bn_g(y.whole)), y.basis or make_basis(local))


class FourierBlock(nn.Module):
    """The bands plus what two FourierLayers make of them."""

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = FourierLayer(channels, channels)
        self.conv2 = FourierLayer(channels, channels)

    def forward(self, x: Bands) -> Bands:
        y: Bands = self.conv2(self.conv1(x))
        assert x.whole is not None
        assert y.whole is not None
        return Bands(x.local + y.local, x.whole + y.whole, x.basis)


class Merge(nn.Module):
    """Bands -> (N, C, H, W), the local channels first."""

    def forward(self, x: Bands) -> Tensor:
        return x.local if x.whole is None else torch.cat([x.local, x.whole], 1)


class DilatedConv(nn.Module):
    """(N, C, H, W) -> (N, C, H, W): the sum of a convolution per share of the channels, of dilation 1, 2, 4, ..."""

    def __init__(self, channels: int, dilations: int) -> None:
        super().__init__()
        self.share = channels // dilations
        self.convs = nn.ModuleList(
            nn.Conv2d(self.share, channels, 3, padding=1 << i, dilation=1 << i, padding_mode="reflect")
            for i in range(dilations)
        )

    def forward(self, x: Tensor) -> Tensor:
        shares = torch.split(x, self.share, 1)
        y: Tensor = reduce(add, (conv(share) for conv, share in zip(self.convs, shares, strict=True)))
        return y


class ResidualBlock(nn.Module):
    """(N, C, H, W) -> (N, C, H, W): the input plus two convolutions with batch norm, dilated or plain."""

    def __init__(self, channels: int, dilations: int) -> None:
        super().__init__()

        def conv() -> list[nn.Module]:
            if dilations:
                return [DilatedConv(channels, dilations), nn.BatchNorm2d(channels)]
            return [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.BatchNorm2d(channels)]

        self.conv_block = nn.Sequential(*conv(), nn.ReLU(), *conv())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_block(x)
        return x + y


@dataclass(frozen=True)
class Layout:
    """The variant of the net that a checkpoint's keys and shapes give.

    Attributes:
        kind: FOURIER, DILATED or PLAIN.
        base: Channels after the first convolution.
        downsamplings: How often H and W are halved.
        blocks: Number of residual blocks.
        whole: Global channels of a Fourier block.
        dilations: Of a dilated block.
    """

    kind: str = FOURIER
    base: int = USUAL_BASE
    downsamplings: int = USUAL_DOWNSAMPLINGS
    blocks: int = USUAL_BLOCKS
    whole: int = USUAL_GLOBAL
    dilations: int = 0

    def width(self, level: int) -> int:
        """Channels after `level` downsamplings."""
        return min(self.base << level, MAX_CHANNELS)

    @property
    def multiple(self) -> int:
        """What H and W must be multiples of."""
        return 1 << self.downsamplings

    @property
    def minimum(self) -> int:
        """The smallest H and W: reflect padding needs more pixels than it adds."""
        return self.multiple * ((1 << self.dilations - 1) + 1 if self.dilations else 2)


def read_layout(shapes: Shapes) -> Layout:
    """The layout that a file's keys and shapes come nearest to."""
    found = {
        kind: {int(hit[1]) for key in shapes if (hit := pattern.match(key))} for kind, pattern in BLOCK_KEYS.items()
    }
    if shapes.get("model.1.weight", ())[1:2] != (IN_CHANNELS,) or "model.2.running_mean" not in shapes:
        found[PLAIN] = set()  # the keys are CycleGAN's, too, whose nets see no mask
    kind = max(found, key=lambda kind: len(found[kind]))
    if not found[kind]:
        return Layout()
    first = min(found[kind])
    blocks = min(len(found[kind]), MAX_BLOCKS)
    downsamplings = min(max(1, first - 2 if kind == FOURIER else (first - 4) // 3), MAX_DOWNSAMPLINGS)
    stem = "model.1.ffc.convl2l.weight" if kind == FOURIER else "model.1.weight"
    base = read_base(shapes, stem, USUAL_BASE)
    widest = min(base << downsamplings, MAX_CHANNELS)
    whole = read_base(shapes, f"model.{first}.conv1.bn_g.weight", widest * 3 // 4) if kind == FOURIER else 0
    pattern = re.compile(rf"model\.{first}\.conv_block\.0\.convs\.\d\.weight", re.ASCII)
    dilations = min(sum(1 for key in shapes if pattern.fullmatch(key)), MAX_DILATIONS) if kind == DILATED else 0
    return Layout(kind, base, downsamplings, blocks, min(whole, widest - 1), dilations)


class Generator(nn.Module):
    """(N, 4, H, W) in [0, 1] -> (N, 3, H, W) in [0, 1]; channels in: red, green, blue, 0 in the hole; mask, 1 there."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        widths = [layout.width(level) for level in range(layout.downsamplings + 1)]
        self.fourier = layout.kind == FOURIER
        layers = _fourier_half(layout, widths) if self.fourier else _plain_half(layout, widths)
        for narrow, wide in zip(reversed(widths[:-1]), reversed(widths[1:]), strict=True):
            up = nn.ConvTranspose2d(wide, narrow, 3, stride=2, padding=1, output_padding=1)
            layers += [up, nn.BatchNorm2d(narrow), nn.ReLU()]  # H and W doubled
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(widths[0], 3, 7), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(Bands(x) if self.fourier else x)
        return y


def _fourier_half(layout: Layout, widths: list[int]) -> list[nn.Module]:
    """The layers up to the last block; Bands -> (N, widths[-1], H / multiple, W / multiple)."""
    inner = (widths[-1] - layout.whole, layout.whole)
    splits = [*((width, 0) for width in widths[:-1]), inner]
    # Layer 0 is upstream's padding of the first convolution, which that pads itself here.
    layers: list[nn.Module] = [nn.Identity(), FourierLayer((IN_CHANNELS, 0), splits[0], kernel=7)]
    layers += [FourierLayer(cin, cout, stride=2) for cin, cout in pairwise(splits)]
    return [*layers, *(FourierBlock(inner) for _ in range(layout.blocks)), Merge()]


def _plain_half(layout: Layout, widths: list[int]) -> list[nn.Module]:
    """The same for the kinds without Fourier transform; here strided convolutions pad with zeros."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(IN_CHANNELS, widths[0], 7)]
    layers += [nn.BatchNorm2d(widths[0]), nn.ReLU()]
    for narrow, wide in pairwise(widths):
        layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.BatchNorm2d(wide), nn.ReLU()]
    return [*layers, *(ResidualBlock(widths[-1], layout.dilations) for _ in range(layout.blocks))]


class InpaintStage(nn.Module):
    """image (N, 3, H, W) in [0, 1] and mask (N, 1, H, W), 1 in the hole -> the image with its hole filled.

    Known pixels come back bit for bit.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        known = image * (1 - mask)
        y: Tensor = self.generator(torch.cat([known, mask], 1))  # (N, 3, H, W)
        return y * mask + known


@dataclass(frozen=True)
class Lama:
    """LaMa as an architecture, of every kind of block; see reference.model.Architecture."""

    name: str = "lama"
    license_note: str = (
        "The files hold the checkpoint's weights and stay under the checkpoint's licence. LaMa's authors publish code "
        "and weights in a repository under Apache 2.0 (advimman/lama)."
    )

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare keys and shapes with those of a net that has the file's layout."""
        with torch.device("meta"):
            net = Generator(read_layout(shapes))
        return compare_keys(self.name, shapes, list_weights(net), list_counters(net))

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The net with the checkpoint's weights, in eval mode.

        Raises:
            ArchitectureError: a weight is not a floating point tensor.
        """
        layout = read_layout(list_shapes(checkpoint.tensors))
        generator = Generator(layout)
        load_weights(generator, checkpoint, {key: key for key in list_weights(generator)})
        hyperparameters = {
            "base_channels": layout.base,
            "downsamplings": layout.downsamplings,
            "blocks": layout.blocks,
            "global_channels": layout.whole,
            "dilations": layout.dilations,
        }
        inputs, outputs, make_feeds = _contract(raw, layout)
        module = generator if raw else InpaintStage(generator)
        policies = {} if raw else {"result": OutputPolicy(known="image")}
        return ReferenceModel(self.name, hyperparameters, inputs, outputs, module.eval(), policies, make_feeds)

    def contract(self, raw: bool) -> Contract:
        """Inputs and outputs of big-lama; another number of downsamplings, or dilations, have other multiples."""
        return _contract(raw, Layout())


def _contract(raw: bool, layout: Layout) -> Contract:
    if not raw:
        return stage_contract(layout.multiple, layout.minimum)
    x = "channels: red, green, blue, 0 in the hole; mask, 1 is the hole", 0.0
    y = "the whole plane, RGB, not composited", UNIT
    return generator_contract(x, y, _make_x, layout.multiple, layout.minimum)


def _make_x(photo: Array, mask: Array) -> Array:
    return np.concatenate([photo * (1 - mask), mask], axis=1)


LAMA = Lama()
