"""DeepFill v2, free-form inpainting with gated convolution: a coarse net fills the hole, a second one refines it.

Paper: Yu, Lin, Yang, Shen, Lu, Huang, "Free-Form Image Inpainting with Gated Convolution", arXiv 1806.03589. Authors'
code: JiahuiYu/generative_inpainting (TensorFlow, licence CC BY-NC 4.0, which covers their weights too). The checkpoints
read here follow nipponjo/deepfillv2-pytorch, which states no licence; the code is our own. That repository has two
nets, and a file's keys tell which of them it belongs to:

* `conv1.conv.weight` (networks_tf.py, files `states_tf_*.pth`): the authors' weights. Strided convolutions pad at the
  bottom and the right only, as TensorFlow's SAME does at even sizes. The attention subsamples with aligned corners and
  does not fuse. (The authors' TensorFlow graph fuses, and subsamples the mask in two steps. The PyTorch net is the
  standard here.)
* `stage1.conv1.conv.weight` (networks.py, files `states_pt_*.pth`): the authors' weights, fine-tuned for symmetric
  padding and for subsampling by every second row and column. The attention fuses with
  `stage2.contextual_attention.fuse_weight`, an identity matrix. Earlier versions of the net do not store that tensor,
  so it may be missing.

Both nets take channels [rgb * (1 - mask), 1, mask] with rgb in [-1, 1] and give rgb in [-1, 1]. A third net of the same
name, zhaoyuzhi/deepfillv2, has keys such as `coarse.0.conv2d.weight`. It is not supported: its padding, activation and
norm are options that leave no trace in the file.

Deviations: see contextual_attention.py. The stage does masking, the change of range and compositing, which upstream
does outside the net. Upstream's first output, the coarse result, is left out.

The number of base channels must be even and at least 4, but not 6, 12 or 14. Upstream leaves the gate out of every
convolution with 3 output channels. With a base of 6 or 7, the first convolution is one of them; with 12 to 15, the last
but one is. An odd base gives the first convolution as many channels as the even base below, and the base is read from
there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from converters.tensors import Array, Tensors, TensorSpec
from reference.checkpoint_data import Checkpoint
from reference.contextual_attention import FUSE_KERNEL, ContextualAttention
from reference.key_match import KeyMatch, Shapes, compare_keys, list_shapes, load_weights, require_floating
from reference.model import Contract, OutputPolicy, ReferenceModel

IN_CHANNELS = 5
USUAL_BASE = 48
FUSE_KEY = "stage2.contextual_attention.fuse_weight"


class Layer(NamedTuple):
    """One convolution of the net.

    Attributes:
        name: Its name in networks_tf.py.
        finetuned_name: Its name in networks.py.
        cin: Input channels; see `count_channels`.
        cout: Output channels after gating; likewise. A negative number means that there is no gate.
        stride: 1 or 2.
        dilation: Dilation of the kernel.
        kernel: Height and width of the kernel.
    """

    name: str
    finetuned_name: str
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

    def key(self, finetuned: bool) -> str:
        """The file's key of weight and bias, without the last part."""
        name = self.finetuned_name if finetuned else self.name
        return f"{name}.conv.conv" if self.upsamples else f"{name}.conv"

    def weight_shape(self, base: int) -> tuple[int, int, int, int]:
        """(out, in, kernel, kernel); a gated convolution computes features and as many gates."""
        out = count_channels(self.cout, base) * (2 if self.gated else 1)
        return out, count_channels(self.cin, base), self.kernel, self.kernel


def count_channels(quarters: int, base: int) -> int:
    """Channels for a number of quarters of the base, rounded down as upstream does; -n means n, whatever the base."""
    return -quarters if quarters < 0 else quarters * base // 4


