"""The source made from a module of the user's own: that module, untouched, in torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from onnx import ModelProto
from torch import nn

from converters.errors import ExportError
from converters.parity.expected import ReferenceOutputs
from converters.parity.inputs import IMAGES, MASKS, ParityInput, make_input, short_inputs
from converters.sources.export_torch import export_onnx, fix_size
from converters.sources.module_limits import limit_sizes
from converters.sources.module_shapes import FIX_SIZES, IMAGE_AXES, draw, list_free, odd_sizes
from converters.sources.onnx_inputs import OnnxInput, gives_finite_outputs, seeded_inputs
from converters.sources.own_module import OwnModule
from converters.sources.source import MODULE_ARCHITECTURE, Size
from converters.sources.spectral_norm import fold_spectral_norm
from converters.sources.torch_source import TorchSource, run_on_feeds
from converters.tensors import Array, Tensors, TensorSpec, fit_size
from reference.model import ReferenceModel

# Channels of photos and of gray images and masks.
RGB, GRAY = 3, 1
# Above it, a seeded number in a mask becomes 1.
HALF = 0.5
# Rec. 709 luma of RGB, as scikit-image's rgb2gray has it.
LUMA = np.array([0.2125, 0.7154, 0.0721], np.float32)


@dataclass(frozen=True)
class ModuleSource(TorchSource):
    """A module of the user's own.

    Attributes:
        cases: The inputs that its files are judged on.
        exported: Its graph, if sizes are free: they are limited to those at which this graph is right.
    """

    cases: tuple[OnnxInput, ...] = ()
    exported: ModelProto | None = None

    def _export(self, folded: nn.Module) -> ModelProto:
        return self.exported or super()._export(folded)

    @cached_property
    def _reference(self) -> ReferenceOutputs:
        return run_on_feeds(self.model, self.cases, [case.feeds for case in self.cases])

    def _golden_order(self) -> list[int]:
        sizes = [sum(array.nbytes for array in case.feeds.values()) for case in self.cases]
        return sorted(range(len(sizes)), key=sizes.__getitem__)


def open_module(own: OwnModule, size: Size | None = None, seed: int = 0) -> ModuleSource:
    """The source for a module; with a `size`, its contract has static shapes.

    It is judged on the user's examples, on photos with holes where all its inputs look like images, and on seeded
    numbers.

    Args:
        own: The module.
        size: (H, W), or None.
        seed: Of the numbers; another one than 0 leaves the user's examples out.

    Raises:
        ExportError: the module does not accept `size`; or sizes are free, and torch cannot write it so.
    """
    model = ReferenceModel(
        MODULE_ARCHITECTURE,
        {},
        own.inputs,
        own.outputs,
        own.module,
        own.policies,
        lambda photo, edges, mask: _make_feeds(own.inputs, photo, edges, mask),
        trace_sizes=own.trace_sizes,
    )
    exported = None
    if size is not None:
        model = fix_size(model, size)
    elif list_free(own.inputs) and not seed:
        exported = _export_free(own, model)
        model = replace(model, inputs=limit_sizes(own, model, exported))
    given = [] if seed else [case for case in _list_examples(own) if _fits(model.inputs, case.feeds)]
    photos = [case for case in _list_photos(model.inputs) if gives_finite_outputs(own, case)]
    odd = [case for case in _list_odd(model.inputs) if gives_finite_outputs(own, case)]
    seeded = (_keep_ranges(own, case) for case in (*seeded_inputs(own, model.inputs, seed), *odd))
    cases = (*given, *photos, *seeded)
    return ModuleSource(model, size, cases=cases, exported=exported)


def _keep_ranges(own: OwnModule, case: OnnxInput) -> OnnxInput:
    """The case with values inside of the ranges that specs tell, and 0 or 1 in a mask that tells of known pixels."""
    feeds = dict(case.feeds)
    for spec in own.inputs:
        if spec.value_range is not None:
            feeds[spec.name] = feeds[spec.name].clip(*spec.value_range).astype(spec.dtype)
    if any(policy.known is not None for policy in own.policies.values()):
        feeds["mask"] = (feeds["mask"] > HALF).astype(feeds["mask"].dtype)
    return OnnxInput(case.name, feeds)


def _export_free(own: OwnModule, model: ReferenceModel) -> ModelProto:
    """Its graph, sizes free.

    Raises:
        ExportError: torch cannot write it so; the message says whether it can with all sizes fixed.
    """
    folded = fold_spectral_norm(own.module)
    try:
        return export_onnx(model, folded)
    except ExportError as error:
        fixed = replace(model, inputs=tuple(_fix(spec, own.trace_sizes) for spec in model.inputs))
        try:
            export_onnx(fixed, folded)
        except ExportError:
            raise ExportError(own.name, error.met, error.remedy) from error
        met = f"with sizes left free, {error.met}; with all sizes fixed, it can"
        raise ExportError(own.name, met, f"{FIX_SIZES}, or write that line otherwise") from error


def _fix(spec: TensorSpec, sizes: Mapping[str, int]) -> TensorSpec:
    return replace(spec, shape=tuple(sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape))


def _list_odd(inputs: Sequence[TensorSpec]) -> Iterator[OnnxInput]:
    """A case of odd sizes: what a net decides by them is not what it decides by the even ones of all other cases."""
    if list_free(inputs):
        sizes = odd_sizes(inputs)
        title = ", ".join(f"{axis} {size}" for axis, size in sizes.items())
        yield OnnxInput(f"odd sizes, {title}", {spec.name: draw(spec, sizes) for spec in inputs})


def _list_examples(own: OwnModule) -> Iterator[OnnxInput]:
    for i, feeds in enumerate(own.examples):
        shapes = ", ".join("x".join(map(str, array.shape)) or "number" for array in feeds.values())
        yield OnnxInput(f"example {i + 1}, {shapes}", feeds)


def _fits(inputs: Sequence[TensorSpec], feeds: Tensors) -> bool:
    wanted = ((size, axis) for spec in inputs for size, axis in zip(feeds[spec.name].shape, spec.shape, strict=True))
    return all(not isinstance(axis, int) or size == axis for size, axis in wanted)


def _list_photos(inputs: Sequence[TensorSpec]) -> Iterator[OnnxInput]:
    """The short set's images and masks, if every input is an image of floats, and all are of the same size."""
    sizes = {spec.shape[2:] for spec in inputs if len(spec.shape) == len(IMAGE_AXES)}
    channels = [spec.shape[1] for spec in inputs if len(spec.shape) == len(IMAGE_AXES)]
    floats = all(spec.dtype.startswith("float") for spec in inputs)
    if len(channels) < len(inputs) or len(sizes) != 1 or not floats or not {*channels} <= {RGB, GRAY}:
        return
    height, width = next(iter(sizes))
    for given in _make_photos(inputs, height, width, inputs[0].shape[0]):
        feeds = _make_feeds(inputs, given.photo, given.edges, given.mask)
        if _fits(inputs, feeds):
            yield OnnxInput(given.name, feeds)


