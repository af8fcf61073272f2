"""The sizes that a TensorRT engine is built for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from converters.errors import ConversionError
from converters.tensors import TensorSpec, fit_size

Size = tuple[int, int]


@dataclass(frozen=True)
class Profile:
    """The range of sizes that an engine takes.

    Attributes:
        minimum: Smallest (H, W).
        optimum: The (H, W) that TensorRT tunes the engine for.
        maximum: Largest (H, W).
        batches: Smallest, optimum and largest N.

    Raises:
        ConversionError: the smallest, optimum and largest value of N, H or W are not in order.
    """

    minimum: Size = (64, 64)
    optimum: Size = (256, 256)
    maximum: Size = (1024, 1024)
    batches: tuple[int, int, int] = (1, 1, 4)

    def __post_init__(self) -> None:
        heights, widths = zip(*self.sizes, strict=True)
        for axis, (low, middle, high) in (("N", self.batches), ("H", heights), ("W", widths)):
            if not 0 < low <= middle <= high:
                raise ConversionError(
                    "the engine's profile",
                    f"{axis} is {low} for the smallest, {middle} for the tuned and {high} for the largest size",
                    "Give them in rising order (--trt-min, --trt-opt, --trt-max)",
                )

    def fit(self, inputs: Sequence[TensorSpec]) -> Profile:
        """The profile with each (H, W) rounded up to one that a model with these inputs accepts."""
        low, middle, high = (fit_size(inputs, size) for size in self.sizes)
        return Profile(low, middle, high, self.batches)

    @property
    def sizes(self) -> tuple[Size, Size, Size]:
        return self.minimum, self.optimum, self.maximum

    def to_json(self) -> dict[str, Any]:
        """[N, H, W] of the minimum, optimum and maximum, by these names."""
        names = ("minimum", "optimum", "maximum")
        return {name: [n, *size] for name, n, size in zip(names, self.batches, self.sizes, strict=True)}


DEFAULT_PROFILE = Profile()


def make_profile(minimum: Size | None, optimum: Size | None, maximum: Size | None) -> Profile:
    """A profile with the default for each size that is None; the default optimum is brought between the two others.

    Raises:
        ConversionError: the sizes are not in order.
    """
    smallest, largest = minimum or DEFAULT_PROFILE.minimum, maximum or DEFAULT_PROFILE.maximum
    if optimum is None:
        sides = zip(smallest, DEFAULT_PROFILE.optimum, largest, strict=True)
        height, width = (max(low, min(middle, high)) for low, middle, high in sides)
        optimum = (height, width)
    return Profile(smallest, optimum, largest)
