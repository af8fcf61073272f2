"""EdgeConnect's two generators: the edge net completes edges in the hole, the inpaint net fills the hole along them.

Paper: Nazeri, Ng, Joseph, Qureshi, Ebrahimi, "EdgeConnect: Generative Image Inpainting with Adversarial Edge
Learning", arXiv 1901.00212. Layers and key names follow the published checkpoints of knazeri/edge-connect
(licence CC BY-NC 4.0; that licence covers those weights too); the code is our own.

Deviations: base channels and the number of blocks are read from the file; the stages do masking, concatenation and
compositing, which upstream does outside the nets.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from converters.tensors import Array, Tensors, TensorSpec
from reference.checkpoint_data import Checkpoint
from reference.key_match import KeyMatch, Shapes, compare_keys, list_shapes, load_weights
from reference.model import Contract, OutputPolicy, ReferenceModel
from reference.old_spectral_norm import restore_v

EPSILON = 1e-5
# What a file is compared with where its own keys and shapes say nothing.
USUAL_BASE, USUAL_BLOCKS = 64, 8
# A file holds a convolution's weight with torch's old spectral norm (a hook), with the new one (a parametrization), or
# plain. Each form lists the ends of the keys of the weight and, with a spectral norm, of the vectors u and v. The hook
# of torch 0.4 kept the divided weight instead of v.
OLD_HOOKS = "hooks of torch 0.4"
SPECTRAL_SUFFIXES = {
    OLD_HOOKS: ("weight_orig", "weight_u", "weight"),
    "hooks": ("weight_orig", "weight_u", "weight_v"),
    "parametrizations": (
        "parametrizations.weight.original",
        "parametrizations.weight.0._u",
        "parametrizations.weight.0._v",
    ),
    "folded": ("weight",),
}


def instance_norm(channels: int) -> nn.InstanceNorm2d:
    """(N, C, H, W) -> the same, with mean 0 and variance 1 per item and channel; no weights, no running statistics."""
    return nn.InstanceNorm2d(channels, eps=EPSILON, affine=False, track_running_stats=False)


class ResidualBlock(nn.Module):
    """(N, C, H, W) -> the same: the input plus the output of two 3x3 convolutions, the first with dilation 2."""

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
    """(N, in, H, W) -> (N, out, H, W) in [0, 1]; H and W are multiples of 4 and at least 12.

    Args:
        base: Channels after the first convolution.
        blocks: Number of residual blocks.
        in_channels: 3 (edge net) or 4 (inpaint net).
        out_channels: 1 (edge net, sigmoid) or 3 (inpaint net, (tanh + 1) / 2).
        block_bias: Whether the convolutions of the residual blocks have a bias.
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
    """gray, edges, mask (each (N, 1, H, W), the mask 1 in the hole) -> edges (N, 1, H, W) of the whole plane.

    All values are in [0, 1]. The edge net sees gray with a white hole, edges with an empty hole, and the mask.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, gray: Tensor, edges: Tensor, mask: Tensor) -> Tensor:
        known = 1 - mask
        y: Tensor = self.generator(torch.cat([gray * known + mask, edges * known, mask], 1))  # (N, 1, H, W)
        return y


class InpaintStage(nn.Module):
    """image (N, 3, H, W), edges and mask (each (N, 1, H, W), the mask 1 in the hole) -> the image with its hole filled.

    All values are in [0, 1]. The inpaint net sees the image with a white hole and the edges. Known pixels come back bit
    for bit.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, edges: Tensor, mask: Tensor) -> Tensor:
        known = image * (1 - mask)
        y: Tensor = self.generator(torch.cat([known + mask, edges], 1))  # (N, 3, H, W)
        return y * mask + known


def plane_spec(name: str, channels: int, meaning: str) -> TensorSpec:
    """(N, channels, H, W) float32 in [0, 1]; H and W multiples of 4 and, as the nets pad by reflection, at least 12."""
    return TensorSpec(name, ("N", channels, "H", "W"), "float32", "NCHW", (0.0, 1.0), meaning, 4, 12)


