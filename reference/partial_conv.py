"""The partial-convolution U-Net: each convolution sees only the known values, and the hole shrinks layer by layer.

Paper: Liu, Reda, Shih, Wang, Tao, Catanzaro, "Image Inpainting for Irregular Holes Using Partial Convolutions", arXiv
1804.07723. Its authors published the layer (NVIDIA/partialconv, licence BSD 3-Clause), but no inpainting net. Two
layouts of keys are supported. They are two nets, because their layers divide by different numbers (M are the masks in a
window, sum(1) is the window's size times the channels):

* `enc_1.conv.input_conv.weight` and `enc_1.conv.mask_conv.weight`, the latter all ones: naoto0804's
  pytorch-inpainting-with-partial-conv (licence MIT), whose trained file of seven layers is the one in use. The layer
  divides by sum(M), not by sum(M) / sum(1): its weights contain the paper's factor sum(1).
* `enc_1.conv.weight`: the authors' layer, a subclass of Conv2d, with `multi_channel` masks, in a U-Net of the same
  names. The layer divides by sum(M) / sum(1), as the paper does.

A fork may put sum(1) back and keep the first layout's keys. Its file looks like upstream's and is read as upstream's.
In both layouts, a window without any known value gives 0, without the bias, and padding counts as hole.

Both nets take and give RGB minus ImageNet's mean, divided by its standard deviation; the stage converts from and to
[0, 1]. Like upstream, the stage does not clamp: values in the hole may lie outside [0, 1].

Deviations:
* The depth, the base channels and whether a layer has a bias are read from the file; the last layer always has one.
* Masks have one channel between the layers and in the stage. Upstream's masks have equal channels there, and the sums
  are whole numbers, so the results are the same to the bit.
* The stage composites photos in [0, 1], upstream normalised ones, so that known pixels come back bit for bit.
* `num_batches_tracked`, which eval mode does not use, may be missing or have any dtype; it is ignored.

Not supported: files of the first version of naoto0804's net, with keys such as `enc_1.conv.conv2d.weight` and
`enc_1.conv.mask2d.weight`; files of tanimutomo/partialconv, which have the second layout's keys without norms, and
layers that their net never runs (eight are stored, six run).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from converters.errors import ArchitectureError
from converters.tensors import Array, Tensors, TensorSpec
from reference.checkpoint_data import Checkpoint
from reference.key_match import KeyMatch, Shapes, compare_keys, list_shapes, load_weights, nearest_of, require_floating
from reference.model import Contract, OutputPolicy, ReferenceModel
from reference.refusal import OR_EXPORT

EPSILON = 1e-5
# Slope of the decoder's LeakyReLU for negative values.
SLOPE = 0.2
# ImageNet's mean and standard deviation of red, green and blue in [0, 1].
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
# Upstream's base channels and depth: what a file is compared with where its own keys and shapes say nothing.
USUAL_BASE, USUAL_LAYERS = 64, 7
# H and W are multiples of 2^layers, and parity is proven at several sizes: photos go up to 1024.
MAX_LAYERS = 10
# Channels double from layer to layer, up to this many times the base.
MAX_WIDENING = 8
# Kernel sizes of the first encoder layers; all other layers have 3.
KERNELS = (7, 5, 5)
NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Layout:
    """How a file names a layer's tensors, and which divisor goes with these names.

    Attributes:
        conv: The part of a weight's key between "enc_1." and "weight".
        ones: The part after "enc_1." of the key of the mask's weights, which are all ones; None if the file has none.
        divides_by_share: Whether the divisor is sum(M) / sum(1), a share in (0, 1]; otherwise it is sum(M).
    """

    conv: str
    ones: str | None
    divides_by_share: bool


LAYOUTS = (Layout("conv.input_conv.", "conv.mask_conv.weight", False), Layout("conv.", None, True))


@dataclass(frozen=True)
class Layer:
    """One layer of the encoder or the decoder.

    Attributes:
        decoder: Whether the layer is in the decoder.
        number: From 1, counted from the image: the encoder runs its layers upwards, the decoder downwards.
        cin: Input channels; in the decoder those of the layer before plus those of the skip connection.
        cout: Output channels.
    """

    decoder: bool
    number: int
    cin: int
    cout: int

    @property
    def file_prefix(self) -> str:
        """Start of the layer's keys in a file."""
        return f"{'dec' if self.decoder else 'enc'}_{self.number}."

    @property
    def generator_prefix(self) -> str:
        """Start of the layer's keys in Generator."""
        return f"{'decoder' if self.decoder else 'encoder'}.{self.number - 1}."

    @property
    def kernel(self) -> int:
        return 3 if self.decoder or self.number > len(KERNELS) else KERNELS[self.number - 1]

    @property
    def last(self) -> bool:
        """Whether this is the last layer to run, which gives the image."""
        return self.decoder and self.number == 1


