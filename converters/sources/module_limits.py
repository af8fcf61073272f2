"""Find the sizes at which the graph that torch wrote of a user's module computes what the module computes.

torch traces a module at one size. What the module decides by its sizes ("pad if this one is odd") it decides once, and
torch.onnx.export leaves out the checks that would say so: at other sizes the graph fails, or computes something else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from converters.errors import BundleError, ExportError, FeedError, UnrunnableError
from converters.runners import Runner
from converters.sources.module_shapes import FIX_SIZES, MULTIPLES, draw, list_batches, list_free, odd_sizes
from converters.sources.own_module import OwnModule
from converters.sources.source import open_graph
from converters.tensors import Tensors, TensorSpec

if TYPE_CHECKING:
    from onnx import ModelProto

    from reference.model import ReferenceModel

# How far the graph's outputs may be from the module's, in units of an output's largest value: further is another
# computation. How near they are is judged later.
SAME = 1e-2
# How often the smallest size is doubled.
DOUBLINGS = 3


def limit_sizes(own: OwnModule, model: ReferenceModel, graph: ModelProto) -> tuple[TensorSpec, ...]:
    """The inputs with the smallest multiple, and the smallest size, at which the graph agrees with the module.

    Args:
        own: The module.
        model: Its contract.
        graph: What torch wrote of it.

    Raises:
        ExportError: at the sizes that it was traced at, the graph agrees with the module, and nowhere else.
    """
    inputs = model.inputs
    free = list_free(inputs)
    if not free:
        return inputs
    try:
        runner = open_graph(graph, model)
    except BundleError:  # which the first rung says better
        return inputs

    def agrees(sizes: Mapping[str, int]) -> bool:
        return _agree(own, runner, {spec.name: draw(spec, sizes) for spec in inputs})

    with runner:
        for limited in _list_limits(inputs):
            if agrees(odd_sizes(limited)):
                break
        else:
            if agrees(own.trace_sizes):
                tried = " ".join(f"{axis}={size}" for axis, size in odd_sizes(inputs).items())
                met = f"the graph that torch writes of it fails or computes something else at other sizes ({tried})"
                raise ExportError(own.name, met, FIX_SIZES)
            return inputs
        for minimum in _list_minima(limited):
            if agrees(dict.fromkeys(free, minimum) | dict.fromkeys(list_batches(limited), 1)):
                return _limit(limited, minimum=minimum)
    return limited


def _list_limits(inputs: tuple[TensorSpec, ...]) -> Iterator[tuple[TensorSpec, ...]]:
    least = max(spec.multiple_of for spec in inputs)
    yield inputs
    if len(list_free(inputs)) > len(list_batches(inputs)):
        yield from (_limit(inputs, multiple_of=m) for m in MULTIPLES if m > least and m % least == 0)


def _list_minima(inputs: tuple[TensorSpec, ...]) -> Iterator[int]:
    multiple, minimum = (max(getattr(spec, field) for spec in inputs) for field in ("multiple_of", "minimum"))
    yield from (-(-minimum * 2**i // multiple) * multiple for i in range(DOUBLINGS + 1))


def _limit(
    inputs: tuple[TensorSpec, ...], multiple_of: int | None = None, minimum: int | None = None
) -> tuple[TensorSpec, ...]:
    return tuple(
        replace(spec, multiple_of=multiple_of or spec.multiple_of, minimum=minimum or spec.minimum)
        if any(isinstance(axis, str) for axis in spec.shape[1:])
        else spec
        for spec in inputs
    )


def _agree(own: OwnModule, runner: Runner, feeds: Tensors) -> bool:
    run: Callable[[], bool] = lambda: _is_same(own.run(feeds), runner.run(feeds))  # noqa: E731
    with contextlib.suppress(FeedError, UnrunnableError, BundleError):
        return run()
    return False


def _is_same(expected: Tensors, actual: Tensors) -> bool:
    return all(
        array.shape == actual[name].shape
        and np.allclose(array, actual[name], rtol=0, atol=SAME * float(np.abs(array).max(initial=0)), equal_nan=True)
        for name, array in expected.items()
    )
