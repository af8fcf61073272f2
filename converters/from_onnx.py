"""From any ONNX file to the waist: one opset, plain names, weights inside."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnx.inliner
import onnx.version_converter
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from converters.errors import CheckpointError, ConversionError, FeedError, UnrunnableError
from converters.runners import OnnxRunner
from converters.simplify import strip_metadata
from converters.tensors import Array, Tensors, TensorSpec, check_feeds

SUFFIX = ".onnx"
OPSET = 18
OLDEST_OPSET, NEWEST_OPSET = 9, 23
ONNX_DOMAINS = ("", "ai.onnx")
SEED = 20190101
SEEDS = 3
FREE_SIZE = 64


@dataclass(frozen=True)
class SeededInput:
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


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file that was read whole.

    Attributes:
        path: The file.
        sha256: Of its bytes, in hex; of weights beside it too.
        model: As it is in the file, weights inside.
        inputs: What it says of its inputs, under names that every target takes.
        outputs: Likewise.
        renamed: The file's own name of each input and output that has another here.
    """

    path: Path
    sha256: str
    model: ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)

    format: ClassVar[str] = "ONNX"
    settings: ClassVar[Mapping[str, Any]] = {}

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def runner(self) -> OnnxRunner:
        """ONNX Runtime on the untouched file."""
        return OnnxRunner(self.path, self._original(self.inputs), self._original(self.outputs))

    def _original(self, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
        return tuple(replace(spec, name=self.renamed.get(spec.name, spec.name)) for spec in specs)

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """What ONNX Runtime gives for the untouched file.

        Raises:
            UnrunnableError: ONNX Runtime refuses these inputs.
        """
        given = {self.renamed.get(name, name): array for name, array in feeds.items()}
        results = self.runner.run(given)
        return {spec.name: results[self.renamed.get(spec.name, spec.name)] for spec in self.outputs}


def read_onnx(path: Path) -> OnnxFile:
    """Read an ONNX file of opset 9 to 23, and the weights beside it if it has such.

    Raises:
        CheckpointError: the file is missing or damaged, or no model of this kind.
        ConversionError: it holds what no target takes: foreign operators, inputs that are no tensors.
    """
    if not path.is_file():
        met = "it is a folder, not a file" if path.is_dir() else "there is no such file"
        raise CheckpointError(path, met, "Check the path")
    try:
        data = path.read_bytes()
        model = onnx.load_model_from_string(data)
        digest = hashlib.sha256(data)
        for file in sorted(_files_beside(model)):
            digest.update((path.parent / file).read_bytes())
        onnx.load_external_data_for_model(model, str(path.parent))
    except OSError as error:
        raise CheckpointError(
            path, f"it cannot be read ({error.strerror}: {error.filename})", "Keep the weights' file beside it"
        ) from error
    except DecodeError as error:
        raise CheckpointError(path, "it is no ONNX model, or a damaged one", "Export or copy it again") from error
    except (ValueError, onnx.checker.ValidationError) as error:
        raise CheckpointError(path, f"its weights cannot be read ({_first_line(error)})", "Export it again") from error
    if not model.ir_version or not model.graph.node:
        raise CheckpointError(path, "it is no ONNX model, or an empty one", "Export or copy it again")
    _require_known(path, model)
    weights = {tensor.name for tensor in model.graph.initializer}
    given = [value for value in model.graph.input if value.name not in weights]
    ends = [*given, *model.graph.output]
    plain = _plain_names(value.name for value in ends)
    specs = [_read_spec(path, value, plain[value.name]) for value in ends]
    renamed = {new: old for old, new in plain.items() if new != old}
    return OnnxFile(path, digest.hexdigest(), model, tuple(specs[: len(given)]), tuple(specs[len(given) :]), renamed)


def build_waist(source: OnnxFile, size: tuple[int, int] | None = None) -> ModelProto:
    """The file's graph at opset 18, inputs and outputs under their plain names.

    Args:
        source: The file.
        size: (H, W) for static shapes, as `fix_sizes` sets them.

    Raises:
        ConversionError: it cannot be brought to that opset.
    """
    model = strip_metadata(source.model)
    weights = {tensor.name for tensor in model.graph.initializer}
    given = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(given)  # weights were inputs too, up to IR 3
    model.ir_version = max(model.ir_version, 4)
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        if _read_opset(model) != OPSET:
            model = onnx.version_converter.convert_version(model, OPSET)
    except (RuntimeError, ValueError) as error:
        raise ConversionError(
            source.path,
            f"ONNX's converter does not bring it from opset {_read_opset(model)} to {OPSET} ({_first_line(error)})",
            f"Export it at opset {OPSET}",
        ) from error
    opset = helper.make_opsetid("", OPSET)
    del model.opset_import[:]
    model.opset_import.append(opset)
    _rename(model, {old: new for new, old in source.renamed.items()})
    for value, spec in zip(model.graph.input, fix_sizes(source.inputs, size), strict=True):
        _set_shape(value, spec.shape)
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    try:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ConversionError(
            source.path, f"onnx's checker refuses it ({_first_line(error)})", "Export it again"
        ) from error
    return model


def fix_sizes(specs: Sequence[TensorSpec], size: tuple[int, int] | None) -> tuple[TensorSpec, ...]:
    """`specs` with static shapes: a free first axis is 1, the third and fourth of four are (H, W).

    Without a size they are returned as they are.
    """
    if size is None:
        return tuple(specs)
    fixed: dict[str, int] = {}
    for spec in specs:
        for axis, wanted in enumerate(spec.shape):
            if isinstance(wanted, str):
                fixed.setdefault(wanted, 1 if axis == 0 else size[axis - 2] if len(spec.shape) == 4 and axis > 1 else 0)

    def fix(spec: TensorSpec) -> TensorSpec:
        shape = tuple(fixed.get(axis, 0) or axis if isinstance(axis, str) else axis for axis in spec.shape)
        return replace(spec, shape=shape)

    return tuple(map(fix, specs))


def seeded_inputs(specs: Sequence[TensorSpec]) -> tuple[SeededInput, ...]:
    """Floats in [0, 1], integers 0 or 1; a free first axis is 1, every other free size 64."""
    cases = []
    for seed in range(SEEDS):
        random = np.random.default_rng(SEED + seed)
        feeds: dict[str, Array] = {}
        sizes: dict[str, int] = {}
        for spec in specs:
            for axis, wanted in enumerate(spec.shape):
                if isinstance(wanted, str):
                    sizes.setdefault(wanted, 1 if axis == 0 else FREE_SIZE)
            shape = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape)
            dtype = np.dtype(spec.dtype)
            values = random.random(shape) if dtype.kind == "f" else random.integers(0, 2, shape)
            feeds[spec.name] = np.asarray(values, dtype)
        shapes = ", ".join("x".join(map(str, array.shape)) or "number" for array in feeds.values())
        cases.append(SeededInput(f"seed {seed}, {shapes}", feeds))
    return tuple(cases)