def plan_layers(base: int, layers: int) -> list[Layer]:
    """The encoder's layers, then the decoder's, both by ascending number; `layers` is the number of layers of each."""
    widths = [3, *(base * min(2**i, MAX_WIDENING) for i in range(layers))]
    encoder = [Layer(False, i, widths[i - 1], widths[i]) for i in range(1, layers + 1)]
    decoder = [Layer(True, i, widths[i] + widths[i - 1], widths[i - 1]) for i in range(1, layers + 1)]
    return encoder + decoder


# Features (N, C, H, W) and their mask (N, C, H, W), or (N, 1, H, W) for all channels alike; 1 is known.
Source = tuple[Tensor, Tensor]


class PartialConv(nn.Module):
    """Sources -> features y (N, cout, H', W') and their mask (N, 1, H', W').

    The features of all sources are concatenated to x (N, cin, H, W), the masks likewise to M. For each window,
    y = W (x * M) / divisor + b and the new mask is 1 if sum(M) > 0; otherwise both are 0.

    Args:
        cin: Channels of all sources together.
        cout: Output channels.
        kernel: Height and width of the window, odd.
        stride: Step of the window.
        bias: Whether there is a b.
        divides_by_share: See Layout.
    """

    ones: Tensor

    def __init__(self, cin: int, cout: int, kernel: int, stride: int, bias: bool, divides_by_share: bool) -> None:
        super().__init__()
        self.stride, self.padding = stride, kernel // 2
        self.unit = cin * kernel * kernel if divides_by_share else 1  # the divisor is sum(M) in this unit
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
        y = y / ((total + (1 - valid)) / self.unit)  # where nothing is known, y is 0, and the divisor must not be 0
        if self.bias is not None:
            y = (y + self.bias.view(1, -1, 1, 1)) * valid
        return y, valid


def count_known(x: Tensor, mask: Tensor) -> Tensor:
    """How many of the C values are known at each pixel.

    Args:
        x: (N, C, H, W), of which only C matters.
        mask: (N, C, H, W), or (N, 1, H, W) for all channels alike; 1 is known.

    Returns:
        (N, 1, H, W).
    """
    return mask * x.shape[1] if mask.shape[1] == 1 else mask.sum(1, keepdim=True)


class Block(nn.Module):
    """A partial convolution, a BatchNorm (not in layers 1), and ReLU in the encoder or LeakyReLU in the decoder.

    The last layer has no activation.
    """

    def __init__(self, layer: Layer, norm: bool, bias: bool, divides_by_share: bool) -> None:
        super().__init__()
        stride = 1 if layer.decoder else 2
        self.conv = PartialConv(layer.cin, layer.cout, layer.kernel, stride, bias, divides_by_share)
        self.norm = nn.BatchNorm2d(layer.cout, EPSILON) if norm else nn.Identity()
        self.activation: nn.Module = nn.LeakyReLU(SLOPE) if layer.decoder else nn.ReLU()
        if layer.last:
            self.activation = nn.Identity()

    def forward(self, *sources: Source) -> Source:
        y, valid = self.conv(*sources)
        return self.activation(self.norm(y)), valid