def _make_photos(
    inputs: Sequence[TensorSpec], height: int | str, width: int | str, batch: int | str
) -> tuple[ParityInput, ...]:
    if isinstance(height, int) and isinstance(width, int):
        sizes = [(height, width)]
    elif isinstance(height, int) or isinstance(width, int):
        return ()
    elif isinstance(batch, str):
        return short_inputs(inputs)
    else:
        sizes = [fit_size(inputs, size) for size in ((96, 128), (12, 12), (256, 256))]
    items = batch if isinstance(batch, int) else 1
    pairs = [[pair] * items for pair in zip(IMAGES, MASKS, strict=True)]
    larger = [make_input([("astronaut", "most")] * items, size) for size in sizes[1:]]
    return (*(make_input(pair, sizes[0]) for pair in pairs), *larger)


def _make_feeds(inputs: Sequence[TensorSpec], photo: Array, edges: Array, mask: Array) -> Tensors:
    """A photo for each RGB input, its gray values for each other one; an input "mask" gets the hole, "edges" edges."""
    gray = (photo.transpose(0, 2, 3, 1) @ LUMA)[:, None]

    def make(spec: TensorSpec) -> Array:
        plane = {"mask": mask, "edges": edges}.get(spec.name, photo if spec.shape[1] == RGB else gray)
        low, high = spec.value_range or (0, 1)
        return np.ascontiguousarray(plane * (high - low) + low, spec.dtype)

    return {spec.name: make(spec) for spec in inputs}
