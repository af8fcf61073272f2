"""DeepFill v2, free-form inpainting with gated convolution: a coarse net fills the hole, a second one refines it.

Paper: Yu, Lin, Yang, Shen, Lu, Huang, "Free-Form Image Inpainting with Gated Convolution", arXiv 1806.03589. Authors'
code: JiahuiYu/generative_inpainting (TensorFlow, licence CC BY-NC 4.0, which covers their weights too). The checkpoints
read here are those of nipponjo/deepfillv2-pytorch, which states no licence; the code is our own. It has two nets, and
its files' keys tell which one computes them:

* `conv1.conv.weight` (networks_tf.py, files `states_tf_*.pth`): the authors' weights. Strided convolutions pad as
  TensorFlow's SAME does, behind alone; the attention thins out with corners aligned, and does not fuse. (The authors'
  own graph fuses, and thins the mask out in two steps. What the PyTorch net computes is the standard here.)
* `stage1.conv1.conv.weight` (networks.py, files `states_pt_*.pth`): tuned on from them for plain symmetric padding and
  thinning out by every second row; the attention fuses. `stage2.contextual_attention.fuse_weight`, the identity,
  may be missing: earlier versions of that net do not store it.

Both take channels [rgb * (1 - mask), 1, mask] with rgb in [-1, 1] and give rgb in [-1, 1]; the third net known by this
name, zhaoyuzhi/deepfillv2, is another one (its keys are `coarse.0.conv2d.weight`) and is not read: its padding,
activation and norm are options that leave no trace in the file.

Deviations: see contextual_attention.py; base channels are any even number from 4 on, but for 6, 12 and 14; the stage
carries masking, the change of range and compositing, which upstream does outside the net; upstream's first output, the
coarse result, is not given.

Upstream leaves the gate out of every convolution that gives 3 channels: with a base of 6 or 7 the first one is among
them, with 12 to 15 the last but one is. Such files are refused, and so are those of an odd base, as it is read from
the channels of the first convolution, which are those of the even one below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from converters.tensors import Array, Tensors, TensorSpec
from reference.checkpoint import Checkpoint
from reference.contextual_attention import ContextualAttention
from reference.key_match import KeyMatch, Shapes, compare_keys, list_shapes, require_floating
from reference.model import Contract, OutputPolicy, ReferenceModel

NAME = "deepfill-v2"
IN_CHANNELS = 5
BASE = 48
OWN_FUSE_KEY = "contextual_attention.fuse_weight"
FUSE_KEY = f"stage2.{OWN_FUSE_KEY}"


class Layer(NamedTuple):
    """A gated convolution: its name in either layout, its channels in quarters of the base, or as a count below 0."""

    name: str
    tuned_name: str
    cin: int
    cout: int
    stride: int = 1
    dilation: int = 1
    kernel: int = 3

    @property
    def gated(self) -> bool:
        return self.cout > 0

    @property
    def upsamples(self) -> bool:
        return self.name.endswith("_upsample")

    def key(self, tuned: bool) -> str:
        """What the keys of weight and bias begin with."""
        name = self.tuned_name if tuned else self.name
        return f"{name}.conv.conv" if self.upsamples else f"{name}.conv"

    def weight_shape(self, base: int) -> tuple[int, int, int, int]:
        """(out, in, kernel, kernel); a gated one has twice its channels."""
        out = width(self.cout, base) * (2 if self.gated else 1)
        return out, width(self.cin, base), self.kernel, self.kernel


def width(quarters: int, base: int) -> int:
    """Channels, rounded down as upstream does; -3 are 3."""
    return -quarters if quarters < 0 else quarters * base // 4


def body(name: str, tuned: str, cin: int, widths: tuple[int, int, int, int], *flat: str) -> list[Layer]:
    """Five convolutions down to a quarter of the size, then those that keep it, dilated as their names say."""
    one, two, three, four = widths
    dilations = {"conv7_atrous": 2, "conv8_atrous": 4, "conv9_atrous": 8, "conv10_atrous": 16}
    return [
        Layer(f"{name}conv1", f"{tuned}conv1", cin, 2, kernel=5),
        Layer(f"{name}conv2_downsample", f"{tuned}down_block1.conv1_downsample", 2, one, stride=2),
        Layer(f"{name}conv3", f"{tuned}down_block1.conv2", one, two),
        Layer(f"{name}conv4_downsample", f"{tuned}down_block2.conv1_downsample", two, three, stride=2),
        Layer(f"{name}conv5", f"{tuned}down_block2.conv2", three, four),
        *(
            Layer(f"{name}{conv}", f"{tuned}conv_bn{index}", 8, 8, dilation=dilations.get(conv, 1))
            for index, conv in enumerate(flat, 1)
        ),
    ]


def head(name: str, tuned: str) -> list[Layer]:
    """Back to the photo's size: nearest upsampling before two of the convolutions; the last has no gate."""
    return [
        Layer(f"{name}conv13_upsample", f"{tuned}up_block1.conv1_upsample", 8, 4),
        Layer(f"{name}conv14", f"{tuned}up_block1.conv2", 4, 4),
        Layer(f"{name}conv15_upsample", f"{tuned}up_block2.conv1_upsample", 4, 2),
        Layer(f"{name}conv16", f"{tuned}up_block2.conv2", 2, 1),
        Layer(f"{name}conv17", f"{tuned}conv_to_rgb", 1, -3),
    ]