class Generator(nn.Module):
    """x (N, 3, H, W) and its mask (N, 1 or 3, H, W), 1 is known -> (N, 3, H, W); H and W multiples of 2^depth.

    x and the result are RGB minus MEAN, divided by DEVIATION.

    Args:
        layers: All layers, from plan_layers.
        biased: The layers that have a bias.
        divides_by_share: See Layout.
    """

    def __init__(self, layers: Sequence[Layer], biased: Collection[Layer], divides_by_share: bool) -> None:
        super().__init__()
        blocks = {layer: Block(layer, layer.number > 1, layer in biased, divides_by_share) for layer in layers}
        self.encoder = nn.ModuleList(block for layer, block in blocks.items() if not layer.decoder)
        self.decoder = nn.ModuleList(block for layer, block in blocks.items() if layer.decoder)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        skips = []
        for block in self.encoder:
            skips.append((x, valid))
            x, valid = block((x, valid))  # H and W halved
        for block, skip in zip(reversed(self.decoder), reversed(skips), strict=True):
            x, valid = block((enlarge(x), enlarge(valid)), skip)  # H and W doubled
        return x


def enlarge(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W) by nearest upsampling."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Stage(nn.Module):
    """image (N, 3, H, W) in [0, 1] and mask (N, 1, H, W), 1 in the hole -> the image with its hole filled.

    Known pixels come back bit for bit; the others may lie outside [0, 1].
    """

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
    """The U-Net as an architecture, in both layouts; see reference.model.Architecture."""

    name: str = "partial-conv"
    license_note: str = (
        "The files hold the checkpoint's weights and stay under the checkpoint's licence. The code that the best-known "
        "weights come with, naoto0804/pytorch-inpainting-with-partial-conv, is MIT; of the weights it says nothing."
    )

    def match(self, shapes: Shapes) -> KeyMatch:
        """Compare keys and shapes, in the nearer layout, with those of a net of the file's depth and base channels."""
        return nearest_of(self._match(shapes, layout) for layout in LAYOUTS)

    def _match(self, shapes: Shapes, layout: Layout) -> KeyMatch:
        layers = plan_layers(*_read_sizes(layout, shapes))
        counters: Shapes = {f"{layer.file_prefix}bn.{COUNTER}": () for layer in layers if layer.number > 1}
        return compare_keys(self.name, shapes, _expected(layout, layers, shapes), counters)

    def build(self, checkpoint: Checkpoint, raw: bool = False) -> ReferenceModel:
        """The net with the checkpoint's weights, in eval mode.

        Raises:
            ArchitectureError: a tensor is not floating point, the net is too deep, or mask weights are not all ones.
        """
        require_floating(checkpoint, (key for key in checkpoint.tensors if not key.endswith(COUNTER)))
        shapes = list_shapes(checkpoint.tensors)
        layout = next(layout for layout in LAYOUTS if not self._match(shapes, layout).faults)
        base, depth = _read_sizes(layout, shapes)
        if depth > MAX_LAYERS:
            raise ArchitectureError(
                checkpoint.path,
                f"it is {depth} layers deep and takes multiples of {2**depth} only",
                f"Give a net of at most {MAX_LAYERS} layers, {OR_EXPORT}",
            )
        layers = plan_layers(base, depth)
        self._require_ones(checkpoint, layout, layers)
        biased = [layer for layer in layers if f"{layer.file_prefix}{layout.conv}bias" in shapes]
        generator = Generator(layers, biased, layout.divides_by_share)
        load_weights(generator, checkpoint, _renames(layout, layers, shapes))
        hyperparameters = {"base_channels": base, "layers": depth, "divides_by_share": int(layout.divides_by_share)}
        inputs, outputs, make_feeds = _contract(raw, depth)
        module = generator if raw else Stage(generator)
        policies = {outputs[0].name: OutputPolicy(known=None if raw else "image", relative=True)}
        return ReferenceModel(self.name, hyperparameters, inputs, outputs, module.eval(), policies, make_feeds)

    def _require_ones(self, checkpoint: Checkpoint, layout: Layout, layers: Sequence[Layer]) -> None:
        """Refuse trained mask weights: PartialConv counts known values without reading them."""
        for layer in layers:
            key = f"{layer.file_prefix}{layout.ones}"
            if layout.ones is not None and not bool((checkpoint.tensors[key] == 1).all()):
                raise ArchitectureError(
                    checkpoint.path,
                    f"'{key}' is not all ones, so that its net does not count the known values",
                    f"Give a checkpoint whose mask weights were left untrained, {OR_EXPORT}",
                )

    def contract(self, raw: bool) -> Contract:
        """Inputs and outputs of a net of the usual depth; with another depth, other multiples replace 2^7.

        Normalisation and compositing belong to the stage, not to the generator.
        """
        return _contract(raw, USUAL_LAYERS)


