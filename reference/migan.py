"""MI-GAN: a small net that fills holes, of separable convolutions, for phones; its inference form.

Paper: Sargsyan, Navasardyan, Xu, Shi, "MI-GAN: A Simple Baseline for Image Inpainting on Mobile Devices", ICCV 2023.
Upstream: Picsart-AI-Research/MI-GAN at ca4df2e, licence MIT. The code is our own. Layers and key names follow
the files of upstream's inference form (`migan_256_places2.pt`, `migan_512_places2.pt`, `migan_256_ffhq.pt`):
`encoder.b256.fromrgb.weight`, `synthesis.b8.conv1.noise_const`, ... Files of its training form, pickles whose weights
are split up and not normalised yet, are not supported.

Resolution and widths are read from keys and shapes. The net takes [known - 0.5, rgb * known] with rgb in [-1, 1] and
known = 1 - mask: **upstream's mask is 1 where the photo is known**. It gives rgb around [-1, 1], without a tanh.

Deviations:
* The stage turns mask and ranges, and composites; upstream does that outside the net. Like the net, it does not clamp.
* Upstream runs at the file's resolution only. Here H and W are free. Each layer's noise, a constant of the file of the
  resolution's size, is cut off where a plane is smaller, and repeated where it is larger: it is white, and so has no
  seams. At the file's resolution nothing differs.
* Upstream upsamples by pixels repeated, three of four set to 0 by a constant of the file, and a convolution. Here it
  is one transposed convolution, which computes the same. A file whose constant is another one is refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from converters.errors import ArchitectureError
from converters.tensors import Array
from reference.checkpoint_data import Checkpoint
from reference.inpaint_contract import generator_contract, stage_contract
from reference.key_match import KeyMatch, Shapes, compare_keys, list_shapes, load_weights, read_base
from reference.model import Contract, OutputPolicy, ReferenceModel
from reference.refusal import OR_EXPORT

# Upstream's activation: leaky ReLU, scaled, then clamped.
SLOPE, GAIN, CLAMP = 0.2, math.sqrt(2), 256.0
# What a file is compared with where its own keys and shapes say nothing.
USUAL_RESOLUTION, USUAL_BASE, USUAL_WIDEST = 512, 32768, 512
# The smallest plane of a net at its own resolution, and the largest resolution that is not taken for damage.
SMALLEST, MAX_RESOLUTION = 4, 2048
RESOLUTION_KEY = re.compile(r"encoder\.b(\d{1,4})\.", re.ASCII)
PICK = "filter_const"


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU, scaled, then clamped."""
    return (F.leaky_relu(x, SLOPE) * GAIN).clamp(-CLAMP, CLAMP)