ATROUS = ("conv6", "conv7_atrous", "conv8_atrous", "conv9_atrous", "conv10_atrous")
PARTS = {
    "coarse": [
        *body("", "stage1.", -IN_CHANNELS, (4, 4, 8, 8), *ATROUS, "conv11", "conv12"),
        *head("", "stage1."),
    ],
    "hallucinate": body("x", "stage2.conv_", -3, (2, 4, 4, 8), *ATROUS),
    "match": body("pm", "stage2.ca_", -3, (2, 4, 8, 8), "conv6"),
    "recall": [
        Layer("pmconv9", "stage2.ca_conv_bn4", 8, 8),
        Layer("pmconv10", "stage2.ca_conv_bn5", 8, 8),
    ],
    "unite": [
        Layer("allconv11", "stage2.conv_bn6", 16, 8),
        Layer("allconv12", "stage2.conv_bn7", 8, 8),
        *head("all", "stage2."),
    ],
}
RELU_LAYER = "pmconv6"


class GatedConv(nn.Module):
    """(N, cin, H, W) -> (N, cout, H/stride, W/stride): one half of the convolution's channels gates the other.

    Args:
        tuned: Whether a strided convolution pads on both sides; else behind alone, as TensorFlow does at even sizes.
    """

    def __init__(self, layer: Layer, base: int, tuned: bool) -> None:
        super().__init__()
        self.gated = layer.gated
        self.relu = layer.name == RELU_LAYER
        self.upsamples = layer.upsamples
        self.pads_behind = layer.stride > 1 and not tuned
        out, cin, kernel, _ = layer.weight_shape(base)
        padding = 0 if self.pads_behind else layer.dilation * (kernel - 1) // 2
        self.conv = nn.Conv2d(cin, out, kernel, layer.stride, padding, layer.dilation)

    def forward(self, x: Tensor) -> Tensor:
        if self.upsamples:
            x = F.interpolate(x, scale_factor=2, mode="nearest")  # (N, cin, 2H, 2W)
        if self.pads_behind:
            x = F.pad(x, (0, 1, 0, 1))
        y: Tensor = self.conv(x)
        if not self.gated:
            return y
        features, gate = y.chunk(2, 1)  # (N, cout, H, W) each
        return (F.relu(features) if self.relu else F.elu(features)) * torch.sigmoid(gate)


def stack(part: str, base: int, tuned: bool) -> nn.Sequential:
    return nn.Sequential(*(GatedConv(layer, base, tuned) for layer in PARTS[part]))


class Generator(nn.Module):
    """(N, 5, H, W) -> (N, 3, H, W) in [-1, 1], H and W multiples of 8.

    The input's channels are red, green and blue in [-1, 1], 0 in the hole; 1; and the mask, 1 in the hole.

    Args:
        base: Upstream's cnum: channels after the first two convolutions, 48 in the published files.
        tuned: The layout: True for networks.py, False for networks_tf.py.
    """

    def __init__(self, base: int, tuned: bool) -> None:
        super().__init__()
        self.coarse = stack("coarse", base, tuned)
        self.hallucinate = stack("hallucinate", base, tuned)
        self.match = stack("match", base, tuned)
        self.recall = stack("recall", base, tuned)
        self.unite = stack("unite", base, tuned)
        self.contextual_attention = ContextualAttention(2 * base, fuse=tuned, spread=not tuned)

    def forward(self, x: Tensor) -> Tensor:
        mask = x[:, 4:5]  # (N, 1, H, W)
        coarse = torch.tanh(self.coarse(x))  # (N, 3, H, W)
        filled = coarse * mask + x[:, :3] * (1 - mask)
        matched = self.contextual_attention(self.match(filled), mask)  # (N, 2 base, H/4, W/4)
        both = torch.cat([self.hallucinate(filled), self.recall(matched)], 1)  # (N, 4 base, H/4, W/4)
        return torch.tanh(self.unite(both))


