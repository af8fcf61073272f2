"""The partial-convolution U-Net: a convolution looks at the known values alone, and the hole shrinks layer by layer.

Paper: Liu, Reda, Shih, Wang, Tao, Catanzaro, "Image Inpainting for Irregular Holes Using Partial Convolutions", arXiv
1804.07723. Its authors published the layer (NVIDIA/partialconv, licence BSD 3-Clause), but no inpainting net. Two
layouts of keys are read. They are two nets, as their layers compute differently:

* `enc_1.conv.input_conv.weight` beside `enc_1.conv.mask_conv.weight`, all ones: naoto0804's
  pytorch-inpainting-with-partial-conv (licence MIT), whose trained file of seven layers is the one in use. Its layer
  divides by sum(M), not by sum(M) / sum(1): the paper's factor sum(1) is left to the weights.
* `enc_1.conv.weight`: the authors' layer, itself a Conv2d, with `multi_channel` masks, in a U-Net of the same names. It
  divides by sum(M) / sum(1), as the paper has it.

A fork that puts sum(1) back and keeps the first layout's keys cannot be told from upstream by its file; it is read as
upstream's. In both, a window without any known value gives 0, without the bias, and the padding counts as hole.

Both nets take and give rgb less ImageNet's mean, divided by its standard deviation; the stage goes there and back.
Upstream does not clamp what the net gives, nor is it clamped here: values in the hole may lie outside [0, 1].

Deviations: depth, base channels and biases beyond the last layer's are free; masks have one channel between the layers
and in the stage, where all of upstream's are equal (their sums are whole numbers, the same to the bit); the stage
composites photos, upstream normalised ones, so that known pixels come back bit for bit; `num_batches_tracked`, which
eval mode does not use, may be missing and is left out, whatever its dtype.

Not read: files of naoto0804's net as it first was, which call the weights `enc_1.conv.conv2d.weight` and the mask's
`enc_1.conv.mask2d.weight`; and those of tanimutomo/partialconv, which have the second layout's weights, but no norms,
and layers that their net never runs (eight are stored, six run).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from converters.errors import ArchitectureError
from converters.tensors import Array, Tensors, TensorSpec
from reference.checkpoint import Checkpoint
from reference.key_match import KeyMatch, Shapes, compare_keys, list_shapes, nearest_of, require_floating
from reference.model import Contract, OutputPolicy, ReferenceModel

EPSILON = 1e-5
SLOPE = 0.2
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
BASE, LAYERS = 64, 7
WIDEST = 8  # channels double until they are this many times the base
KERNELS = (7, 5, 5)  # of the first encoder layers; every other layer has 3
COUNTER = "num_batches_tracked"
NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Layout:
    """How a file names a layer's tensors, and the arithmetic that goes with the names.

    Attributes:
        conv: What stands between "enc_1." and "weight".
        ones: Likewise, up to the end, of the mask's weights, which are all ones; None where a file holds none.
        share: The divisor is sum(M) / sum(1), a share in (0, 1]; otherwise it is sum(M).
    """

    conv: str
    ones: str | None
    share: bool


LAYOUTS = (Layout("conv.input_conv.", "conv.mask_conv.weight", False), Layout("conv.", None, True))


@dataclass(frozen=True)
class Layer:
    """Of the encoder or the decoder, numbered from 1 at the image; the decoder's last to run is its first.

    Attributes:
        cin: Channels of all sources together.
    """

    decoder: bool
    number: int
    cin: int
    cout: int

    @property
    def key(self) -> str:
        """The layer's name in a file."""
        return f"{'dec' if self.decoder else 'enc'}_{self.number}."

    @property
    def ours(self) -> str:
        """The layer's name in Generator."""
        return f"{'decoder' if self.decoder else 'encoder'}.{self.number - 1}."

    @property
    def kernel(self) -> int:
        return 3 if self.decoder or self.number > len(KERNELS) else KERNELS[self.number - 1]

    @property
    def last(self) -> bool:
        return self.decoder and self.number == 1


def plan_layers(base: int, layers: int) -> list[Layer]:
    """The encoder's layers, then the decoder's, each by number."""
    widths = [3, *(base * min(2**i, WIDEST) for i in range(layers))]
    encoder = [Layer(False, i, widths[i - 1], widths[i]) for i in range(1, layers + 1)]
    decoder = [Layer(True, i, widths[i] + widths[i - 1], widths[i - 1]) for i in range(1, layers + 1)]
    return encoder + decoder


Source = tuple[Tensor, Tensor]
# Sizes are multiples of 2^layers, and parity runs at several: 1024 is as far as a photo goes.
DEEPEST = 10