class Downsampling(nn.Module):
    """(N, C, H, W) -> (N, C, H/2, W/2), blurred by a kernel 4x4 of the file's; `channels` is C."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.filter = nn.Conv2d(channels, channels, 4, stride=2, padding=1, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.filter(x)
        return y


class Upsampling(nn.Module):
    """(N, C, H, W) -> (N, C, 2H, 2W), spread out by a kernel 4x4 of the file's.

    Args:
        channels: C.
        resolution: Of the result at the file's own resolution, which `filter_const` has.
    """

    filter_const: Tensor

    def __init__(self, channels: int, resolution: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer(PICK, torch.empty(1, 1, resolution, resolution))
        self.filter = nn.Conv2d(channels, channels, 4, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.filter.weight.flip((2, 3))
        return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=self.channels)


class SeparableConv(nn.Module):
    """(N, cin, H, W) -> (N, cout, H', W'): a convolution per channel, then one across channels.

    Args:
        cin: Input channels.
        cout: Output channels.
        down: Whether H and W are halved.
        up: Resolution after doubling H and W; 0 if they are not doubled.
        noise: Resolution of the noise that is added; 0 for none.
    """

    noise_const: Tensor

    def __init__(self, cin: int, cout: int, *, down: bool = False, up: int = 0, noise: int = 0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cin, 3, padding=1, groups=cin)
        self.conv2 = nn.Conv2d(cin, cout, 1, bias=False)
        self.downsample = Downsampling(cin) if down else None
        self.upsample = Upsampling(cout, up) if up else None
        self.resolution = noise
        if noise:
            self.register_buffer("noise_const", torch.empty(noise, noise))
            self.noise_strength = nn.Parameter(torch.empty(()))

    def forward(self, x: Tensor) -> Tensor:
        x = activate(self.conv1(x))  # (N, cin, H, W)
        if self.downsample is not None:
            x = self.downsample(x)
        x = self.conv2(x)
        if self.upsample is not None:
            x = self.upsample(x)
        if self.resolution:
            x = x + tile(self.noise_const * self.noise_strength, x)
        return activate(x)


def tile(plane: Tensor, x: Tensor) -> Tensor:
    """The plane (R, R) cut or repeated to the size of x (N, C, H, W): (H, W)."""
    rows, columns = (torch.arange(size, device=x.device) % plane.shape[0] for size in x.shape[2:])
    return plane.index_select(0, rows).index_select(1, columns)


class EncoderBlock(nn.Module):
    """Features of one resolution, and those of the next smaller one; the first block makes them of the photo."""

    def __init__(self, cin: int, cout: int, *, first: bool, down: bool) -> None:
        super().__init__()
        self.fromrgb = nn.Conv2d(4, cin, 1) if first else None
        self.conv1 = SeparableConv(cin, cin)
        self.conv2 = SeparableConv(cin, cout, down=down)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.fromrgb is not None:
            x = activate(self.fromrgb(x))
        features: Tensor = self.conv1(x)  # (N, cin, H, W)
        return features, self.conv2(features)


class SynthesisBlock(nn.Module):
    """Doubles the resolution of features and picture, but for the first block, and adds the encoder's features.

    Args:
        cin: Channels of the resolution before.
        cout: Channels of this one.
        resolution: Of the features that come out, at the file's own resolution; SMALLEST is the first block's.
    """

    def __init__(self, cin: int, cout: int, resolution: int) -> None:
        super().__init__()
        first = resolution == SMALLEST
        size = 0 if first else resolution
        self.conv1 = SeparableConv(cin, cout, up=size, noise=size)
        self.conv2 = SeparableConv(cout, cout, noise=size)
        self.torgb = nn.Conv2d(cout, 3, 1)
        self.upsample = None if first else Upsampling(3, resolution)

    def forward(self, x: Tensor, skip: Tensor, picture: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self.conv2(self.conv1(x) + skip)  # (N, cout, H, W)
        y: Tensor = self.torgb(x)  # (N, 3, H, W)
        return x, y if picture is None or self.upsample is None else self.upsample(picture) + y


class Generator(nn.Module):
    """(N, 4, H, W) -> (N, 3, H, W).

    Channels in: 0.5 where known, -0.5 in the hole; red, green, blue in [-1, 1], 0 in the hole.

    Args:
        widths: Channels by resolution, which is a power of 2, from SMALLEST up to the file's own.
    """

    def __init__(self, widths: dict[int, int]) -> None:
        super().__init__()
        self.resolutions = sorted(widths)
        self.encoder, self.synthesis = nn.Module(), nn.Module()
        for size in self.resolutions:
            smaller = widths.get(size // 2, widths[SMALLEST])
            first, last = size == self.resolutions[-1], size == SMALLEST
            block = EncoderBlock(widths[size], smaller, first=first, down=not last)
            self.encoder.add_module(f"b{size}", block)
            self.synthesis.add_module(f"b{size}", SynthesisBlock(smaller, widths[size], size))

    def forward(self, x: Tensor) -> Tensor:
        skips = {}
        for size in reversed(self.resolutions):
            skips[size], x = self.encoder.get_submodule(f"b{size}")(x)
        picture: Tensor | None = None
        for size in self.resolutions:
            x, picture = self.synthesis.get_submodule(f"b{size}")(x, skips[size], picture)
        assert picture is not None
        return picture


class InpaintStage(nn.Module):
    """image (N, 3, H, W) in [0, 1] and mask (N, 1, H, W), 1 in the hole -> the image with its hole filled.

    Known pixels come back bit for bit.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        known = 1 - mask
        y: Tensor = self.generator(torch.cat([known - 0.5, (2 * image - 1) * known], 1))  # (N, 3, H, W)
        return (y + 1) / 2 * mask + image * known


