"""What a module's inputs and outputs look like: read from the user's examples, and found out by running the module."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from converters.errors import FeedError
from converters.parity.inputs import SEED
from converters.tensors import Array, Tensors, TensorSpec, round_up

Feeds = Callable[[Tensors], tuple[Array, ...]]
IMAGE_AXES = "NCHW"
# Sizes of the two images that a net is tried on if the user gives no inputs: batch, height and width.
TRIED_SIZES = (((1, 64, 96), (2, 128, 160)), ((1, 256, 512), (2, 512, 768)))
# What a net's sizes must be a multiple of is looked for among these, and its smallest size among so many multiples.
MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TRIED_MINIMA = 32
# The smallest size that is tried as an odd one: halved and halved again, it and the next are odd at other steps.
ODD_SIZE = 43
ODD_BATCH = 3
# Sizes of free axes that the user tells nothing of but the name; no two are equal.
UNTOLD_SIZES = {"N": 2, "H": 32, "W": 48}
UNTOLD_SIZE = 40
GIVE_INPUTS = "Give inputs={NAME: an example array, or two of different sizes}, in the shell --inputs FILE.npz"
FIX_SIZES = "Fix its sizes: give one example of each input"


@dataclass(frozen=True)
class Examples:
    """A module's inputs.

    Attributes:
        specs: Their contract.
        given: The user's own examples; none if there are only specs.
        probes: Inputs at unlike sizes, odd ones too, if any size is free: the user's, and random ones.
        trace_sizes: Size of each free axis that torch traces the module at.
    """

    specs: tuple[TensorSpec, ...]
    given: tuple[Tensors, ...]
    probes: tuple[Tensors, ...]
    trace_sizes: Mapping[str, int]


def read_examples(where: str, module: nn.Module, inputs: Mapping[str, Any] | None, run: Feeds) -> Examples:
    """The inputs' contract, by what the user gave for each.

    Sizes that two examples leave free may be any multiple, from a smallest one on, with which the module runs.

    Raises:
        FeedError: the examples do not fit each other or the module, or there are none and none can be guessed.
    """
    if inputs is None:
        return _guess_image(where, module, run)
    if not inputs:
        raise FeedError(where, "no inputs are named", GIVE_INPUTS)
    pairs = {name: _read_pair(where, name, value) for name, value in inputs.items()}
    paired = any(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs.values())
    names: dict[str, tuple[int, ...]] = {}
    specs = [
        replace(pair, name=name) if isinstance(pair, TensorSpec) else _describe_input(name, pair, names)
        for name, pair in pairs.items()
    ]
    told = [spec for spec, pair in zip(specs, pairs.values(), strict=True) if isinstance(pair, TensorSpec)]
    sizes = {axis: max(found) for axis, found in names.items()} | _choose_sizes(told)
    given = tuple(
        {
            spec.name: draw(spec, sizes) if isinstance(pair, TensorSpec) else pair[min(i, len(pair) - 1)]
            for spec, pair in zip(specs, pairs.values(), strict=True)
        }
        for i in range(2 if paired else 1)
    )
    if len(told) == len(specs):
        other = {axis: size + _step(specs, axis, place) for place, (axis, size) in enumerate(sizes.items())}
        probes = ({spec.name: draw(spec, some) for spec in specs} for some in ([sizes, other] if sizes else [sizes]))
        return Examples(tuple(specs), (), tuple(probes), sizes)
    if paired and not told:
        for feeds in given:
            run(feeds)
        specs = _find_limits(where, specs, names, run)
        odd = {spec.name: draw(spec, odd_sizes(specs)) for spec in specs}
        if runs(run, odd):
            return Examples(tuple(specs), given, (*given, odd), sizes)
    return Examples(tuple(specs), given, given, sizes)


def describe_outputs(
    inputs: Sequence[TensorSpec],
    labels: Sequence[str | TensorSpec],
    probes: Sequence[tuple[Tensors, Sequence[Array]]],
) -> tuple[TensorSpec, ...]:
    """The outputs' contract: a size is fixed if it is the same on all probes, else an input's size, else free."""
    sizes: dict[str, list[int]] = {}
    for spec in inputs:
        for index, axis in enumerate(spec.shape):
            if isinstance(axis, str):
                sizes[axis] = [feeds[spec.name].shape[index] for feeds, _ in probes]

    def describe(label: str | TensorSpec, arrays: Sequence[Array]) -> TensorSpec:
        name = label if isinstance(label, str) else label.name
        shape: list[int | str] = []
        for index in range(arrays[0].ndim):
            found = [array.shape[index] for array in arrays]
            alike = [axis for axis, those in sizes.items() if those == found]
            usual = IMAGE_AXES[index] if arrays[0].ndim == len(IMAGE_AXES) else ""
            free = usual if usual in alike else next(iter(alike), f"{name}_axis_{index}")
            shape.append(found[0] if len(set(found)) == 1 else free)
        layout = IMAGE_AXES if len(shape) == len(IMAGE_AXES) else ""
        spec = label if isinstance(label, TensorSpec) else TensorSpec(name, ())
        return replace(spec, shape=tuple(shape), dtype=arrays[0].dtype.name, layout=layout)

    return tuple(describe(label, [results[i] for _, results in probes]) for i, label in enumerate(labels))


def require_sizes(where: str, results: Sequence[Array]) -> None:
    """Refuse outputs of a type that numpy or a target lacks."""
    for array in results:
        if array.dtype.kind not in "fiub":
            raise FeedError(where, f"it gives an output of type {array.dtype}", "Give one of real numbers")


def draw(spec: TensorSpec, sizes: Mapping[str, int], seed: int = 0) -> Array:
    """Random numbers in the spec's range, or in [0, 1]; integers are 0 or 1 if no range is given."""
    shape = tuple(axis if isinstance(axis, int) else sizes[axis] for axis in spec.shape)
    low, high = spec.value_range or (0, 1)
    values = np.random.default_rng([SEED, seed, *spec.name.encode()]).random(shape) * (high - low) + low
    return np.asarray(values if spec.dtype.startswith("float") else np.rint(values), spec.dtype)