MASK = plane_spec("mask", 1, "1 is the hole, 0 is known; no other value")
# Weights of red, green and blue in scikit-image's rgb2gray.
LUMA = np.array([0.2125, 0.7154, 0.0721], np.float32).reshape(1, 3, 1, 1)


def gray_of(photo: Array) -> Array:
    """RGB (N, 3, H, W) float32 in [0, 1] -> gray (N, 1, H, W) float32 in [0, 1]."""
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


class Conv(NamedTuple):
    """What a file must hold for one convolution.

    Attributes:
        name: The module's name in Generator, which is also the start of its keys.
        shape: The weight's shape.
        bias: Whether there is a bias.
        out_axis: The axis of the weight that has the output channels: 0, or 1 for a transposed convolution.
    """

    name: str
    shape: tuple[int, int, int, int]
    bias: bool = True
    out_axis: int = 0


@dataclass(frozen=True)
class EdgeConnect:
    """One of the two generators as an architecture; see reference.model.Architecture.

    Attributes:
        name: The architecture's name.
        in_channels: See Generator.
        out_channels: Likewise.
        block_bias: Likewise.
        license_note: What the written files say about the weights' licence.
    """

    name: str
    in_channels: int
    out_channels: int
    block_bias: bool
    license_note: str = (
        "The files hold the checkpoint's weights and stay under the checkpoint's licence. "
        "Weights published by the EdgeConnect authors are CC BY-NC 4.0: no commercial use."
    )

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare keys and shapes with those of a net that has the file's base channels and number of blocks."""
        wanted: dict[str, tuple[int, ...]] = {}
        for conv in self._list_convs(*_read_sizes(shapes)):
            wanted |= _expected(conv, spectral_form(conv.name, shapes))
        return compare_keys(self.name, shapes, wanted, {})

    def _list_convs(self, base: int, blocks: int) -> list[Conv]:
        """All convolutions of the net; arguments as in Generator."""
        return [
            Conv("encoder.1", (base, self.in_channels, 7, 7)),
            Conv("encoder.4", (2 * base, base, 4, 4)),
            Conv("encoder.7", (4 * base, 2 * base, 4, 4)),
            *(
                Conv(f"middle.{block}.conv_block.{layer}", (4 * base, 4 * base, 3, 3), self.block_bias)
                for block in range(blocks)
                for layer in (1, 5)
            ),
            Conv("decoder.0", (4 * base, 2 * base, 4, 4), out_axis=1),
            Conv("decoder.3", (2 * base, base, 4, 4), out_axis=1),
            Conv("decoder.7", (self.out_channels, base, 7, 7)),
        ]

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The net with the checkpoint's weights, in eval mode. Convolutions keep the spectral norm that the file has.

        Raises:
            ArchitectureError: a tensor is not floating point.
        """
        shapes = list_shapes(checkpoint.tensors)
        base, blocks = _read_sizes(shapes)
        generator = Generator(base, blocks, self.in_channels, self.out_channels, self.block_bias)
        for conv in self._list_convs(base, blocks):
            form = spectral_form(conv.name, shapes)
            _attach_spectral_norm(generator.get_submodule(conv.name), form, conv.out_axis)
            if form == OLD_HOOKS:
                tensors = restore_v(checkpoint.path, checkpoint.tensors, conv.name, conv.out_axis)
                checkpoint = replace(checkpoint, tensors=tensors)
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
        policies = {} if raw or stage is EdgeStage else {"result": OutputPolicy(known="image")}
        return ReferenceModel(self.name, hyperparameters, inputs, outputs, module.eval(), policies, make_feeds)

    def contract(self, raw: bool) -> Contract:
        """Inputs and outputs. Masking, concatenation and compositing belong to the stage, not to the generator."""
        edge = self.out_channels == 1
        if raw:
            channels = "masked gray, masked edges, mask" if edge else "masked red, green, blue, edges"
            x = plane_spec("x", self.in_channels, f"channels: {channels}")
            y = plane_spec("y", self.out_channels, "the whole plane, not composited")
            return Contract((x,), (y,), raw_edge_feeds if edge else raw_inpaint_feeds)
        if edge:
            gray = plane_spec("gray", 1, "the photo in gray, 0.2125 R + 0.7154 G + 0.0721 B")
            edges = plane_spec(
                "edges", 1, "Canny edges of the known part: 1 is an edge; what lies in the hole is ignored"
            )
            edges_out = plane_spec("edges_out", 1, "edges of the whole plane, 1 is an edge")
            return Contract((gray, edges, MASK), (edges_out,), edge_feeds)
        image = plane_spec("image", 3, "the photo, RGB; what lies in the hole is ignored")
        edges = plane_spec("edges", 1, "edges of the whole plane, as the edge net gives them")
        result = plane_spec("result", 3, "the photo, RGB, its hole filled; known pixels untouched")
        return Contract((image, edges, MASK), (result,), inpaint_feeds)


def _read_sizes(shapes: Shapes) -> tuple[int, int]:
    """(base channels, blocks) of the net that a file's keys and shapes come nearest to."""
    weights = (f"encoder.1.{suffixes[0]}" for suffixes in SPECTRAL_SUFFIXES.values())
    first = next((shapes[key] for key in weights if key in shapes), ())
    found = {int(hit[1]) for key in shapes if (hit := re.match(r"middle\.(\d{1,3})\.conv_block\.", key))}
    base = first[0] if first and first[0] else USUAL_BASE
    return base, max(found) + 1 if found else USUAL_BLOCKS