class InpaintStage(nn.Module):
    """Fills the hole; known pixels come back bit for bit."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        known = 1 - mask
        ones = known + mask  # a constant of the mask's size, as an operation that every format has
        y: Tensor = self.generator(torch.cat([(2 * image - 1) * known, ones, mask], 1))  # (N, 3, H, W)
        return (y + 1) / 2 * mask + image * known


def tensor(name: str, channels: int, meaning: str, least: float = 0.0) -> TensorSpec:
    """(N, channels, H, W) float32 in [least, 1]; H and W multiples of 8: the attention's patches are 8 pixels apart."""
    return TensorSpec(name, ("N", channels, "H", "W"), "float32", "NCHW", (least, 1.0), meaning, 8, 8)


def inpaint_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    del edges
    return {"image": photo, "mask": mask}


def raw_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    del edges
    return {"x": np.concatenate([(2 * photo - 1) * (1 - mask), np.ones_like(mask), mask], axis=1)}


@dataclass(frozen=True)
class DeepFill:
    """The generator of either layout, as `identify` sees it."""

    name: str = NAME
    license_note: str = (
        "The files hold the checkpoint's weights and stay under the checkpoint's licence. Weights published by the "
        "DeepFill authors, and those converted or tuned on from them, are CC BY-NC 4.0: no commercial use."
    )

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare keys and shapes with what this net of the file's layout and base channels would have."""
        tuned = _is_tuned(shapes)
        fuse: Shapes = {FUSE_KEY: (1, 1, 3, 3)} if tuned else {}
        return compare_keys(self.name, shapes, _expected(_base(shapes), tuned), fuse)

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The net with the checkpoint's weights, in eval mode.

        Raises:
            ArchitectureError: a weight is no floating point tensor.
        """
        require_floating(checkpoint, checkpoint.tensors)
        shapes = list_shapes(checkpoint.tensors)
        base, tuned = _base(shapes), _is_tuned(shapes)
        generator = Generator(base, tuned)
        own_keys = _own_keys(tuned)
        state = {own_keys[key]: value for key, value in checkpoint.tensors.items()}
        generator.load_state_dict({**_unlearned(generator), **state}, strict=True)
        generator.requires_grad_(False)
        hyperparameters = {
            "base_channels": base,
            "in_channels": IN_CHANNELS,
            "out_channels": 3,
            "symmetric_padding": int(tuned),
            "fuse": int(tuned),
        }
        inputs, outputs, make_feeds = self.contract(raw)
        module = generator if raw else InpaintStage(generator)
        judging = {} if raw else {"result": OutputPolicy(known="image")}
        return ReferenceModel(self.name, hyperparameters, inputs, outputs, module.eval(), judging, make_feeds)

    def contract(self, raw: bool) -> Contract:
        """Masking, the change of range and compositing belong to the stage, not to the bare generator."""
        if raw:
            x = tensor(
                "x", IN_CHANNELS, "channels: red, green, blue in [-1, 1], 0 in the hole; 1; mask, 1 is the hole", -1
            )
            y = tensor("y", 3, "the whole plane in [-1, 1], not composited", -1)
            return Contract((x,), (y,), raw_feeds)
        image = tensor("image", 3, "the photo, RGB; what lies in the hole is ignored")
        mask = tensor("mask", 1, "1 is the hole, 0 is known; no other value")
        result = tensor("result", 3, "the photo, RGB, its hole filled; known pixels untouched")
        return Contract((image, mask), (result,), inpaint_feeds)


def _is_tuned(shapes: Mapping[str, object]) -> bool:
    return any(key.startswith(("stage1.", "stage2.")) for key in shapes)


def _base(shapes: Shapes) -> int:
    """Base channels, from the first convolution: half of them, and as many gates."""
    first = next((shapes[key] for key in ("conv1.conv.weight", "stage1.conv1.conv.weight") if key in shapes), ())
    return first[0] if first and first[0] >= 4 else BASE


def _expected(base: int, tuned: bool) -> dict[str, tuple[int, ...]]:
    """The shape of every weight and bias in the file."""
    expected: dict[str, tuple[int, ...]] = {}
    for layers in PARTS.values():
        for layer in layers:
            shape = layer.weight_shape(base)
            expected[f"{layer.key(tuned)}.weight"] = shape
            expected[f"{layer.key(tuned)}.bias"] = shape[:1]
    return expected


def _own_keys(tuned: bool) -> dict[str, str]:
    """The file's keys -> those of `Generator`."""
    own = {FUSE_KEY: OWN_FUSE_KEY}
    for part, layers in PARTS.items():
        for index, layer in enumerate(layers):
            for kind in ("weight", "bias"):
                own[f"{layer.key(tuned)}.{kind}"] = f"{part}.{index}.conv.{kind}"
    return own


def _unlearned(generator: Generator) -> dict[str, Tensor]:
    """What the file need not hold: the fuse's identity."""
    return {key: value for key, value in generator.state_dict().items() if key == OWN_FUSE_KEY}


DEEPFILL = DeepFill()