def encoder(
    prefix: str, finetuned_prefix: str, cin: int, widths: tuple[int, int, int, int], *same_size: str
) -> list[Layer]:
    """Five convolutions that reduce H and W to a quarter, then convolutions that keep the size.

    Args:
        prefix: Start of each layer's name in networks_tf.py.
        finetuned_prefix: Likewise in networks.py.
        cin: Input channels; see `count_channels`.
        widths: Output channels of the second to the fifth convolution; likewise.
        same_size: Names of the convolutions that keep the size; the dilation depends on the name.
    """
    one, two, three, four = widths
    dilations = {"conv7_atrous": 2, "conv8_atrous": 4, "conv9_atrous": 8, "conv10_atrous": 16}
    return [
        Layer(f"{prefix}conv1", f"{finetuned_prefix}conv1", cin, 2, kernel=5),
        Layer(f"{prefix}conv2_downsample", f"{finetuned_prefix}down_block1.conv1_downsample", 2, one, stride=2),
        Layer(f"{prefix}conv3", f"{finetuned_prefix}down_block1.conv2", one, two),
        Layer(f"{prefix}conv4_downsample", f"{finetuned_prefix}down_block2.conv1_downsample", two, three, stride=2),
        Layer(f"{prefix}conv5", f"{finetuned_prefix}down_block2.conv2", three, four),
        *(
            Layer(f"{prefix}{conv}", f"{finetuned_prefix}conv_bn{index}", 8, 8, dilation=dilations.get(conv, 1))
            for index, conv in enumerate(same_size, 1)
        ),
    ]


def decoder(prefix: str, finetuned_prefix: str) -> list[Layer]:
    """Five convolutions back to the photo's size, two of them after nearest upsampling; arguments as in `encoder`."""
    return [
        Layer(f"{prefix}conv13_upsample", f"{finetuned_prefix}up_block1.conv1_upsample", 8, 4),
        Layer(f"{prefix}conv14", f"{finetuned_prefix}up_block1.conv2", 4, 4),
        Layer(f"{prefix}conv15_upsample", f"{finetuned_prefix}up_block2.conv1_upsample", 4, 2),
        Layer(f"{prefix}conv16", f"{finetuned_prefix}up_block2.conv2", 2, 1),
        Layer(f"{prefix}conv17", f"{finetuned_prefix}conv_to_rgb", 1, -3),
    ]


ATROUS = ("conv6", "conv7_atrous", "conv8_atrous", "conv9_atrous", "conv10_atrous")
# The layers of each part of the generator. "coarse" is the first net. The second net has a branch without attention,
# "hallucinate", and one with attention, which "match" feeds and "recall" follows; "unite" decodes both branches.
PARTS = {
    "coarse": [
        *encoder("", "stage1.", -IN_CHANNELS, (4, 4, 8, 8), *ATROUS, "conv11", "conv12"),
        *decoder("", "stage1."),
    ],
    "hallucinate": encoder("x", "stage2.conv_", -3, (2, 4, 4, 8), *ATROUS),
    "match": encoder("pm", "stage2.ca_", -3, (2, 4, 8, 8), "conv6"),
    "recall": [
        Layer("pmconv9", "stage2.ca_conv_bn4", 8, 8),
        Layer("pmconv10", "stage2.ca_conv_bn5", 8, 8),
    ],
    "unite": [
        Layer("allconv11", "stage2.conv_bn6", 16, 8),
        Layer("allconv12", "stage2.conv_bn7", 8, 8),
        *decoder("all", "stage2."),
    ],
}
# The features of this layer go to the attention and have a ReLU; all others have an ELU.
RELU_LAYER = "pmconv6"