def _expected(conv: Conv, form: str) -> dict[str, tuple[int, ...]]:
    """Shape by key for what a file holds of one convolution; `form` is a key of SPECTRAL_SUFFIXES."""
    channels = conv.shape[conv.out_axis]
    expected: dict[str, tuple[int, ...]] = {f"{conv.name}.bias": (channels,)} if conv.bias else {}
    # The spectral norm takes the weight as a matrix with one row per output channel.
    v: tuple[int, ...] = conv.shape if form == OLD_HOOKS else (math.prod(conv.shape) // channels,)
    for suffix, shape in zip(SPECTRAL_SUFFIXES[form], (conv.shape, (channels,), v), strict=False):
        expected[f"{conv.name}.{suffix}"] = shape
    return expected


def spectral_form(conv: str, keys: Mapping[str, object]) -> str:
    """The key of SPECTRAL_SUFFIXES for the convolution `conv` in a file with these `keys`; "folded" if it has none."""
    if all(f"{conv}.{suffix}" in keys for suffix in SPECTRAL_SUFFIXES[OLD_HOOKS]) and f"{conv}.weight_v" not in keys:
        return OLD_HOOKS
    others = ((form, suffixes) for form, suffixes in SPECTRAL_SUFFIXES.items() if form != OLD_HOOKS)
    return next(
        (form for form, suffixes in others if any(f"{conv}.{suffix}" in keys for suffix in suffixes)),
        "folded",
    )


def _attach_spectral_norm(conv: nn.Module, form: str, out_axis: int) -> None:
    """Give `conv` the spectral norm whose keys are SPECTRAL_SUFFIXES[form]; "folded" has none."""
    if form in ("hooks", OLD_HOOKS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the old API is what the checkpoints were made with
            nn.utils.spectral_norm(conv, dim=out_axis)
    elif form == "parametrizations":
        nn.utils.parametrizations.spectral_norm(conv, dim=out_axis)


EDGE = EdgeConnect("edgeconnect-edge", 3, 1, False)
INPAINT = EdgeConnect("edgeconnect-inpaint", 4, 3, True)
