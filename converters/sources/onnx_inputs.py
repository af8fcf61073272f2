"""The parity inputs of an ONNX file: seeded random numbers, or the user's arrays; and the file's outputs for them."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from converters.errors import ConversionError, FeedError, UnrunnableError
from converters.parity.inputs import SEED
from converters.sources.onnx_file import OnnxFile
from converters.sources.source import describe_non_finite
from converters.tensors import UNREADABLE, Array, Tensors, TensorSpec, check_feeds, round_up

# Size of every free axis but the first, whose size is 1.
FREE_SIZE = 64
# Other sizes of free axes, by axis index; the first entry with which the file runs is used. Swapped axes, mixed batch
# items and hard-coded sizes show only if sizes differ.
VARIED_SIZES: Sequence[Mapping[int, int]] = ({0: 2, 1: 96, 2: 128, 3: 96}, {1: 96, 2: 128, 3: 96}, {0: 2})
# By how much a size grows from one name of an axis to the next; 0: further planes have size 1, which runtimes repeat,
# at the same batch. What is taken for equal shows only where it differs.
GROWTHS = (16, 0)
# After so many names, sizes begin again, so that many inputs take no more memory than few.
UNLIKE_NAMES = 3
# Smallest and largest value, by numpy's kind of element type: "f", "i", "u".
Ranges = Mapping[str, tuple[int, int]]
# Ranges beyond [0, 1], by their description in reports; the first with which the file gives finite numbers is used. A
# missing Relu or Clip shows only below 0 or above 1, a wrong row of a table only at larger indices.
WIDE_RANGES: Mapping[str, Ranges] = {
    "from -3 to 3, integers of 8 bits": {"f": (-3, 3), "i": (-128, 127), "u": (0, 255)},
    "from -3 to 3, integers to 15": {"f": (-3, 3), "i": (0, 15), "u": (0, 255)},
    "integers to 15": {"i": (0, 15), "u": (0, 255)},
    "integers to 3": {"i": (0, 3), "u": (0, 3)},
}
# Of one input. The random numbers are drawn as float64, which takes 2 GiB for the largest input.
MAX_ELEMENTS = 2**28
# Absolute and relative, between two runs on the same input. Sums in another order differ by less.
REPEAT_TOLERANCE = 1e-4
GIVE_INPUTS = "Give inputs that fit it with --inputs FILE.npz"


@dataclass(frozen=True)
class OnnxInput:
    """Arrays for all inputs of an ONNX file, with the name and hash that reports show."""

    name: str
    feeds: Tensors

    @property
    def sha256(self) -> str:
        """Hash of the arrays' bytes, in the order of their names."""
        digest = hashlib.sha256()
        for name in sorted(self.feeds):
            digest.update(np.ascontiguousarray(self.feeds[name]).tobytes())
        return digest.hexdigest()


class Runnable(Protocol):
    """What seeded inputs are for: an ONNX file, or a module of the user's own."""

    @property
    def path(self) -> object:
        """Its name in error messages."""
        ...

    def run(self, feeds: Tensors) -> Tensors:
        """Compute the outputs; raises FeedError or UnrunnableError for inputs that it does not take."""
        ...


def seeded_inputs(file: Runnable, specs: Sequence[TensorSpec], seed: int = 0) -> tuple[OnnxInput, ...]:
    """Three to five cases of random numbers.

    The first two hold floats in [0, 1] and integers 0 or 1. A free first axis has size 1, every other free axis 64, or
    the next size that its spec allows.
    The third has other sizes if the file accepts one of VARIED_SIZES. One more has other values, if the file accepts
    one of WIDE_RANGES, and one, where free axes of one index have several names, sizes that differ by one of GROWTHS,
    if the file accepts that. An input whose spec has a range of values keeps to it.

    Args:
        file: Runs the cases, to find sizes and values that it accepts.
        specs: The file's inputs.
        seed: Of the first case; the others have the next ones.

    Raises:
        UnrunnableError: an input has more than MAX_ELEMENTS elements.
    """
    for spec in specs:
        size = math.prod(FREE_SIZE if isinstance(axis, str) else axis for axis in spec.shape)
        if size > MAX_ELEMENTS:
            met = f"its input '{spec.name}' has {size} elements, and seeded ones {MAX_ELEMENTS} at most"
            raise UnrunnableError(file.path, met, GIVE_INPUTS)
    first, second, third = (_make_input(f"seed {i}", specs, i, {}, {}) for i in range(seed, seed + 3))
    varied = (_make_input(f"seed {seed + 2}", specs, seed + 2, sizes, {}) for sizes in VARIED_SIZES)
    fourth, fifth = seed + 3, seed + 4
    free = any(spec.value_range is None for spec in specs)
    titles = WIDE_RANGES if free else {}
    wide = (_make_input(f"seed {fourth}, {title}", specs, fourth, {}, ranges) for title, ranges in titles.items())
    unlike = (
        _make_input(f"seed {fifth}", specs, fifth, sizes, {}, growth)
        for growth in (GROWTHS if _has_several_names(specs) else ())
        for sizes in VARIED_SIZES
    )
    runs = partial(gives_finite_outputs, file)
    more = (*islice(filter(runs, wide), 1), *islice(filter(runs, unlike), 1))
    return (first, second, next(filter(runs, varied), third), *more)


