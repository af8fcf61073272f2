"""From any ONNX file to the waist: one opset, plain names, weights inside."""

from __future__ import annotations

import hashlib
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
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from converters.errors import BundleError, CheckpointError, ConversionError
from converters.onnx_float64 import run_float64
from converters.plain_names import list_graphs, plain_names, rename
from converters.runners import OnnxRunner
from converters.simplify import strip_metadata
from converters.tensors import Array, Tensors, TensorSpec

SUFFIX = ".onnx"
OPSET = 18
OLDEST_OPSET, NEWEST_OPSET = 9, 23
ONNX_DOMAINS = ("", "ai.onnx")
# numpy's kinds of element types that every step here handles: floats, integers, truth values.
KINDS = "fiub"
# A protobuf message is smaller than this, in bytes, and a bundle's ONNX file is one.
LARGEST = 2**31
# What onnx's C++ side raises, besides errors of Python's own.
REFUSALS = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    onnx.version_converter.ConvertError,
    RuntimeError,
    ValueError,
    IndexError,
)


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
        """The file's stem, where it can be a folder's name."""
        name = "".join(char if char.isprintable() and char != "\\" else "_" for char in self.path.stem)
        return name if name.strip(".") else "model"

    @cached_property
    def runner(self) -> OnnxRunner:
        """ONNX Runtime on the untouched file.

        Raises:
            CheckpointError: ONNX Runtime does not load it.
        """
        try:
            return OnnxRunner(self.path, self._original(self.inputs), self._original(self.outputs))
        except BundleError as error:
            raise CheckpointError(self.path, error.met, "Export it again") from error

    def _original(self, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
        return tuple(replace(spec, name=self.renamed.get(spec.name, spec.name)) for spec in specs)

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """What ONNX Runtime gives for the untouched file.

        Raises:
            FeedError, UnrunnableError: ONNX Runtime refuses these inputs.
        """
        given = {self.renamed.get(name, name): array for name, array in feeds.items()}
        results = self.runner.run(given)
        return {spec.name: results[self.renamed.get(spec.name, spec.name)] for spec in self.outputs}

    def run_float64(self, feeds: Tensors) -> dict[str, Array] | None:
        """What onnx's reference implementation gives for the untouched file in float64, None where it does not run."""
        results = run_float64(self.model, {self.renamed.get(name, name): array for name, array in feeds.items()})
        if results is None:
            return None
        return {spec.name: results[self.renamed.get(spec.name, spec.name)] for spec in self.outputs}


def read_onnx(path: Path) -> OnnxFile:
    """Read an ONNX file of opset 9 to 23, and the weights beside it if it has such.

    Raises:
        CheckpointError: the file is missing or damaged, or no model of this kind.
        ConversionError: it holds what no target takes: foreign operators, inputs that are no tensors.
    """
    model, sha256 = _read_model(path)
    if not model.ir_version or not model.graph.node:
        raise CheckpointError(path, "it is no ONNX model, or an empty one", "Export or copy it again")
    _require_known(path, model)
    given = _list_inputs(model)
    if not given:
        raise ConversionError(path, "it has no inputs", "Export it with what it computes from as inputs")
    ends = [*given, *model.graph.output]
    plain = plain_names(value.name for value in ends)
    specs = [_read_spec(path, value, plain[value.name]) for value in ends]
    renamed = {new: old for old, new in plain.items() if new != old}
    return OnnxFile(path, sha256, model, tuple(specs[: len(given)]), tuple(specs[len(given) :]), renamed)


def build_waist(source: OnnxFile, size: tuple[int, int] | None = None) -> ModelProto:
    """The file's graph at opset 18, inputs and outputs under their plain names.

    Args:
        source: The file.
        size: (H, W) for static shapes, as `fix_sizes` sets them.

    Raises:
        ConversionError: it cannot be brought to that opset.
    """
    inputs, outputs = fix_sizes(source, size)
    model = strip_metadata(source.model)
    given = _list_inputs(model)
    del model.graph.input[:]
    model.graph.input.extend(given)  # weights were inputs too, up to IR 3
    model.ir_version = max(model.ir_version, 4)
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model, convert_version=True)
        if _read_opset(model) != OPSET:
            model = onnx.version_converter.convert_version(model, OPSET)
    except REFUSALS as error:
        raise ConversionError(
            source.path,
            f"ONNX's converter does not bring it from opset {_read_opset(model)} to {OPSET} ({_first_line(error)})",
            f"Export it at opset {OPSET}",
        ) from error
    _lift_constants(model.graph)
    if _read_opset(source.model) < 11:
        _keep_sampling(model)
    opset = helper.make_opsetid("", OPSET)
    del model.opset_import[:]
    model.opset_import.append(opset)
    rename(model, {old: new for new, old in source.renamed.items()})
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"  # so that a refusal can tell of it
    _write_shapes(model, inputs, outputs)
    try:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        for value, spec in zip(model.graph.output, outputs, strict=True):
            if not value.type.tensor_type.HasField("shape"):  # inference does not know, and the checker wants one
                _set_shape(value, spec.shape)
        onnx.checker.check_model(model, full_check=True)
    except REFUSALS as error:
        raise ConversionError(
            source.path, f"onnx's checker refuses it ({_first_line(error)})", "Export it again"
        ) from error
    return model


