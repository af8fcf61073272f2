"""The contract of nets that fill holes of a photo with nothing but the photo and a mask given."""

from __future__ import annotations

from collections.abc import Callable

from converters.tensors import Array, Tensors, TensorSpec
from reference.model import Contract

UNIT = (0.0, 1.0)
# Photo (N, 3, H, W) in [0, 1] and mask (N, 1, H, W), 1 is the hole -> what the bare generator takes.
MakeX = Callable[[Array, Array], Array]


def plane_spec(
    name: str, channels: int, meaning: str, values: tuple[float, float] | None, multiple: int, minimum: int
) -> TensorSpec:
    """(N, channels, H, W) float32; H and W are multiples of `multiple` and at least `minimum`."""
    return TensorSpec(name, ("N", channels, "H", "W"), "float32", "NCHW", values, meaning, multiple, minimum)


def stage_contract(multiple: int, minimum: int, clamped: bool = True) -> Contract:
    """image and mask -> result, photos in [0, 1].

    Args:
        multiple: What H and W must be multiples of.
        minimum: The smallest H and W.
        clamped: Whether the net's own numbers cannot leave [0, 1].
    """
    image = plane_spec("image", 3, "the photo, RGB; what lies in the hole is ignored", UNIT, multiple, minimum)
    mask = plane_spec("mask", 1, "1 is the hole, 0 is known; no other value", UNIT, multiple, minimum)
    meaning = "the photo, RGB, its hole filled" + ("" if clamped else ", not clamped to 0 to 1")
    values = UNIT if clamped else None
    result = plane_spec("result", 3, f"{meaning}; known pixels untouched", values, multiple, minimum)
    return Contract((image, mask), (result,), _stage_feeds)


def generator_contract(
    x: tuple[str, float], y: tuple[str, tuple[float, float] | None], make_x: MakeX, multiple: int, minimum: int
) -> Contract:
    """x (N, 4, H, W) -> y (N, 3, H, W): the bare generator's.

    Args:
        x: What its channels mean, and its smallest value; the largest is 1.
        y: What it means, and its range.
        make_x: Makes x of photo and mask.
        multiple: What H and W must be multiples of.
        minimum: The smallest H and W.
    """

    def make_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
        return {"x": make_x(photo, mask)}

    given = plane_spec("x", 4, x[0], (x[1], 1.0), multiple, minimum)
    return Contract((given,), (plane_spec("y", 3, y[0], y[1], multiple, minimum),), make_feeds)


def _stage_feeds(photo: Array, edges: Array, mask: Array) -> Tensors:
    return {"image": photo, "mask": mask}