def runs(run: Feeds, feeds: Tensors) -> bool:
    """Whether the module takes these inputs and gives finite numbers."""
    try:
        results = run(feeds)
    except FeedError:
        return False
    return all(bool(np.isfinite(array).all()) for array in results)


def list_free(specs: Sequence[TensorSpec]) -> list[str]:
    """The names of the free axes, each once, in their order."""
    return list(dict.fromkeys(axis for spec in specs for axis in spec.shape if isinstance(axis, str)))


def list_batches(specs: Sequence[TensorSpec]) -> list[str]:
    """The free axes that are the first ones wherever they occur: they have no limits."""
    return [axis for axis in list_free(specs) if all(axis not in spec.shape[1:] for spec in specs)]


def odd_sizes(specs: Sequence[TensorSpec]) -> dict[str, int]:
    """A size for each free axis: unlike ones, odd multiples of what the specs allow."""
    multiple = math.lcm(*(spec.multiple_of for spec in specs))
    first = -(-max(ODD_SIZE, *(spec.minimum for spec in specs)) // multiple) | 1
    batches = list_batches(specs)
    others = [axis for axis in list_free(specs) if axis not in batches]
    return dict.fromkeys(batches, ODD_BATCH) | {axis: (first + 2 * i) * multiple for i, axis in enumerate(others)}


def _read_pair(where: str, name: str, value: object) -> TensorSpec | tuple[Array, ...]:
    if isinstance(value, TensorSpec):
        return value
    arrays = (
        tuple(map(_to_array, value)) if isinstance(value, tuple | list) and len(value) == 2 else (_to_array(value),)
    )
    for array in arrays:
        if array.dtype.kind not in "fiub":
            raise FeedError(
                f"{where}, input '{name}'", f"it is no array of numbers ({type(value).__name__})", GIVE_INPUTS
            )
    if arrays[0].ndim != arrays[-1].ndim or arrays[0].dtype != arrays[-1].dtype:
        kinds = " and ".join(f"{array.dtype} {array.shape}" for array in arrays)
        raise FeedError(
            f"{where}, input '{name}'", f"its two examples are {kinds}", "Give two that differ in sizes only"
        )
    return arrays


def _to_array(value: object) -> Array:
    array = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _describe_input(name: str, arrays: Sequence[Array], names: dict[str, tuple[int, ...]]) -> TensorSpec:
    """The spec of an input with examples; axes that differ get a name, which goes into `names` with the sizes.

    The same axis of two inputs has the same name if it has the same sizes in both.
    """
    first = arrays[0]
    is_image = first.ndim == len(IMAGE_AXES)
    shape: list[int | str] = []
    for index, sizes in enumerate(zip(*(array.shape for array in arrays), strict=True)):
        if len(set(sizes)) == 1:
            shape.append(sizes[0])
            continue
        axis = IMAGE_AXES[index] if is_image else "N" if index == 0 else f"axis_{index}"
        if names.setdefault(axis, sizes) != sizes:
            axis = f"{name}_{axis}"
            names[axis] = sizes
        shape.append(axis)
    return TensorSpec(name, tuple(shape), first.dtype.name, IMAGE_AXES if is_image else "")


def _choose_sizes(specs: Sequence[TensorSpec]) -> dict[str, int]:
    """A size for each free axis of specs: unlike ones, that the specs allow."""
    sizes: dict[str, int] = {}
    for spec in specs:
        for index, axis in enumerate(spec.shape):
            if isinstance(axis, str) and axis not in sizes:
                wanted = UNTOLD_SIZES.get(axis, UNTOLD_SIZE + 8 * len(sizes))
                sizes[axis] = wanted if index == 0 else round_up(wanted + len(sizes) * spec.multiple_of, spec)
    return sizes


def _step(specs: Sequence[TensorSpec], axis: str, place: int) -> int:
    """How much larger a second size of an axis is; other for each axis."""
    multiple = math.lcm(*(spec.multiple_of for spec in specs))
    return 1 if axis in list_batches(specs) else (place + 1) * multiple


def _find_limits(
    where: str, specs: Sequence[TensorSpec], names: Mapping[str, Sequence[int]], run: Feeds
) -> list[TensorSpec]:
    """The specs with the smallest multiple and the smallest size with which the module runs, found by running it."""
    free = [axis for axis in names if any(axis in spec.shape[1:] for spec in specs)]
    if not free:
        return list(specs)
    batch = {axis: max(sizes) for axis, sizes in names.items() if axis not in free}
    least = {axis: min(names[axis]) for axis in free}

    def runs_at(sizes: Mapping[str, int]) -> bool:
        return runs(run, {spec.name: draw(spec, {**batch, **sizes}) for spec in specs})

    allowed = [m for m in MULTIPLES if math.gcd(*(size for axis in free for size in names[axis])) % m == 0]
    for multiple in allowed:
        if runs_at(
            {axis: size // multiple * multiple + (2 * i + 1) * multiple for i, (axis, size) in enumerate(least.items())}
        ):
            break
    else:
        met = "it runs on the two examples' sizes and on none between and beyond them that was tried"
        raise FeedError(where, met, FIX_SIZES)
    minima = range(multiple, min(least.values()), multiple)
    minimum = next((s for s in minima[:TRIED_MINIMA] if runs_at(dict.fromkeys(free, s))), min(least.values()))
    return [
        replace(spec, multiple_of=multiple, minimum=minimum) if any(axis in spec.shape for axis in free) else spec
        for spec in specs
    ]


def _guess_image(where: str, module: nn.Module, run: Feeds) -> Examples:
    """For a net of one input that begins with a convolution: an image of its channels, of any size that it runs on."""
    wanted = [
        parameter.name
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    first = next(
        (part for part in module.modules() if list(part.parameters(recurse=False)) or isinstance(part, nn.Conv2d)), None
    )
    if len(wanted) != 1 or not isinstance(first, nn.Conv2d):
        takes = (
            f"takes {len(wanted)} inputs ({', '.join(wanted)})" if len(wanted) != 1 else "does not begin with a Conv2d"
        )
        raise FeedError(where, f"it {takes}, so that their shapes cannot be guessed", GIVE_INPUTS)
    name, channels = wanted[0], first.in_channels
    fault: FeedError | None = None
    for tried in TRIED_SIZES:
        shapes = [(n, channels, height, width) for n, height, width in tried]
        spec = TensorSpec(name, ("N", channels, "H", "W"))
        pair = tuple(draw(spec, {"N": n, "H": height, "W": width}) for n, _, height, width in shapes)
        try:
            found = read_examples(where, module, {name: pair}, run)
        except FeedError as error:
            fault = fault or error
            continue
        return replace(found, given=())
    assert fault is not None
    raise fault
