"""Inputs and outputs of a model: their specification (TensorSpec), arrays by name (Tensors), and a check of these."""

from __future__ import annotations

import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from converters.errors import FeedError

Array = NDArray[Any]
Tensors = Mapping[str, Array]
# What msgspec requires of these fields in a manifest, or in an ONNX file's metadata.
Name = Annotated[str, Meta(min_length=1)]
Length = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
DtypeName = Annotated[str, Meta(pattern="^(bool|u?int(8|16|32|64)|float(16|32|64))$")]
# Where an ONNX file's metadata_props hold its contract, as JSON.
CONTRACT_KEY = "ganport.contract"
# What numpy raises when it reads a file that holds no arrays, is damaged, or uses an unknown compression.
UNREADABLE = (
    *(OSError, ValueError, EOFError, AttributeError, TypeError, RuntimeError, UnicodeError, OverflowError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError),
)


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: The tensor's name in every file ganport writes.
        shape: One entry per axis: an int where the size is fixed, a name ("N", "H", "W") where it is free.
            The same name stands for the same size in all inputs and outputs of a model.
        dtype: numpy's name of the element type.
        layout: One letter per axis.
        value_range: Smallest and largest meaningful value, or None where any finite value is.
        meaning: One sentence; for masks it states the polarity.
        multiple_of: Each named size must be a multiple of this, but for "N" and the first axis of several.
        minimum: Each of these sizes must be at least this.
    """

    name: Name
    shape: tuple[Length | Name, ...]
    dtype: DtypeName = "float32"
    layout: str = "NCHW"
    value_range: tuple[float, float] | None = None
    meaning: str = ""
    multiple_of: Count = 1
    minimum: Count = 1


def find_repeated(names: Iterable[str]) -> str | None:
    """The first name that is there twice, or None."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


@dataclass(frozen=True)
class Signature:
    """What a model, or a file of it, takes and gives; at least one of each.

    Raises:
        ValueError: two inputs, or two outputs, have the same name.
    """

    inputs: Annotated[tuple[TensorSpec, ...], Meta(min_length=1)]
    outputs: Annotated[tuple[TensorSpec, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        for specs in (self.inputs, self.outputs):
            repeated = find_repeated(spec.name for spec in specs)
            if repeated is not None:
                raise ValueError(f"two of its inputs or outputs are called '{repeated}'")


@dataclass(frozen=True)
class GraphPiece(Signature):
    """A named part of a model's graph, between the tensors that are its inputs and its outputs."""

    name: Name


def fit_size(inputs: Sequence[TensorSpec], size: tuple[int, int]) -> tuple[int, int]:
    """Round `size` up to the smallest (H, W) that a model with these inputs takes.

    If the sides of `size` differ but would round to the same number, W grows by one more multiple.

    Args:
        inputs: The model's inputs.
        size: (H, W) in pixels.
    """
    multiple = math.lcm(*(spec.multiple_of for spec in inputs))
    minimum = max(spec.minimum for spec in inputs)
    height, width = (-(-max(side, minimum) // multiple) * multiple for side in size)
    return height, width + multiple * (height == width and size[0] != size[1])


def round_up(size: int, spec: TensorSpec) -> int:
    """The smallest size of one of the spec's free axes that is `size` or more."""
    return -(-max(size, spec.minimum) // spec.multiple_of) * spec.multiple_of


def check_feeds(where: object, inputs: Sequence[TensorSpec], feeds: Tensors) -> None:
    """Refuse arrays that do not fit the contract.

    Args:
        where: What runs the model, for messages.
        inputs: The model's inputs.
        feeds: Arrays by input name.

    Raises:
        FeedError: A name is missing or unknown, or a dtype, rank or size breaks the contract.
    """
    expected = [spec.name for spec in inputs]
    if sorted(expected) != sorted(feeds):
        raise FeedError(where, f"inputs {sorted(feeds)} were given", f"Give exactly {expected}")
    sizes: dict[str, int] = {}
    for spec in inputs:
        array = feeds[spec.name]
        at = f"{where}, input '{spec.name}'"
        if array.dtype != np.dtype(spec.dtype):
            raise FeedError(at, f"its dtype is {array.dtype}", f"Convert it to {spec.dtype}")
        if array.ndim != len(spec.shape):
            raise FeedError(at, f"its shape is {array.shape}", f"Give {len(spec.shape)} axes {spec.shape}")
        for axis, (size, wanted) in enumerate(zip(array.shape, spec.shape, strict=True)):
            if isinstance(wanted, int):
                if size != wanted:
                    raise FeedError(at, f"its shape is {array.shape}", f"Give {spec.shape}")
                continue
            if sizes.setdefault(wanted, size) != size:
                raise FeedError(
                    at,
                    f"its size {wanted} is {size}, another input's is {sizes[wanted]}",
                    "Give all inputs the same N, H and W",
                )
            if wanted == "N" or (axis == 0 and array.ndim > 2):
                if size < 1:
                    raise FeedError(at, f"its shape is {array.shape}", "Give at least one item")
            elif size % spec.multiple_of or size < spec.minimum:
                raise FeedError(
                    at,
                    f"its size {wanted} is {size}",
                    f"Pad it to a multiple of {spec.multiple_of}, {spec.minimum} or more",
                )