class GatedConv(nn.Module):
    """(N, cin, H, W) -> (N, cout, H/stride, W/stride); with upsampling, the result is (N, cout, 2H, 2W).

    The convolution gives 2 cout channels; the result is activation(first half) * sigmoid(second half). Without a gate,
    the convolution gives cout channels, which are the result.

    Args:
        layer: What to build.
        base: Base channels.
        finetuned: Whether a strided convolution pads on all four sides; otherwise it pads at the bottom and the right.
    """

    def __init__(self, layer: Layer, base: int, finetuned: bool) -> None:
        super().__init__()
        self.gated = layer.gated
        self.relu = layer.name == RELU_LAYER
        self.upsamples = layer.upsamples
        self.pads_end_only = layer.stride > 1 and not finetuned
        out, cin, kernel, _ = layer.weight_shape(base)
        padding = 0 if self.pads_end_only else layer.dilation * (kernel - 1) // 2
        self.conv = nn.Conv2d(cin, out, kernel, layer.stride, padding, layer.dilation)

    def forward(self, x: Tensor) -> Tensor:
        if self.upsamples:
            x = F.interpolate(x, scale_factor=2, mode="nearest")  # (N, cin, 2H, 2W)
        if self.pads_end_only:
            x = F.pad(x, (0, 1, 0, 1))
        y: Tensor = self.conv(x)
        if not self.gated:
            return y
        features, gate = y.chunk(2, 1)  # (N, cout, H, W) each
        return (F.relu(features) if self.relu else F.elu(features)) * torch.sigmoid(gate)


def stack(part: str, base: int, finetuned: bool) -> nn.Sequential:
    """The convolutions of one of PARTS."""
    return nn.Sequential(*(GatedConv(layer, base, finetuned) for layer in PARTS[part]))


class Generator(nn.Module):
    """(N, 5, H, W) -> (N, 3, H, W) in [-1, 1], H and W multiples of 8.

    Input channels 0 to 2 are red, green and blue in [-1, 1], 0 in the hole. Channel 3 is all ones. Channel 4 is the
    mask, 1 in the hole.

    Args:
        base: Upstream's cnum: the coarse net's channels after its second convolution, 48 in the published files.
        finetuned: True builds the net of networks.py, False that of networks_tf.py.
        fuse: The kernel of the attention in networks.py; networks_tf.py has none.
    """

    def __init__(self, base: int, finetuned: bool, fuse: Tensor = FUSE_KERNEL) -> None:
        super().__init__()
        self.coarse = stack("coarse", base, finetuned)
        self.hallucinate = stack("hallucinate", base, finetuned)
        self.match = stack("match", base, finetuned)
        self.recall = stack("recall", base, finetuned)
        self.unite = stack("unite", base, finetuned)
        self.contextual_attention = ContextualAttention(2 * base, fuse if finetuned else None, spread=not finetuned)

    def forward(self, x: Tensor) -> Tensor:
        mask = x[:, 4:5]  # (N, 1, H, W)
        coarse = torch.tanh(self.coarse(x))  # (N, 3, H, W)
        filled = coarse * mask + x[:, :3] * (1 - mask)
        matched = self.contextual_attention(self.match(filled), mask)  # (N, 2 base, H/4, W/4)
        branches = torch.cat([self.hallucinate(filled), self.recall(matched)], 1)  # (N, 4 base, H/4, W/4)
        return torch.tanh(self.unite(branches))


class InpaintStage(nn.Module):
    """image (N, 3, H, W) in [0, 1] and mask (N, 1, H, W), 1 in the hole -> the image with its hole filled.

    Known pixels come back bit for bit.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        known = 1 - mask
        ones = known + mask  # all ones, of the mask's size, by an operator that every target has
        y: Tensor = self.generator(torch.cat([(2 * image - 1) * known, ones, mask], 1))  # (N, 3, H, W)
        return (y + 1) / 2 * mask + image * known


def plane_spec(name: str, channels: int, meaning: str, least: float = 0.0) -> TensorSpec:
    """(N, channels, H, W) float32 in [least, 1]; H and W multiples of 8, the distance of the attention's patches."""
    return TensorSpec(name, ("N", channels, "H", "W"), "float32", "NCHW", (least, 1.0), meaning, 8, 8)


def inpaint_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    return {"image": photo, "mask": mask}


def raw_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    return {"x": np.concatenate([(2 * photo - 1) * (1 - mask), np.ones_like(mask), mask], axis=1)}