def _read_sizes(layout: Layout, shapes: Shapes) -> tuple[int, int]:
    """(base channels, depth) of the net that a file's keys and shapes come nearest to."""
    numbers = [int(hit[1]) for key in shapes if (hit := re.match(r"enc_([1-9]\d?)\.", key))]
    return _read_base(layout, shapes), max(numbers, default=USUAL_LAYERS)


def _read_base(layout: Layout, shapes: Shapes) -> int:
    """The base channels: of the layout's own first weight or, where a file calls it otherwise, of what is beside it."""
    own = shapes.get(f"enc_1.{layout.conv}weight", ())
    kernels = {key: shape for key, shape in shapes.items() if len(shape) == 4}
    first = [shape[0] for key, shape in kernels.items() if key.startswith("enc_1.")]
    second = [shape[1] for key, shape in kernels.items() if key.startswith("enc_2.")]
    return next((channels for channels in (*own[:1], *first, *second) if channels), USUAL_BASE)


def _expected(layout: Layout, layers: Sequence[Layer], shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Shape by key for what a file must hold; of biases, the last layer's and those that the file has."""
    expected: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        conv = f"{layer.file_prefix}{layout.conv}"
        expected[f"{conv}weight"] = (layer.cout, layer.cin, layer.kernel, layer.kernel)
        if layout.ones is not None:
            expected[f"{layer.file_prefix}{layout.ones}"] = expected[f"{conv}weight"]
        if layer.last or f"{conv}bias" in shapes:
            expected[f"{conv}bias"] = (layer.cout,)
        if layer.number > 1:
            expected |= {f"{layer.file_prefix}bn.{name}": (layer.cout,) for name in NORM_TENSORS}
    return expected


def _renames(layout: Layout, layers: Sequence[Layer], shapes: Shapes) -> dict[str, str]:
    """The key in `Generator` by the key in the file.

    The mask's ones are left out, and so are the norms' counters, which torch does not ask for in a plain dict.
    """
    renames: dict[str, str] = {}
    for layer in layers:
        theirs, ours = layer.file_prefix, layer.generator_prefix
        renames |= {f"{theirs}{layout.conv}{name}": f"{ours}conv.{name}" for name in ("weight", "bias")}
        renames |= {f"{theirs}bn.{name}": f"{ours}norm.{name}" for name in NORM_TENSORS}
    return {theirs: ours for theirs, ours in renames.items() if theirs in shapes}


def _contract(raw: bool, depth: int) -> Contract:
    """Inputs and outputs of a net with `depth` encoder layers."""

    def plane_spec(name: str, channels: int, values: tuple[float, float] | None, meaning: str) -> TensorSpec:
        return TensorSpec(name, ("N", channels, "H", "W"), "float32", "NCHW", values, meaning, 2**depth, 2**depth)

    if raw:
        rgb = "RGB less 0.485, 0.456, 0.406, divided by 0.229, 0.224, 0.225"
        x = plane_spec("x", 3, (-2.12, 2.64), f"the photo, {rgb}; what lies in the hole is ignored")
        valid = plane_spec("valid", 3, (0.0, 1.0), "0 is the hole, 1 is known; no other value; the channels may differ")
        return Contract((x, valid), (plane_spec("y", 3, None, f"the whole plane, {rgb}; not composited"),), raw_feeds)
    image = plane_spec("image", 3, (0.0, 1.0), "the photo, RGB; what lies in the hole is ignored")
    mask = plane_spec("mask", 1, (0.0, 1.0), "1 is the hole, 0 is known; no other value")
    meaning = "the photo, RGB, its hole filled, not clamped to 0 to 1; known pixels untouched"
    return Contract((image, mask), (plane_spec("result", 3, None, meaning),), stage_feeds)


PARTIAL_CONV = PartialConvNet()
