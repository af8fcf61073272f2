"""EdgeConnect's two generators: an edge net that draws in the hole, an inpaint net that paints along the edges.

Paper: Nazeri, Ng, Joseph, Qureshi, Ebrahimi, "EdgeConnect: Generative Image Inpainting with Adversarial Edge
Learning", arXiv 1901.00212. Layers and key names follow the published checkpoints of knazeri/edge-connect
(licence CC BY-NC 4.0; that licence covers those weights too); the code is our own.

Deviations: base channels and block count are free; the stages carry masking, concatenation and compositing,
which upstream does outside the nets.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from converters.tensors import Array, Tensors, TensorSpec
from reference.checkpoint import Checkpoint
from reference.key_match import KeyMatch, Shapes, compare_keys, list_shapes, load_weights
from reference.model import Contract, OutputPolicy, ReferenceModel

EPSILON = 1e-5
SPECTRAL_SUFFIXES = {
    "hooks": ("weight_orig", "weight_u", "weight_v"),
    "parametrizations": (
        "parametrizations.weight.original",
        "parametrizations.weight.0._u",
        "parametrizations.weight.0._v",
    ),
    "folded": ("weight",),
}


def instance_norm(channels: int) -> nn.InstanceNorm2d:
    """(N, C, H, W) -> the same: mean 0, variance 1 per item and channel; nothing learned, nothing remembered."""
    return nn.InstanceNorm2d(channels, eps=EPSILON, affine=False, track_running_stats=False)


class ResidualBlock(nn.Module):
    """(N, C, H, W) -> the same; a dilated and a plain 3x3 convolution added to the input, no ReLU after."""

    def __init__(self, channels: int, bias: bool) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(2),
            nn.Conv2d(channels, channels, 3, dilation=2, bias=bias),  # (N, C, H, W)
            instance_norm(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),  # (N, C, H, W)
            instance_norm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.conv_block(x)
        return x + residual


class Generator(nn.Module):
    """(N, in, H, W) -> (N, out, H, W) in [0, 1]; H and W multiples of 4, 12 or more.

    Args:
        base: Channels after the first convolution.
        blocks: Residual blocks.
        in_channels: 3 (edge net) or 4 (inpaint net).
        out_channels: 1 (edge net, sigmoid) or 3 (inpaint net, (tanh + 1) / 2).
        block_bias: Whether the blocks' convolutions have a bias.
    """

    def __init__(self, base: int, blocks: int, in_channels: int, out_channels: int, block_bias: bool) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.encoder = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(in_channels, base, 7),  # (N, base, H, W)
            instance_norm(base),
            nn.ReLU(),
            nn.Conv2d(base, 2 * base, 4, stride=2, padding=1),  # (N, 2 base, H/2, W/2)
            instance_norm(2 * base),
            nn.ReLU(),
            nn.Conv2d(2 * base, 4 * base, 4, stride=2, padding=1),  # (N, 4 base, H/4, W/4)
            instance_norm(4 * base),
            nn.ReLU(),
        )
        self.middle = nn.Sequential(*(ResidualBlock(4 * base, block_bias) for _ in range(blocks)))
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(4 * base, 2 * base, 4, stride=2, padding=1),  # (N, 2 base, H/2, W/2)
            instance_norm(2 * base),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * base, base, 4, stride=2, padding=1),  # (N, base, H, W)
            instance_norm(base),
            nn.ReLU(),
            nn.ReflectionPad2d(3),
            nn.Conv2d(base, out_channels, 7),  # (N, out, H, W)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.decoder(self.middle(self.encoder(x)))
        return torch.sigmoid(y) if self.out_channels == 1 else (torch.tanh(y) + 1) / 2


class EdgeStage(nn.Module):
    """Completes an edge map: white in the hole of the photo, no edges in the hole, the mask as third channel."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, gray: Tensor, edges: Tensor, mask: Tensor) -> Tensor:
        known = 1 - mask
        y: Tensor = self.generator(torch.cat([gray * known + mask, edges * known, mask], 1))  # (N, 1, H, W)
        return y