@dataclass(frozen=True)
class DeepFill:
    """DeepFill v2 as an architecture, in both layouts; see reference.model.Architecture."""

    name: str = "deepfill-v2"
    license_note: str = (
        "The files hold the checkpoint's weights and stay under the checkpoint's licence. Weights published by the "
        "DeepFill authors, and those converted or tuned on from them, are CC BY-NC 4.0: no commercial use."
    )

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare keys and shapes with those of a net that has the file's layout and base channels."""
        finetuned = _is_finetuned(shapes)
        fuse: Shapes = {FUSE_KEY: (1, 1, 3, 3)} if finetuned else {}
        return compare_keys(self.name, shapes, _expected(_read_base(shapes), finetuned), fuse)

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The net with the checkpoint's weights, in eval mode.

        Raises:
            ArchitectureError: a tensor is not floating point.
        """
        shapes = list_shapes(checkpoint.tensors)
        base, finetuned = _read_base(shapes), _is_finetuned(shapes)
        # The fine-tuned net needs the kernel, which its file may lack.
        with_fuse = replace(checkpoint, tensors={FUSE_KEY: FUSE_KERNEL, **checkpoint.tensors})
        require_floating(with_fuse, [FUSE_KEY])
        generator = Generator(base, finetuned, with_fuse.tensors[FUSE_KEY])
        load_weights(generator, checkpoint, _renames(finetuned))
        hyperparameters = {
            "base_channels": base,
            "in_channels": IN_CHANNELS,
            "out_channels": 3,
            "symmetric_padding": int(finetuned),
            "fuse": int(finetuned),
        }
        inputs, outputs, make_feeds = self.contract(raw)
        module = generator if raw else InpaintStage(generator)
        policies = {} if raw else {"result": OutputPolicy(known="image")}
        return ReferenceModel(self.name, hyperparameters, inputs, outputs, module.eval(), policies, make_feeds)

    def contract(self, raw: bool) -> Contract:
        """Inputs and outputs. The stage does masking, the change of range and compositing, the generator does not."""
        if raw:
            x = plane_spec(
                "x", IN_CHANNELS, "channels: red, green, blue in [-1, 1], 0 in the hole; 1; mask, 1 is the hole", -1
            )
            y = plane_spec("y", 3, "the whole plane in [-1, 1], not composited", -1)
            return Contract((x,), (y,), raw_feeds)
        image = plane_spec("image", 3, "the photo, RGB; what lies in the hole is ignored")
        mask = plane_spec("mask", 1, "1 is the hole, 0 is known; no other value")
        result = plane_spec("result", 3, "the photo, RGB, its hole filled; known pixels untouched")
        return Contract((image, mask), (result,), inpaint_feeds)


def _is_finetuned(shapes: Mapping[str, object]) -> bool:
    """Whether a file with these keys is of networks.py, not of networks_tf.py."""
    return any(key.startswith(("stage1.", "stage2.")) for key in shapes)


def _read_base(shapes: Shapes) -> int:
    """Base channels: the first convolution has half as many features, and as many gates as features."""
    first = next((shapes[key] for key in ("conv1.conv.weight", "stage1.conv1.conv.weight") if key in shapes), ())
    return first[0] if first and first[0] >= 4 else USUAL_BASE


def _expected(base: int, finetuned: bool) -> dict[str, tuple[int, ...]]:
    """Shape by key for all weights and biases of a file; a file may also hold FUSE_KEY."""
    expected: dict[str, tuple[int, ...]] = {}
    for layers in PARTS.values():
        for layer in layers:
            shape = layer.weight_shape(base)
            expected[f"{layer.key(finetuned)}.weight"] = shape
            expected[f"{layer.key(finetuned)}.bias"] = shape[:1]
    return expected


def _renames(finetuned: bool) -> dict[str, str]:
    """The key in `Generator` by the key in the file."""
    renames = {}
    for part, layers in PARTS.items():
        for index, layer in enumerate(layers):
            for kind in ("weight", "bias"):
                renames[f"{layer.key(finetuned)}.{kind}"] = f"{part}.{index}.conv.{kind}"
    return renames


DEEPFILL = DeepFill()