def fix_sizes(source: OnnxFile, size: tuple[int, int] | None) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The file's inputs and outputs with static shapes: a free first axis is 1, the last two of four are (H, W).

    A name stands for the same size everywhere. Without a size they are returned as they are.

    Raises:
        ConversionError: an input is of another size, or has an axis that this does not fix.
    """
    if size is None:
        return source.inputs, source.outputs
    option = f"--size {size[0]}x{size[1]}"
    if all(len(spec.shape) != 4 for spec in source.inputs):
        raise ConversionError(source.path, f"{option} was asked for, and no input has four axes", "Leave out --size")
    fixed: dict[str, int] = {}
    for spec in source.inputs:
        wanted = {0: 1, 2: size[0], 3: size[1]} if len(spec.shape) == 4 else {0: 1}
        for axis, length in wanted.items():
            there = spec.shape[axis] if axis < len(spec.shape) else length
            if isinstance(there, str):
                there = fixed.setdefault(there, length)
            if there != length and axis:
                met = f"axis {axis} of input '{spec.name}' is {there}"
                raise ConversionError(source.path, f"{met}, and {option} was asked for", "Give another or no --size")

    def fix(spec: TensorSpec) -> TensorSpec:
        return replace(
            spec, shape=tuple(fixed.get(axis, axis) if isinstance(axis, str) else axis for axis in spec.shape)
        )

    inputs = tuple(map(fix, source.inputs))
    for spec in inputs:
        for axis, there in enumerate(spec.shape):
            if isinstance(there, str):
                met = f"{option} does not tell the size of axis {axis} of input '{spec.name}' ({there})"
                raise ConversionError(source.path, met, "Export it with that size fixed, or give no --size")
    return inputs, tuple(map(fix, source.outputs))


def _read_model(path: Path) -> tuple[ModelProto, str]:
    """The model with the weights beside it, and the hash of all of that."""
    if not path.is_file():
        met = "it is a folder, not a file" if path.is_dir() else "there is no such file"
        raise CheckpointError(path, met, "Check the path")
    try:
        data = path.read_bytes()
        model = onnx.load_model_from_string(data)
        digest, size = hashlib.sha256(data), len(data)
        files = sorted(_files_beside(model))
        for file in files:
            if not (path.parent / file).exists():
                raise CheckpointError(path, f"its weights' file '{file}' is missing", "Keep it beside the model")
        onnx.load_external_data_for_model(model, str(path.parent))  # which refuses files that are not beside it
        for file in files:
            beside = (path.parent / file).read_bytes()
            digest.update(beside)
            size += len(beside)
    except OSError as error:
        raise CheckpointError(
            path, f"it cannot be read ({error.strerror}: {error.filename})", "Check its permissions"
        ) from error
    except DecodeError as error:
        raise CheckpointError(path, "it is no ONNX model, or a damaged one", "Export or copy it again") from error
    except (ValueError, onnx.checker.ValidationError) as error:
        raise CheckpointError(path, f"its weights cannot be read ({_first_line(error)})", "Export it again") from error
    if size >= LARGEST:
        raise CheckpointError(path, f"it holds {size} bytes, and one ONNX file less than {LARGEST}", "Split the model")
    return model, digest.hexdigest()


def _files_beside(model: ModelProto) -> set[str]:
    tensors = [tensor for graph in list_graphs(model.graph) for tensor in _list_tensors(graph)]
    return {
        entry.value
        for tensor in tensors
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _list_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors


def _keep_sampling(model: ModelProto) -> None:
    """Say of each Resize what was the only way before opset 11; ONNX's converter leaves it to the later default.

    ONNX Runtime rounds down where an axis grows and up where it shrinks; the operator now has one way for all axes.
    """
    for graph in list_graphs(model.graph):
        scales = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Resize":
                factors = scales.get(node.input[2]) if len(node.input) > 2 else None
                shrinks = factors is not None and factors.dtype.kind == "f" and (factors <= 1).all()
                nearest = "ceil" if shrinks else "floor"
                before = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": nearest}
                said = {attribute.name for attribute in node.attribute}
                node.attribute.extend(
                    helper.make_attribute(name, way) for name, way in before.items() if name not in said
                )


def _lift_constants(graph: GraphProto) -> None:
    """Make weights of the Constant nodes that hold numbers: targets look for constants there."""
    kept = []
    for node in graph.node:
        value = _read_constant(node.attribute[0]) if node.op_type == "Constant" and node.attribute else None
        if value is None:
            kept.append(node)
        else:
            graph.initializer.add().CopyFrom(value)
            graph.initializer[-1].name = node.output[0]
    del graph.node[:]
    graph.node.extend(kept)


def _read_constant(attribute: AttributeProto) -> TensorProto | None:
    """Its value, None where that is no dense tensor of numbers."""
    if attribute.name == "value":
        return attribute.t
    types = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if attribute.name not in types:
        return None
    return numpy_helper.from_array(np.array(helper.get_attribute_value(attribute), types[attribute.name]))


def _list_inputs(model: ModelProto) -> list[ValueInfoProto]:
    """Those that are no weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


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
    for node in _list_nodes(model):
        if node.domain not in ONNX_DOMAINS and (node.domain, node.op_type) not in own:
            raise ConversionError(
                f"{path}, node '{node.name or ' '.join(node.output)}' ({node.op_type})",
                f"its domain is '{node.domain}'",
                "Export it with ONNX's own operators",
            )
    if any(graph.sparse_initializer for graph in list_graphs(model.graph)):
        raise ConversionError(path, "it holds sparse weights", "Export it with dense ones")