class InpaintStage(nn.Module):
    """Fills the hole along the edges; known pixels come back bit for bit."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, edges: Tensor, mask: Tensor) -> Tensor:
        known = image * (1 - mask)
        y: Tensor = self.generator(torch.cat([known + mask, edges], 1))  # (N, 3, H, W)
        return y * mask + known


def tensor(name: str, channels: int, meaning: str) -> TensorSpec:
    """(N, channels, H, W) float32 in [0, 1], H and W multiples of 4 and, for the reflect pads, 12 or more."""
    return TensorSpec(name, ("N", channels, "H", "W"), "float32", "NCHW", (0.0, 1.0), meaning, 4, 12)


MASK = tensor("mask", 1, "1 is the hole, 0 is known; no other value")
LUMA = np.array([0.2125, 0.7154, 0.0721], np.float32).reshape(1, 3, 1, 1)


def gray_of(photo: Array) -> Array:
    """(N, 3, H, W) -> (N, 1, H, W), scikit-image's rgb2gray weights."""
    gray: Array = np.clip((photo * LUMA).sum(axis=1, keepdims=True), 0, 1).astype(np.float32)
    return gray


def edge_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    return {"gray": gray_of(photo), "edges": edges, "mask": mask}


def inpaint_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    return {"image": photo, "edges": edges, "mask": mask}


def raw_edge_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    known = 1 - mask
    return {"x": np.concatenate([gray_of(photo) * known + mask, edges * known, mask], axis=1)}


def raw_inpaint_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    return {"x": np.concatenate([photo * (1 - mask) + mask, edges], axis=1)}


BLOCK_CONVS = ("conv_block.1", "conv_block.5")