class PartialConv(nn.Module):
    """Features and their masks (1 is known) -> features (N, cout, H', W') and their mask (N, 1, H', W').

    A source is features (N, C, H, W) and a mask (N, C, H, W), or (N, 1, H, W) for all channels alike. With M the masks
    in a window, y = W (x * M) / divisor + b and the new mask is 1 where sum(M) > 0; both are 0 elsewhere.
    """

    ones: Tensor

    def __init__(self, cin: int, cout: int, kernel: int, stride: int, bias: bool, share: bool) -> None:
        super().__init__()
        self.stride, self.padding = stride, kernel // 2
        self.full = cin * kernel * kernel if share else 1
        self.weight = nn.Parameter(torch.empty(cout, cin, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(cout)) if bias else None
        self.register_buffer("ones", torch.ones(1, 1, kernel, kernel), persistent=False)

    def forward(self, *sources: Source) -> Source:
        known = torch.cat([x * mask for x, mask in sources], 1)  # (N, cin, H, W)
        count = count_known(*sources[0])  # (N, 1, H, W)
        for source in sources[1:]:
            count = count + count_known(*source)
        total = F.conv2d(count, self.ones, None, self.stride, self.padding)  # (N, 1, H', W'), whole numbers
        valid = total.clamp(0, 1)
        y = F.conv2d(known, self.weight, None, self.stride, self.padding)  # (N, cout, H', W')
        y = y / ((total + (1 - valid)) / self.full)  # where nothing is known, 0 by something else than 0
        if self.bias is not None:
            y = (y + self.bias.view(1, -1, 1, 1)) * valid
        return y, valid


def count_known(x: Tensor, mask: Tensor) -> Tensor:
    """(N, C, H, W), (N, 1 or C, H, W) -> (N, 1, H, W): how many of the C values are known at each place."""
    return mask * x.shape[1] if mask.shape[1] == 1 else mask.sum(1, keepdim=True)


class Block(nn.Module):
    """A partial convolution, BatchNorm and activation; in the encoder ReLU, in the decoder LeakyReLU or none."""

    def __init__(self, layer: Layer, norm: bool, bias: bool, share: bool) -> None:
        super().__init__()
        self.conv = PartialConv(layer.cin, layer.cout, layer.kernel, 1 if layer.decoder else 2, bias, share)
        self.norm = nn.BatchNorm2d(layer.cout, EPSILON) if norm else nn.Identity()
        self.activation: nn.Module = nn.LeakyReLU(SLOPE) if layer.decoder else nn.ReLU()
        if layer.last:
            self.activation = nn.Identity()

    def forward(self, *sources: Source) -> Source:
        y, valid = self.conv(*sources)
        return self.activation(self.norm(y)), valid


class Generator(nn.Module):
    """x (N, 3, H, W), its mask (N, 1 or 3, H, W; 1 is known) -> (N, 3, H, W); H and W multiples of 2^layers.

    x and the result are rgb less MEAN, divided by DEVIATION.

    Args:
        layers: As plan_layers gives them.
        biased: Names of the layers that have a bias.
        share: See Layout.
    """

    def __init__(self, layers: Sequence[Layer], biased: frozenset[str], share: bool) -> None:
        super().__init__()
        blocks = [(layer.decoder, Block(layer, layer.number > 1, layer.key in biased, share)) for layer in layers]
        self.encoder = nn.ModuleList(block for decoder, block in blocks if not decoder)
        self.decoder = nn.ModuleList(block for decoder, block in blocks if decoder)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        skips = []
        for block in self.encoder:
            skips.append((x, valid))
            x, valid = block((x, valid))  # H and W halved
        for block, skip in zip(reversed(self.decoder), reversed(skips), strict=True):
            x, valid = block((enlarge(x), enlarge(valid)), skip)  # H and W doubled
        return x


def enlarge(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2 H, 2 W), each value four times."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Stage(nn.Module):
    """Fills the hole of a photo in [0, 1]; known pixels come back bit for bit, the others may leave [0, 1]."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        for name, values in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        known = 1 - mask
        y: Tensor = self.generator((image - self.mean) / self.deviation, known)  # (N, 3, H, W)
        return (y * self.deviation + self.mean) * mask + image * known


def stage_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    return {"image": photo, "mask": mask}


def raw_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    mean, deviation = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    valid = np.repeat(1 - mask, 3, axis=1)
    return {"x": (photo - mean) / deviation * valid, "valid": valid}


@dataclass(frozen=True)
class PartialConvNet:
    """The U-Net, in either layout, as `identify` sees it."""

    name: str = "partial-conv"
    license_note: str = (
        "The files hold the checkpoint's weights and stay under the checkpoint's licence. The code that the best-known "
        "weights come with, naoto0804/pytorch-inpainting-with-partial-conv, is MIT; of the weights it says nothing."
    )

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare keys and shapes with what a net of the file's depth and base channels has in the nearer layout."""
        return nearest_of(self._match(shapes, layout) for layout in LAYOUTS)

    def _match(self, shapes: Shapes, layout: Layout) -> KeyMatch:
        wanted = _shapes_of(layout, shapes)
        counters: Shapes = {
            f"{layer.key}bn.{COUNTER}": () for layer in plan_layers(*_sizes_of(layout, shapes)) if layer.number > 1
        }
        return compare_keys(self.name, shapes, wanted, counters)

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The net with the checkpoint's weights, in eval mode.

        Raises:
            ArchitectureError: a weight is no floating point tensor, or a mask's weights are not all ones.
        """
        require_floating(checkpoint, (key for key in checkpoint.tensors if not key.endswith(COUNTER)))
        shapes = list_shapes(checkpoint.tensors)
        layout = next(layout for layout in LAYOUTS if not self._match(shapes, layout).faults)
        base, layers = _sizes_of(layout, shapes)
        if layers > DEEPEST:
            raise ArchitectureError(
                checkpoint.path,
                f"it is {layers} layers deep and takes multiples of {2**layers} only",
                f"Give a net of at most {DEEPEST} layers",
            )
        plan = plan_layers(base, layers)
        self._require_ones(checkpoint, layout, plan)
        biased = frozenset(layer.key for layer in plan if f"{layer.key}{layout.conv}bias" in shapes)
        generator = Generator(plan, biased, layout.share)
        held = generator.state_dict()
        renames = _renames_of(layout, plan)
        held |= {renames[key]: value for key, value in checkpoint.tensors.items() if key in renames}
        generator.load_state_dict(held, strict=True)
        generator.requires_grad_(False)
        hyperparameters = {"base_channels": base, "layers": layers, "divides_by_share": int(layout.share)}
        inputs, outputs, make_feeds = _contract(raw, layers)
        module = generator if raw else Stage(generator)
        judging = {outputs[0].name: OutputPolicy(known=None if raw else "image", relative=True)}
        return ReferenceModel(self.name, hyperparameters, inputs, outputs, module.eval(), judging, make_feeds)

    def _require_ones(self, checkpoint: Checkpoint, layout: Layout, plan: Sequence[Layer]) -> None:
        for layer in plan:
            key = f"{layer.key}{layout.ones}"
            if layout.ones is not None and not bool((checkpoint.tensors[key] == 1).all()):
                raise ArchitectureError(
                    checkpoint.path,
                    f"'{key}' is not all ones, so that its net does not count the known values",
                    "Give a checkpoint whose mask weights were left untrained",
                )

    def contract(self, raw: bool) -> Contract:
        """Of a net seven layers deep; one of another depth takes multiples of 2^layers instead of 128.

        Normalisation and compositing belong to the stage, not to the bare net.
        """
        return _contract(raw, LAYERS)


def _sizes_of(layout: Layout, shapes: Shapes) -> tuple[int, int]:
    """Base channels and layers of a file; upstream's where it does not tell."""
    first = shapes.get(f"enc_1.{layout.conv}weight", ())
    numbers = [int(hit[1]) for key in shapes if (hit := re.match(r"enc_([1-9]\d?)\.", key))]
    return (first[0] if first and first[0] else BASE), max(numbers, default=LAYERS)


def _shapes_of(layout: Layout, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Every weight of a net of the file's sizes, and its shape; a bias in the last layer and where the file has one."""
    wanted: dict[str, tuple[int, ...]] = {}
    for layer in plan_layers(*_sizes_of(layout, shapes)):
        conv = f"{layer.key}{layout.conv}"
        wanted[f"{conv}weight"] = (layer.cout, layer.cin, layer.kernel, layer.kernel)
        if layout.ones is not None:
            wanted[f"{layer.key}{layout.ones}"] = wanted[f"{conv}weight"]
        if layer.last or f"{conv}bias" in shapes:
            wanted[f"{conv}bias"] = (layer.cout,)
        if layer.number > 1:
            wanted |= {f"{layer.key}bn.{name}": (layer.cout,) for name in NORM}
    return wanted


def _renames_of(layout: Layout, plan: Sequence[Layer]) -> dict[str, str]:
    """A file's keys and what the same tensor is called in Generator; mask's ones and norm's counters are left out."""
    renames: dict[str, str] = {}
    for layer in plan:
        renames |= {f"{layer.key}{layout.conv}{name}": f"{layer.ours}conv.{name}" for name in ("weight", "bias")}
        renames |= {f"{layer.key}bn.{name}": f"{layer.ours}norm.{name}" for name in NORM}
    return renames


def _contract(raw: bool, layers: int) -> Contract:
    def tensor(name: str, channels: int, values: tuple[float, float] | None, meaning: str) -> TensorSpec:
        return TensorSpec(name, ("N", channels, "H", "W"), "float32", "NCHW", values, meaning, 2**layers, 2**layers)

    if raw:
        rgb = "RGB less 0.485, 0.456, 0.406, divided by 0.229, 0.224, 0.225"
        x = tensor("x", 3, (-2.12, 2.64), f"the photo, {rgb}; what lies in the hole is ignored")
        valid = tensor("valid", 3, (0.0, 1.0), "0 is the hole, 1 is known; no other value; the channels may differ")
        return Contract((x, valid), (tensor("y", 3, None, f"the whole plane, {rgb}; not composited"),), raw_feeds)
    image = tensor("image", 3, (0.0, 1.0), "the photo, RGB; what lies in the hole is ignored")
    mask = tensor("mask", 1, (0.0, 1.0), "1 is the hole, 0 is known; no other value")
    meaning = "the photo, RGB, its hole filled, not clamped to 0 to 1; known pixels untouched"
    return Contract((image, mask), (tensor("result", 3, None, meaning),), stage_feeds)


PARTIAL_CONV = PartialConvNet()
