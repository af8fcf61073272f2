"""What nets from image to image in [-1, 1] have in common: stage, contract, gray planes, batch norms' counters."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from converters.tensors import Array, Tensors, TensorSpec
from reference.key_match import Shapes, list_shapes
from reference.model import Contract, MakeFeeds

RGB = 3
# Weights of red, green and blue in the gray that upstream's loader makes of a photo, which is Pillow's "L".
LUMA = (0.299, 0.587, 0.114)
COUNTER = "num_batches_tracked"


class ImageStage(nn.Module):
    """image (N, in, H, W) in [0, 1] -> (N, out, H, W) in [0, 1]; the net in between takes and gives [-1, 1]."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor) -> Tensor:
        y: Tensor = self.generator(2 * image - 1)  # (N, out, H, W)
        return (y + 1) / 2


def plane_spec(
    name: str,
    meaning: str,
    value_range: tuple[float, float] | None,
    channels: int = RGB,
    multiple: int = 4,
    minimum: int = 8,
) -> TensorSpec:
    """(N, channels, H, W) float32; H and W are multiples of `multiple` and at least `minimum`."""
    return TensorSpec(name, ("N", channels, "H", "W"), "float32", "NCHW", value_range, meaning, multiple, minimum)


def photo_planes(photo: Array, channels: int) -> Array:
    """RGB (N, 3, H, W) float32 in [0, 1] -> the same, or its gray (N, 1, H, W) for a net of one channel."""
    if channels == RGB:
        return photo
    luma = np.array(LUMA, np.float32).reshape(1, RGB, 1, 1)
    gray: Array = np.clip((photo * luma).sum(axis=1, keepdims=True), 0, 1).astype(np.float32)
    return gray


def image_contract(raw: bool, channels: tuple[int, int], multiple: int = 4, minimum: int = 8) -> Contract:
    """Inputs and outputs of a net from image to image: in [0, 1] for the stage, in [-1, 1] for the generator.

    Args:
        raw: Whether the model is the bare generator.
        channels: Of the input and of the output: 3 is RGB, 1 is gray.
        multiple: What H and W must be multiples of.
        minimum: The smallest H and W.
    """
    cin, cout = channels
    photo = "the photo, RGB" if cin == RGB else "the photo in gray, 0.299 R + 0.587 G + 0.114 B"
    picture = "RGB" if cout == RGB else "gray"
    if raw:
        x = plane_spec("x", f"{photo}, 2 p - 1 of a p in [0, 1]", (-1.0, 1.0), cin, multiple, minimum)
        y = plane_spec("y", f"the picture, {picture}, as the tanh gives it", (-1.0, 1.0), cout, multiple, minimum)
        return Contract((x,), (y,), _make_feeds("x", cin, 2, -1))
    image = plane_spec("image", photo, (0.0, 1.0), cin, multiple, minimum)
    meaning = f"the picture made of it, {picture}; every pixel is new"
    result = plane_spec("result", meaning, (0.0, 1.0), cout, multiple, minimum)
    return Contract((image,), (result,), _make_feeds("image", cin, 1, 0))


def _make_feeds(name: str, channels: int, factor: int, offset: int) -> MakeFeeds:
    def make_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
        return {name: factor * photo_planes(photo, channels) + offset}

    return make_feeds


def read_channels(shapes: Shapes, key: str, axis: int) -> int:
    """The channels of an image on one axis of the weight `key`: 1 for gray, otherwise 3."""
    shape = shapes.get(key, ())
    return 1 if len(shape) == 4 and shape[axis] == 1 else RGB


def list_counters(net: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shape by key for the counters of batch norms, which eval mode does not use and old files lack."""
    return {key: () for key in net.state_dict() if key.endswith(COUNTER)}


def list_weights(net: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shape by key for what eval mode computes with: all but the counters."""
    return {key: shape for key, shape in list_shapes(net.state_dict()).items() if not key.endswith(COUNTER)}