@dataclass(frozen=True)
class EdgeConnect:
    """One of the two generators, as `identify` sees it."""

    name: str
    in_channels: int
    out_channels: int
    block_bias: bool
    license_note: str = (
        "The files hold the checkpoint's weights and stay under the checkpoint's licence. "
        "Weights published by the EdgeConnect authors are CC BY-NC 4.0: no commercial use."
    )

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare keys and shapes with what this net of the file's base channels and block count would have."""
        first = next((shapes[key] for key in _weight_keys("encoder.1") if key in shapes), ())
        base = first[0] if first and first[0] else 64
        found = {int(hit[1]) for key in shapes if (hit := re.match(r"middle\.(\d{1,3})\.conv_block\.", key))}
        blocks = max(found) + 1 if found else 8
        wanted: dict[str, tuple[int, ...]] = {}
        for conv, shape, bias, dim in self._convs(base, blocks):
            wanted |= self._keys_of(conv, shape, bias, dim, shapes)
        return compare_keys(self.name, shapes, wanted, {})

    def _convs(self, base: int, blocks: int) -> list[tuple[str, tuple[int, int, int, int], bool, int]]:
        """(key, weight shape, has a bias, the dimension of the output channels) of every convolution."""
        convs = [
            ("encoder.1", (base, self.in_channels, 7, 7), True, 0),
            ("encoder.4", (2 * base, base, 4, 4), True, 0),
            ("encoder.7", (4 * base, 2 * base, 4, 4), True, 0),
        ]
        for block in range(blocks):
            for conv in BLOCK_CONVS:
                convs.append((f"middle.{block}.{conv}", (4 * base, 4 * base, 3, 3), self.block_bias, 0))
        return [
            *convs,
            ("decoder.0", (4 * base, 2 * base, 4, 4), True, 1),
            ("decoder.3", (2 * base, base, 4, 4), True, 1),
            ("decoder.7", (self.out_channels, base, 7, 7), True, 0),
        ]

    def _keys_of(
        self,
        conv: str,
        shape: tuple[int, int, int, int],
        bias: bool,
        dim: int,
        shapes: Shapes,
    ) -> dict[str, tuple[int, ...]]:
        """The keys of one convolution, in the form (spectral norm or not) that the file has for it."""
        form = spectral_form(conv, shapes)
        keys: dict[str, tuple[int, ...]] = {f"{conv}.bias": (shape[dim],)} if bias else {}
        names = [f"{conv}.{suffix}" for suffix in SPECTRAL_SUFFIXES[form]]
        keys[names[0]] = shape
        if form != "folded":
            keys[names[1]] = (shape[dim],)
            keys[names[2]] = (int(np.prod(shape)) // shape[dim],)
        return keys

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The net with the checkpoint's weights, spectral norm alive, in eval mode.

        Raises:
            ArchitectureError: a weight is no floating point tensor.
        """
        shapes = list_shapes(checkpoint.tensors)
        blocks = len({key.split(".")[1] for key in shapes if key.startswith("middle.")})
        base = next(shapes[key][0] for key in _weight_keys("encoder.1") if key in shapes)
        generator = Generator(base, blocks, self.in_channels, self.out_channels, self.block_bias)
        for conv, _, _, dim in self._convs(base, blocks):
            _attach_spectral_norm(generator.get_submodule(conv), spectral_form(conv, shapes), dim)
        load_weights(generator, checkpoint)
        hyperparameters = {
            "base_channels": base,
            "blocks": blocks,
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
        }
        inputs, outputs, make_feeds = self.contract(raw)
        stage = EdgeStage if self.out_channels == 1 else InpaintStage
        module = generator if raw else stage(generator)
        judging = {} if raw or stage is EdgeStage else {"result": OutputPolicy(known="image")}
        return ReferenceModel(self.name, hyperparameters, inputs, outputs, module.eval(), judging, make_feeds)

    def contract(self, raw: bool) -> Contract:
        """Masking, concatenation and compositing belong to the stages, not to the bare generator."""
        edge = self.out_channels == 1
        if raw:
            channels = "masked gray, masked edges, mask" if edge else "masked red, green, blue, edges"
            x = tensor("x", self.in_channels, f"channels: {channels}")
            y = tensor("y", self.out_channels, "the whole plane, not composited")
            return Contract((x,), (y,), raw_edge_feeds if edge else raw_inpaint_feeds)
        if edge:
            gray = tensor("gray", 1, "the photo in gray, 0.2125 R + 0.7154 G + 0.0721 B")
            edges = tensor("edges", 1, "Canny edges of the known part: 1 is an edge; what lies in the hole is ignored")
            edges_out = tensor("edges_out", 1, "edges of the whole plane, 1 is an edge")
            return Contract((gray, edges, MASK), (edges_out,), edge_feeds)
        image = tensor("image", 3, "the photo, RGB; what lies in the hole is ignored")
        edges = tensor("edges", 1, "edges of the whole plane, as the edge net gives them")
        result = tensor("result", 3, "the photo, RGB, its hole filled; known pixels untouched")
        return Contract((image, edges, MASK), (result,), inpaint_feeds)


def spectral_form(conv: str, keys: Mapping[str, object]) -> str:
    """Which of SPECTRAL_SUFFIXES the file has for `conv`."""
    return next(
        (
            form
            for form, suffixes in SPECTRAL_SUFFIXES.items()
            if any(f"{conv}.{suffix}" in keys for suffix in suffixes)
        ),
        "folded",
    )


def _weight_keys(conv: str) -> list[str]:
    return [f"{conv}.{suffixes[0]}" for suffixes in SPECTRAL_SUFFIXES.values()]


def _attach_spectral_norm(conv: nn.Module, form: str, dim: int) -> None:
    if form == "hooks":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the old API is what the checkpoints were made with
            nn.utils.spectral_norm(conv, dim=dim)
    elif form == "parametrizations":
        nn.utils.parametrizations.spectral_norm(conv, dim=dim)


EDGE = EdgeConnect("edgeconnect-edge", 3, 1, False)
INPAINT = EdgeConnect("edgeconnect-inpaint", 4, 3, True)