@dataclass(frozen=True)
class MiGan:
    """MI-GAN as an architecture; see reference.model.Architecture."""

    name: str = "mi-gan"
    license_note: str = (
        "The files hold the checkpoint's weights and stay under the checkpoint's licence. MI-GAN's authors publish "
        "code and weights in a repository under the MIT licence (Picsart-AI-Research/MI-GAN)."
    )

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare keys and shapes with those of a net of the file's resolution and widths."""
        with torch.device("meta"):
            net = Generator(_read_widths(shapes))
        return compare_keys(self.name, shapes, list_shapes(net.state_dict()), {})

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The net with the checkpoint's weights, in eval mode.

        Raises:
            ArchitectureError: a tensor is not floating point, or a constant for upsampling is another than upstream's.
        """
        widths = _read_widths(list_shapes(checkpoint.tensors))
        generator = Generator(widths)
        load_weights(generator, checkpoint)
        for key, value in checkpoint.tensors.items():
            if key.endswith(PICK) and not torch.equal(value, _pick_first(value.shape[2])):
                raise ArchitectureError(
                    checkpoint.path,
                    f"'{key}' is not 1 at every second row and column and 0 elsewhere",
                    f"Give a checkpoint of upstream's inference form, {OR_EXPORT}",
                )
        resolution = max(widths)
        hyperparameters = {
            "resolution": resolution,
            "base_channels": widths[resolution],
            "most_channels": max(widths.values()),
        }
        inputs, outputs, make_feeds = _contract(raw, resolution)
        module = generator if raw else InpaintStage(generator)
        policies = {outputs[0].name: OutputPolicy(known=None if raw else "image", relative=True)}
        return ReferenceModel(self.name, hyperparameters, inputs, outputs, module.eval(), policies, make_feeds)

    def contract(self, raw: bool) -> Contract:
        """Inputs and outputs of the net for 512x512; with another resolution, other multiples hold."""
        return _contract(raw, USUAL_RESOLUTION)


def _pick_first(size: int) -> Tensor:
    """(1, 1, size, size): 1 where row and column are even, else 0."""
    plane = torch.zeros(1, 1, size, size)
    plane[:, :, ::2, ::2] = 1
    return plane


def _read_widths(shapes: Shapes) -> dict[int, int]:
    """Channels by resolution of the net that a file's keys and shapes come nearest to."""
    sizes = [int(hit[1]) for key in shapes if (hit := RESOLUTION_KEY.match(key))]
    largest = max((size for size in sizes if SMALLEST < size <= MAX_RESOLUTION), default=USUAL_RESOLUTION)
    resolutions = [SMALLEST << i for i in range(int(math.log2(largest // SMALLEST)) + 1)]
    usual = {size: min(USUAL_BASE // size, USUAL_WIDEST) for size in resolutions}
    return {size: read_base(shapes, f"encoder.b{size}.conv1.conv2.weight", usual[size]) for size in resolutions}


def _contract(raw: bool, resolution: int) -> Contract:
    multiple = resolution // SMALLEST
    if not raw:
        return stage_contract(multiple, multiple, clamped=False)
    x = "channels: 0.5 where known, -0.5 in the hole; red, green, blue in [-1, 1], 0 in the hole", -1.0
    return generator_contract(x, ("the whole plane around [-1, 1], not composited", None), _make_x, multiple, multiple)


def _make_x(photo: Array, mask: Array) -> Array:
    known = 1 - mask
    return np.concatenate([known - np.float32(0.5), (2 * photo - 1) * known], axis=1)


MI_GAN = MiGan()
