"""What an ONNX file is judged on: seeded numbers, or the user's arrays; and what the untouched file gives for them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.errors import ConversionError, FeedError, UnrunnableError
from converters.parity.inputs import SEED
from converters.sources.onnx_file import OnnxFile
from converters.tensors import UNREADABLE, Array, Tensors, TensorSpec, check_feeds

FREE_SIZE = 64
# By axis; the first with which the file runs: axes that are swapped, items of a batch that are mixed and sizes that are
# baked in show only where sizes differ.
VARIED_SIZES: Sequence[Mapping[int, int]] = ({0: 2, 1: 96, 2: 128, 3: 96}, {1: 96, 2: 128, 3: 96}, {0: 2})
Ranges = Mapping[str, tuple[int, int]]
# An operator that is left out may show only below 0 or above 1, an index only beyond the first.
WIDE_RANGES: Mapping[str, Ranges] = {
    "from -3 to 3, integers of 8 bits": {"f": (-3, 3), "i": (-128, 127), "u": (0, 255)},
    "from -3 to 3, integers to 15": {"f": (-3, 3), "i": (0, 15), "u": (0, 255)},
    "integers to 15": {"i": (0, 15), "u": (0, 255)},
    "integers to 3": {"i": (0, 3), "u": (0, 3)},
}
# Elements of one input: float64 numbers are drawn first, 2 GiB of them.
MAX_ELEMENTS = 2**28
# Two runs of a file on the same numbers; a net is repeatable, sums in another order differ by less.
REPEATABLE = 1e-4
GIVE_INPUTS = "Give inputs that fit it with --inputs FILE.npz"


@dataclass(frozen=True)
class OnnxInput:
    """Inputs of an ONNX file, named and hashed for the report."""

    name: str
    feeds: Tensors

    @property
    def sha256(self) -> str:
        """Hash of the arrays' bytes, in the order of their names."""
        digest = hashlib.sha256()
        for name in sorted(self.feeds):
            digest.update(np.ascontiguousarray(self.feeds[name]).tobytes())
        return digest.hexdigest()


def seeded_inputs(source: OnnxFile, specs: Sequence[TensorSpec]) -> tuple[OnnxInput, ...]:
    """Floats in [0, 1], integers 0 or 1; a free first axis is 1, every other free size 64.

    Then, if the file takes such, one case of other sizes (see VARIED_SIZES) and one of other values (see WIDE_RANGES).

    Raises:
        UnrunnableError: an input is too large for that.
    """
    for spec in specs:
        size = math.prod(FREE_SIZE if isinstance(axis, str) else axis for axis in spec.shape)
        if size > MAX_ELEMENTS:
            met = f"its input '{spec.name}' has {size} elements, and seeded ones {MAX_ELEMENTS} at most"
            raise UnrunnableError(source.path, met, GIVE_INPUTS)
    zero, one, plain = (_make_input(f"seed {seed}", specs, seed, {}) for seed in range(3))
    varied = (_make_input("seed 2", specs, 2, free) for free in VARIED_SIZES)
    wide = (_make_input(f"seed 3, {what}", specs, 3, {}, ranges) for what, ranges in WIDE_RANGES.items())
    other_sizes = next((case for case in varied if _runs(source, case)), plain)
    other_values = next((case for case in wide if _runs(source, case)), None)
    return (zero, one, other_sizes) if other_values is None else (zero, one, other_sizes, other_values)


def _runs(source: OnnxFile, case: OnnxInput) -> bool:
    """Whether the file gives finite numbers for it."""
    try:
        return all(np.isfinite(array).all() for array in source.run(case.feeds).values())
    except (FeedError, UnrunnableError):
        return False


def _make_input(
    name: str, specs: Sequence[TensorSpec], seed: int, free: Mapping[int, int], ranges: Ranges | None = None
) -> OnnxInput:
    """
    Args:
        name: What the case is called, before its shapes.
        free: Sizes of free axes, by their place.
        ranges: Smallest and largest value by kind of element type: "f", "i", "u"; [0, 1] where not given.
    """
    random = np.random.default_rng(SEED + seed)
    feeds: dict[str, Array] = {}
    sizes: dict[str, int] = {}
    for spec in specs:
        for axis, wanted in enumerate(spec.shape):
            if isinstance(wanted, str):
                sizes.setdefault(wanted, free.get(axis, 1 if axis == 0 else FREE_SIZE))
        shape = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape)
        dtype = np.dtype(spec.dtype)
        low, high = (ranges or {}).get(dtype.kind, (0, 1))
        values = random.random(shape) if dtype.kind == "f" else random.integers(low, high + 1, shape)
        feeds[spec.name] = np.asarray(values * (high - low) + low if dtype.kind == "f" else values, dtype)
    shapes = ", ".join("x".join(map(str, array.shape)) or "number" for array in feeds.values())
    return OnnxInput(f"{name}, {shapes}", feeds)


def read_inputs(path: Path, source: OnnxFile, specs: Sequence[TensorSpec]) -> tuple[OnnxInput, ...]:
    """The one case of an .npz file that holds an array for every input, by its name in the ONNX file.

    Raises:
        FeedError: the file cannot be read, or its arrays are not what the inputs `specs` want.
    """
    if not path.is_file():
        raise FeedError(path, "there is no such file", "Check the path")
    try:
        with np.load(path) as arrays:
            read = {name: arrays[name] for name in arrays.files}
    except MemoryError as error:
        raise FeedError(path, "its arrays do not fit into memory", "Give smaller ones") from error
    except UNREADABLE as error:
        raise FeedError(path, "it is no .npz file of arrays", "Write it with numpy.savez(FILE, NAME=array)") from error
    plain = {old: new for new, old in source.renamed.items()}
    feeds = {plain.get(name, name): array for name, array in read.items()}
    check_feeds(path, specs, feeds)
    return (OnnxInput(path.name, feeds),)


def run_source(source: OnnxFile, cases: Sequence[OnnxInput]) -> list[Tensors]:
    """What the untouched file gives for each case.

    Raises:
        UnrunnableError: ONNX Runtime does not run it on one, or it gives values that are not finite.
        ConversionError: it gives other numbers each time.
    """
    outputs: list[Tensors] = []
    for case in cases:
        try:
            given: Tensors = source.run(case.feeds)
        except (FeedError, UnrunnableError) as error:
            raise UnrunnableError(source.path, f"on {case.name}: {error.met}", GIVE_INPUTS) from error
        for name, array in given.items():
            count = int(np.count_nonzero(~np.isfinite(array)))
            if count:
                met = f"on {case.name}: {count} values of its output '{name}' are NaN or infinite"
                raise UnrunnableError(source.path, met, GIVE_INPUTS)
        outputs.append(given)
    for name, array in source.run(cases[0].feeds).items():
        before = outputs[0][name]
        if before.shape != array.shape or not np.allclose(before, array, rtol=REPEATABLE, atol=REPEATABLE):
            raise ConversionError(
                source.path, f"its output '{name}' is another one each time", "Export it without random numbers"
            )
    return outputs
