"""One net from photo to photo: 8-bit photo and mask in, 8-bit picture out, made from the net's contract alone.

The photo is brought to [0, 1], padded at the bottom and the right by reflection to the sizes that the net takes, run,
cropped and rounded. A net that fills holes leaves the known pixels as they are, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from converters.errors import ArchitectureError
from converters.tensors import Array, Tensors, TensorSpec
from reference.image_stage import LUMA, RGB
from reference.model import PHOTO_SUFFIX, Architecture, Contract, OutputPolicy, Piece, ReferenceModel
from reference.padding import crop, pad

IMAGE, MASK, RESULT = "image", "mask", "result"
PHOTO_RANGE = (0.0, 1.0)
LEVELS = 255
# The crop is traced at padded sizes above this, which the photo's are not.
TRACED = 64


class Front(nn.Module):
    """From the photo to the net's inputs.

    Args:
        multiple: What the net's H and W must be multiples of.
        channels: Of the net's image: 3 is RGB, 1 is gray.
    """

    def __init__(self, multiple: int, channels: int) -> None:
        super().__init__()
        self.multiple, self.channels = multiple, channels

    def forward(self, photo: Tensor, mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """Scale and pad.

        Args:
            photo: (N, H, W, 3) uint8, RGB.
            mask: (N, H, W) uint8, above 0 in the hole; for a net that fills holes.

        Returns:
            (N, channels, H', W') float32 in [0, 1], and (N, 1, H', W') float32, 1 in the hole, else 0.
        """
        image = photo.permute(0, 3, 1, 2).float() / LEVELS
        if self.channels == 1:
            image = (image * image.new_tensor(LUMA).reshape(1, RGB, 1, 1)).sum(1, keepdim=True)
        planes = (image,) if mask is None else (image, mask.bool().float().unsqueeze(1))
        return tuple(pad(plane, self.multiple) for plane in planes)


class Back(nn.Module):
    """From the net's output to the result."""

    def forward(self, filled: Tensor, photo: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Crop to the photo's size, round to 8 bits, and take known pixels from the photo.

        Args:
            filled: (N, channels, H', W') float32, the net's output; 1 is white.
            photo: (N, H, W, 3) uint8.
            mask: (N, H, W) uint8, above 0 in the hole; for a net that fills holes.

        Returns:
            result: (N, H, W, 3) uint8: 255 `filled`, rounded half to even and clamped; gray is given three times.
            plane: (N, channels, H, W) float32: `filled`, cropped.
        """
        plane = crop(filled, photo.shape[1], photo.shape[2])
        levels = torch.round(plane * LEVELS).clamp(0, LEVELS).to(torch.uint8).permute(0, 2, 3, 1)
        levels = levels.expand(-1, -1, -1, RGB)
        return levels if mask is None else torch.where(mask.bool().unsqueeze(3), levels, photo), plane


class PhotoPipeline(nn.Module):
    """photo, and mask of a net that fills holes -> (result, plane). The net runs in the dtype of its weights."""

    def __init__(self, front: Front, net: nn.Module) -> None:
        super().__init__()
        self.front, self.net, self.back = front, net, Back()

    def forward(self, photo: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        dtype = next(self.net.parameters()).dtype
        filled = self.net(*(plane.to(dtype) for plane in self.front(photo, mask)))
        result, plane = self.back(filled, photo, mask)
        return result, plane


@dataclass(frozen=True)
class NetFromPhoto:
    """The pipeline of one net; see reference.model.Pipeline.

    Raises:
        ArchitectureError: the net's contract is not that of a net from photo to photo.
    """

    net: Architecture

    def __post_init__(self) -> None:
        contract = self.net.contract(False)
        met = find_fault(contract.inputs, contract.outputs)
        if met is not None:
            raise ArchitectureError("--pipeline", f"{self.net.name} {met}", "Leave out --pipeline")

    @property
    def name(self) -> str:
        return f"{self.net.name}{PHOTO_SUFFIX}"

    @property
    def stages(self) -> tuple[str, ...]:
        return (self.net.name,)

    @property
    def license_note(self) -> str:
        return self.net.license_note

    @property
    def contract(self) -> Contract:
        contract = self.net.contract(False)
        inputs, outputs = _make_specs(contract.inputs, contract.outputs)
        return Contract(inputs, outputs, make_feeds if len(inputs) > 1 else make_photo_feeds)

    def build(self, *stages: ReferenceModel) -> ReferenceModel:
        """The model of the pipeline; that of the net must have been built with raw=False."""
        (model,) = stages
        inputs, outputs = _make_specs(model.inputs, model.outputs)
        front = Front(max(spec.multiple_of for spec in model.inputs), _channels_of(model.inputs[0]))
        policies = {
            "result": OutputPolicy(known="photo" if len(inputs) > 1 else None, gate="levels"),
            "plane": replace(model.policies.get(RESULT, OutputPolicy()), known=None),
        }

        def split(module: nn.Module) -> tuple[Piece, ...]:
            assert isinstance(module, PhotoPipeline)
            return _split(module, model, inputs, outputs)

        module = PhotoPipeline(front, model.module).eval()
        feeds = make_feeds if len(inputs) > 1 else make_photo_feeds
        return ReferenceModel(
            self.name, model.hyperparameters, inputs, outputs, module, policies, feeds, split, model.trace_sizes
        )


def find_fault(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> str | None:
    """What keeps a net of this contract from being run from photo to photo; None if nothing does."""
    names = tuple(spec.name for spec in inputs)
    if names not in ((IMAGE,), (IMAGE, MASK)):
        return f"takes {', '.join(names)}: from photo to photo go nets of an image, or of image and mask"
    if [spec.name for spec in outputs] != [RESULT]:
        return f"gives {', '.join(spec.name for spec in outputs)}, not one result"
    if inputs[0].value_range != PHOTO_RANGE or outputs[0].value_range not in (PHOTO_RANGE, None):
        return "has images of another range than 0 to 1"
    if any(_channels_of(spec) not in (1, RGB) for spec in (inputs[0], outputs[0])):
        return "has images that are neither RGB nor gray"
    return None


def _channels_of(spec: TensorSpec) -> int:
    channels = spec.shape[1] if len(spec.shape) == 4 else 0
    return channels if isinstance(channels, int) else 0


def _make_specs(
    inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of the pipeline of a net with these."""
    n, _, height, width = inputs[0].shape
    least = max(spec.minimum for spec in inputs)
    pixels, plane = (n, height, width, RGB), (n, height, width)
    fills = len(inputs) > 1
    meaning = "RGB; what lies in the hole is ignored" if fills else "RGB"
    made = "RGB, the hole filled; known pixels untouched" if fills else "RGB, the picture made of it"
    photo = TensorSpec("photo", pixels, "uint8", "NHWC", (0, LEVELS), meaning, minimum=least)
    mask = TensorSpec("mask", plane, "uint8", "NHW", (0, LEVELS), "any value above 0 is the hole", minimum=least)
    result = TensorSpec("result", pixels, "uint8", "NHWC", (0, LEVELS), made, minimum=least)
    told = "the same before it is rounded, not clamped; 1 is white"
    float_plane = replace(outputs[0], name="plane", meaning=told, multiple_of=1, minimum=least)
    return (photo, mask) if fills else (photo,), (result, float_plane)


def make_photo_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    """The input of a net that takes no mask; see reference.model.Contract."""
    return {"photo": np.ascontiguousarray(np.rint(photo * LEVELS).astype(np.uint8).transpose(0, 2, 3, 1))}


def make_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    """The inputs of a net that fills holes."""
    return {**make_photo_feeds(photo, edges, mask), "mask": (mask[:, 0] * LEVELS).astype(np.uint8)}


def _split(
    module: PhotoPipeline,
    model: ReferenceModel,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
) -> tuple[Piece, ...]:
    """Front, net and back; HP and WP are the padded height and width."""
    padded = [_rename_sizes(spec, f"net_{spec.name}") for spec in model.inputs]
    filled = _rename_sizes(model.outputs[0], "filled")
    result, plane = outputs
    wires = {spec.name: f"net_{spec.name}" for spec in model.inputs} | {RESULT: "filled"}
    multiple = module.front.multiple
    steps = max(TRACED, filled.minimum) // multiple
    larger = {"HP": multiple * (steps + 2), "WP": multiple * (steps + 3)}
    return (
        Piece("front", module.front, inputs, tuple(padded)),
        Piece("net", module.net, model.inputs, model.outputs, wires, model.trace_sizes),
        Piece("back", module.back, (filled, *inputs), (result, plane), trace_sizes=larger),
    )


def _rename_sizes(spec: TensorSpec, name: str) -> TensorSpec:
    shape = tuple(f"{axis}P" if axis in ("H", "W") else axis for axis in spec.shape)
    return replace(spec, name=name, shape=shape)