def _list_nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Those of branches, loop bodies and local functions too."""
    bodies = [GraphProto(node=function.node) for function in model.functions]
    for body in (model.graph, *bodies):
        for graph in list_graphs(body):
            yield from graph.node


def _read_spec(path: Path, value: ValueInfoProto, name: str) -> TensorSpec:
    where = f"{path}, '{value.name}'"
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or kind.elem_type in (TensorProto.UNDEFINED, TensorProto.STRING):
        raise ConversionError(where, "it is no tensor of numbers", "Export it with such")
    dtype = _read_dtype(kind.elem_type)
    if dtype is None:
        types = TensorProto.DataType
        known = types.Name(kind.elem_type) if kind.elem_type in types.values() else kind.elem_type
        raise ConversionError(where, f"its element type is {known}", "Export it with float32")
    if not kind.HasField("shape"):
        raise ConversionError(where, "its number of axes is not given", "Export it with shapes")
    shape = tuple(
        axis.dim_value if axis.dim_value > 0 else axis.dim_param or f"{name}_axis_{index}"
        for index, axis in enumerate(kind.shape.dim)
    )
    meaning = "" if name == value.name else f"'{value.name}' in {path.name}"
    return TensorSpec(name, shape, dtype, layout="", meaning=meaning)


def _read_dtype(element_type: int) -> str | None:
    """numpy's own name of an element type, None where numpy has none."""
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(element_type))
    except KeyError:
        return None
    return dtype.name if dtype.kind in KINDS and dtype.isbuiltin == 1 else None


def _write_shapes(model: ModelProto, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Leave only shapes that hold: those of the inputs, and of outputs that no node gives."""
    given = {name for node in model.graph.node for name in node.output}
    for value, spec in zip(model.graph.input, inputs, strict=True):
        _set_shape(value, spec.shape)
    for value, spec in zip(model.graph.output, outputs, strict=True):
        if value.name in given:
            value.type.tensor_type.ClearField("shape")
        else:
            _set_shape(value, spec.shape)
    for graph in list_graphs(model.graph):
        del graph.value_info[:]


def _set_shape(value: ValueInfoProto, shape: Sequence[int | str]) -> None:
    written = value.type.tensor_type.shape
    del written.dim[:]
    for size in shape:
        if isinstance(size, int):
            written.dim.add().dim_value = size
        else:
            written.dim.add().dim_param = size
    written.SetInParent()  # a scalar's shape, which has no axes, is one too


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