def gives_finite_outputs(file: Runnable, case: OnnxInput) -> bool:
    try:
        return describe_non_finite(file.run(case.feeds)) is None
    except (FeedError, UnrunnableError):
        return False


def _has_several_names(specs: Sequence[TensorSpec]) -> bool:
    """Whether free axes of one index have more than one name."""
    names = {(index, axis) for spec in specs for index, axis in enumerate(spec.shape) if isinstance(axis, str)}
    return len({index for index, _ in names}) < len(names)


def _make_input(
    name: str,
    specs: Sequence[TensorSpec],
    seed: int,
    free_sizes: Mapping[int, int],
    ranges: Ranges,
    growth: int | None = None,
) -> OnnxInput:
    """Random arrays for all inputs.

    Args:
        name: Start of the case's name; the shapes follow it.
        specs: The file's inputs.
        seed: Added to SEED.
        free_sizes: Sizes of free axes, by axis index; others get their default size.
        ranges: Ranges of values, where a spec has none; a kind that is not in it gets values from 0 to 1.
        growth: One of GROWTHS; None gives all names of an axis index the same size.
    """
    random = np.random.default_rng(SEED + seed)
    feeds: dict[str, Array] = {}
    sizes: dict[str, int] = {}
    named = Counter[int]()
    for spec in specs:
        for index, axis in enumerate(spec.shape):
            if isinstance(axis, str) and axis not in sizes:
                size = free_sizes.get(index, 1 if index == 0 else FREE_SIZE)
                place = named[index] % UNLIKE_NAMES
                if growth:
                    size += place * (growth if index else 1)
                elif growth == 0 and place and index:
                    size = 1
                named[index] += 1
                sizes[axis] = size if index == 0 else round_up(size, spec)
        shape = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape)
        dtype = np.dtype(spec.dtype)
        low, high = spec.value_range or ranges.get(dtype.kind, (0, 1))
        if dtype.kind == "f":
            values: Array = random.random(shape) * (high - low) + low
        else:
            values = random.integers(int(low), int(high) + 1, shape)
        feeds[spec.name] = np.asarray(values, dtype)
    shapes = ", ".join("x".join(map(str, array.shape)) or "number" for array in feeds.values())
    return OnnxInput(f"{name}, {shapes}", feeds)


def read_inputs(path: Path, file: OnnxFile, specs: Sequence[TensorSpec]) -> tuple[OnnxInput, ...]:
    """Read the one case in an .npz file.

    Args:
        path: The .npz file: an array for every input, by its name in the ONNX file.
        file: The ONNX file.
        specs: The ONNX file's inputs.

    Raises:
        FeedError: the .npz file cannot be read, or its arrays do not fit `specs`.
    """
    if not path.is_file():
        raise FeedError(path, "there is no such file", "Check the path")
    try:
        with np.load(path) as arrays:
            given = {name: arrays[name] for name in arrays.files}
    except MemoryError as error:
        raise FeedError(path, "its arrays do not fit into memory", "Give smaller ones") from error
    except UNREADABLE as error:
        raise FeedError(path, "it is no .npz file of arrays", "Write it with numpy.savez(FILE, NAME=array)") from error
    new_names = {old: new for new, old in file.renamed.items()}
    feeds = {new_names.get(name, name): array for name, array in given.items()}
    check_feeds(path, specs, feeds)
    return (OnnxInput(path.name, feeds),)


def run_cases(file: OnnxFile, cases: Sequence[OnnxInput]) -> tuple[Tensors, ...]:
    """The outputs of the untouched file for each case.

    Raises:
        UnrunnableError: ONNX Runtime does not run the file on a case, or an output holds NaN or infinity.
        ConversionError: a second run of the first case gives other numbers.
    """
    outputs: list[Tensors] = []
    for case in cases:
        try:
            outputs.append(file.run(case.feeds))
        except (FeedError, UnrunnableError) as error:
            met, remedy = f"on {case.name}: {error.met}", GIVE_INPUTS
            if file.opset_run != file.opset:
                met = f"brought from opset {file.opset} to {file.opset_run} by ONNX's converter, {met}"
                remedy = f"Export it at a later opset, or {GIVE_INPUTS[0].lower()}{GIVE_INPUTS[1:]}"
            raise UnrunnableError(file.path, met, remedy) from error
        fault = describe_non_finite(outputs[-1])
        if fault is not None:
            weight = file.find_nan()
            if weight is not None:
                met, remedy = f"on {case.name}: {fault}, and its weight '{weight}' holds NaN", "Export sound weights"
                raise UnrunnableError(file.path, met, f"{remedy}, or g{GIVE_INPUTS[1:]}")
            raise UnrunnableError(file.path, f"on {case.name}: {fault}", GIVE_INPUTS)
    for name, array in file.run(cases[0].feeds).items():
        before = outputs[0][name]
        if before.shape != array.shape or not np.allclose(before, array, rtol=REPEAT_TOLERANCE, atol=REPEAT_TOLERANCE):
            raise ConversionError(
                file.path, f"its output '{name}' is another one each time", "Export it without random numbers"
            )
    return tuple(outputs)