def read_inputs(path: Path, source: OnnxFile) -> tuple[SeededInput, ...]:
    """The one case of an .npz file that holds an array for every input, by its name in the ONNX file.

    Raises:
        FeedError: the file cannot be read, or its arrays are not what the inputs want.
    """
    try:
        with np.load(path) as arrays:
            read = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError) as error:
        raise FeedError(path, "it is no .npz file of arrays", "Write it with numpy.savez(FILE, NAME=array)") from error
    plain = {old: new for new, old in source.renamed.items()}
    feeds = {plain.get(name, name): array for name, array in read.items()}
    check_feeds(path, source.inputs, feeds)
    return (SeededInput(path.name, feeds),)


def run_source(source: OnnxFile, cases: Sequence[SeededInput]) -> list[Tensors]:
    """What the untouched file gives for each case.

    Raises:
        UnrunnableError: ONNX Runtime does not run it on one.
    """
    outputs: list[Tensors] = []
    for case in cases:
        try:
            outputs.append(source.run(case.feeds))
        except UnrunnableError as error:
            raise UnrunnableError(
                source.path, f"on {case.name}: {error.met}", "Give inputs that fit it with --inputs FILE.npz"
            ) from error
    return outputs


def _files_beside(model: ModelProto) -> set[str]:
    tensors = [tensor for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
    return {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}


def _read_opset(model: ModelProto) -> int:
    return next((entry.version for entry in model.opset_import if entry.domain in ONNX_DOMAINS), 0)


def _require_known(path: Path, model: ModelProto) -> None:
    opset = _read_opset(model)
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ConversionError(
            path,
            f"its opset is {opset or 'not given'}",
            f"Export it at an opset from {OLDEST_OPSET} to {NEWEST_OPSET}",
        )
    own = {(function.domain, function.name) for function in model.functions}
    for node in model.graph.node:
        if node.domain not in ONNX_DOMAINS and (node.domain, node.op_type) not in own:
            raise ConversionError(
                f"{path}, node '{node.name or ' '.join(node.output)}' ({node.op_type})",
                f"its domain is '{node.domain}'",
                "Export it with ONNX's own operators",
            )
    if model.graph.sparse_initializer:
        raise ConversionError(path, "it holds sparse weights", "Export it with dense ones")


def _read_spec(path: Path, value: ValueInfoProto, name: str) -> TensorSpec:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or kind.elem_type in (TensorProto.UNDEFINED, TensorProto.STRING):
        raise ConversionError(f"{path}, '{value.name}'", "it is no tensor of numbers", "Export it with such")
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)).name
    if not kind.HasField("shape"):
        raise ConversionError(f"{path}, '{value.name}'", "its number of axes is not given", "Export it with shapes")
    shape = tuple(
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param or f"{name}_axis_{index}"
        for index, axis in enumerate(kind.shape.dim)
    )
    meaning = "" if name == value.name else f"'{value.name}' in {path.name}"
    return TensorSpec(name, shape, dtype, layout="", meaning=meaning)


def _plain_names(names: Iterator[str]) -> dict[str, str]:
    """Each name to one of letters, digits and underscores, none of them twice."""
    plain: dict[str, str] = {}
    for name in names:
        wanted = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "tensor"
        wanted = f"x_{wanted}" if wanted[0].isdigit() else wanted
        count, free = 2, wanted
        while free in plain.values():
            free, count = f"{wanted}_{count}", count + 1
        plain[name] = free
    return plain


def _rename(model: ModelProto, names: Mapping[str, str]) -> None:
    """Give tensors new names; one that has a new name already makes way."""
    graph = model.graph
    taken = set(names.values()) - set(names)
    every = {
        *(tensor.name for tensor in graph.initializer),
        *(value.name for value in [*graph.input, *graph.output]),
        *(name for node in graph.node for name in node.output),
    }
    moved = dict(names)
    for name in sorted(taken & every):
        free = f"{name}_inner"
        while free in every:
            free += "_"
        moved[name] = free
    for node in _nodes(graph):
        for ends in (node.input, node.output):
            ends[:] = [moved.get(name, name) for name in ends]
    for value in [*graph.input, *graph.output, *graph.initializer]:
        value.name = moved.get(value.name, value.name)


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Every node, those of branches and loop bodies too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _set_shape(value: ValueInfoProto, shape: Sequence[int | str]) -> None:
    dims = value.type.tensor_type.shape.dim
    for dim, size in zip(dims, shape, strict=True):
        if isinstance(size, int):
            dim.dim_value = size
        else:
            dim.dim_param = size


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
