"""An ONNX file that somebody made: read with its external weights, checked, and run unchanged."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from converters.errors import BundleError, CheckpointError, ConversionError
from converters.onnx_graph.nodes import ONNX_DOMAINS, read_opset
from converters.onnx_graph.plain_names import plain_names
from converters.onnx_graph.traversal import list_graphs
from converters.runners import OnnxRunner
from converters.sources.old_opset import RUNTIME_OPSET, raise_opset
from converters.sources.onnx_errors import first_line
from converters.sources.onnx_reference import run_float32, run_float64
from converters.sources.training_mode import find_training_node
from converters.tensors import Array, Tensors, TensorSpec, find_repeated

SUFFIX = ".onnx"
MIN_OPSET, MAX_OPSET = 6, 23
# Of an input or output: arrays of NumPy 1 have no more.
MAX_AXES = 32
# numpy's kind codes of the element types that every step of a conversion handles: floats, integers, booleans.
NUMERIC_KINDS = "fiub"
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
# A bundle's ONNX file is one protobuf message, which must be smaller than this.
MAX_PROTOBUF_BYTES = 2**31


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file, read with its external weights.

    Attributes:
        path: The file.
        sha256: Hash of the file's bytes, followed by those of its external data files, in hex.
        model: The file's graph, unchanged, with external weights loaded into it.
        inputs: The file's inputs without the initializers, under names that every target accepts.
        outputs: The file's outputs, under names that every target accepts.
        renamed: For each input or output whose name was changed: the new name to the name in the file.
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
        """The file's stem as a folder name: unsuitable characters become `_`; "model" if only dots are left."""
        name = "".join(char if char.isprintable() and char != "\\" else "_" for char in self.path.stem)
        return name if name.strip(".") else "model"

    def computes_in(self, elem_type: int) -> bool:
        """Whether an input or an initializer is of this element type of ONNX."""
        graph = self.model.graph
        types = {tensor.data_type for tensor in graph.initializer}
        return elem_type in types | {value.type.tensor_type.elem_type for value in graph.input}

    def find_nan(self) -> str | None:
        """The name of an initializer that holds NaN, if there is one."""
        floats = (tensor for tensor in self.model.graph.initializer if tensor.data_type in FLOATS)
        return next((tensor.name for tensor in floats if np.isnan(numpy_helper.to_array(tensor)).any()), None)

    @property
    def opset(self) -> int:
        return read_opset(self.model)

    @property
    def opset_run(self) -> int:
        """The opset of what `run` runs: the file's own, or RUNTIME_OPSET where ONNX Runtime does not load the file."""
        return self._opened[1]

    @property
    def runner(self) -> OnnxRunner:
        """ONNX Runtime on the untouched file, whose inputs and outputs have the file's names.

        A file of an older opset than RUNTIME_OPSET that it does not load is brought there.

        Raises:
            CheckpointError: ONNX Runtime does not load it.
            ConversionError: it is of an older opset and cannot be brought to RUNTIME_OPSET.
        """
        return self._opened[0]

    @cached_property
    def _opened(self) -> tuple[OnnxRunner, int]:
        """What `run` runs, and its opset."""
        inputs, outputs = (
            tuple(replace(spec, name=self._name_in_file(spec.name)) for spec in specs)
            for specs in (self.inputs, self.outputs)
        )
        try:
            return OnnxRunner(self.path, inputs, outputs), self.opset
        except BundleError as error:
            refused = error
        try:
            if self.opset < RUNTIME_OPSET:
                raised = raise_opset(self.path, self.model, refused.met).SerializeToString()
                return OnnxRunner(raised, inputs, outputs), RUNTIME_OPSET
        except BundleError as error:
            met = f"{refused.met}, nor at opset {RUNTIME_OPSET}, to which ONNX's converter brings it"
            raise CheckpointError(self.path, met, "Export it again") from error
        untaught = "Could not find an implementation" in refused.met and self.computes_in(TensorProto.DOUBLE)
        remedy = "Export it in float32" if untaught else "Export it again"
        raise CheckpointError(self.path, refused.met, remedy) from refused

    def run(self, feeds: Tensors) -> dict[str, Array]:
        """Compute the outputs in ONNX Runtime; see `runner`.

        Raises:
            FeedError, UnrunnableError: ONNX Runtime refuses these inputs.
        """
        return self._pick_outputs(self.runner.run(self._rename_feeds(feeds)))

    def run_float32(self, feeds: Tensors) -> dict[str, Array] | None:
        """Compute the untouched file's outputs with onnx's reference implementation; None if that cannot run it."""
        results = run_float32(self.model, self._rename_feeds(feeds))
        return None if results is None else self._pick_outputs(results)

    def run_float64(self, feeds: Tensors) -> dict[str, Array] | None:
        """Compute the outputs in float64 with onnx's reference implementation; None if that cannot run the file."""
        results = run_float64(self.model, self._rename_feeds(feeds))
        return None if results is None else self._pick_outputs(results)

    def _name_in_file(self, name: str) -> str:
        return self.renamed.get(name, name)

    def _rename_feeds(self, feeds: Tensors) -> dict[str, Array]:
        return {self._name_in_file(name): array for name, array in feeds.items()}

    def _pick_outputs(self, results: Tensors) -> dict[str, Array]:
        return {spec.name: results[self._name_in_file(spec.name)] for spec in self.outputs}


def read_onnx(path: Path) -> OnnxFile:
    """Read an ONNX file of opset 6 to 23 and its external weights.

    Raises:
        CheckpointError: the file is missing, damaged, too large, or not an ONNX model.
        ConversionError: no target accepts the model: its opset, an operator's domain, sparse weights, or an input or
            output that is not a tensor of numbers with a known rank.
    """
    model, sha256 = _read_model(path)
    _require_arrays(path, model)
    _require_convertible(path, model)
    inputs = list_inputs(model)
    if not inputs:
        raise ConversionError(path, "it has no inputs", "Export it with what it computes from as inputs")
    values = [*inputs, *model.graph.output]
    for side in (inputs, model.graph.output):
        repeated = find_repeated(value.name for value in side)
        if repeated is not None:
            raise ConversionError(path, f"two of its inputs or outputs are called '{repeated}'", "Rename one")
    plain = plain_names(value.name for value in values)
    specs = [_read_spec(path, value, plain[value.name]) for value in values]
    renamed = {new: old for old, new in plain.items() if new != old}
    return OnnxFile(path, sha256, model, tuple(specs[: len(inputs)]), tuple(specs[len(inputs) :]), renamed)


def list_inputs(model: ModelProto) -> list[ValueInfoProto]:
    """The graph's inputs that are not initializers."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def parse_onnx(path: Path) -> tuple[ModelProto, bytes]:
    """Parse an ONNX file without its external weights.

    Returns:
        The model, and the file's bytes.

    Raises:
        CheckpointError: the file is missing, damaged or empty.
    """
    if not path.is_file():
        met = "it is a folder, not a file" if path.is_dir() else "there is no such file"
        raise CheckpointError(path, met, "Check the path")
    try:
        _require_small(path, path.stat().st_size)
        data = path.read_bytes()
        model = onnx.load_model_from_string(data)
    except OSError as error:
        raise CheckpointError(path, f"it cannot be read ({error.strerror})", "Check its permissions") from error
    except DecodeError as error:
        raise CheckpointError(path, "it is no ONNX model, or a damaged one", "Export or copy it again") from error
    _require_text(path, model)
    if not model.ir_version or not model.graph.node:
        raise CheckpointError(path, "it is no ONNX model, or an empty one", "Export or copy it again")
    return model, data


def _read_model(path: Path) -> tuple[ModelProto, str]:
    """The model with its external weights, and the SHA-256 of the file and its external data files, in hex."""
    model, data = parse_onnx(path)
    try:
        digest, files = hashlib.sha256(data), _list_external_files(model)
        for file in files:
            if not (path.parent / file).exists():
                raise CheckpointError(path, f"its weights' file '{file}' is missing", "Keep it beside the model")
        _require_small(path, len(data) + sum((path.parent / file).stat().st_size for file in files))
        _require_small(path, len(data) + sum(map(_count_external_bytes, _list_external_tensors(model))))
        onnx.load_external_data_for_model(model, str(path.parent))  # refuses files outside the model's folder
        for file in files:
            digest.update((path.parent / file).read_bytes())
    except OSError as error:
        raise CheckpointError(
            path, f"it cannot be read ({error.strerror}: {error.filename})", "Check its permissions"
        ) from error
    except (ValueError, KeyError, onnx.checker.ValidationError) as error:
        raise CheckpointError(path, f"its weights cannot be read ({first_line(error)})", "Export it again") from error
    return model, digest.hexdigest()


def _require_small(path: Path, size: int) -> None:
    """Refuse a file that could not become one protobuf message, before its bytes are read."""
    if size >= MAX_PROTOBUF_BYTES:
        raise CheckpointError(
            path, f"it holds {size} bytes, and one ONNX file less than {MAX_PROTOBUF_BYTES}", "Split the model"
        )


def _require_text(path: Path, message: Message) -> None:
    """Refuse string fields, at any depth, that are not UTF-8: protobuf gives them as bytes instead of failing."""
    for field_type, value in message.ListFields():
        values = (value,) if isinstance(value, str | bytes | Message) else value
        if field_type.message_type is not None:
            for inner in values:
                _require_text(path, inner)
        elif field_type.type == field_type.TYPE_STRING:
            for text in values:
                if isinstance(text, bytes):
                    raise CheckpointError(path, f"a name in it, {text!r}, is not UTF-8", "Export or copy it again")


def _require_arrays(path: Path, model: ModelProto) -> None:
    """Refuse weights whose values do not make an array of their shape and type."""
    for graph in list_graphs(model.graph):
        for tensor in _list_tensors(graph):
            if len(tensor.dims) > MAX_AXES:
                met = f"its weight '{tensor.name}' has {len(tensor.dims)} axes, known are {MAX_AXES}"
                raise CheckpointError(path, met, "Reshape it")
            if any(size < 0 for size in tensor.dims):
                met = f"its weight '{tensor.name}' is damaged (of shape {list(tensor.dims)})"
                raise CheckpointError(path, met, "Export or copy it again")
            try:
                numpy_helper.to_array(tensor)
            except (ValueError, TypeError, KeyError, OverflowError, UnicodeDecodeError) as error:
                met = f"its weight '{tensor.name}' is damaged ({first_line(error)})"
                raise CheckpointError(path, met, "Export or copy it again") from error


def _list_external_files(model: ModelProto) -> list[str]:
    """The external data files of the model's tensors, relative to the model's folder, sorted."""
    entries = [entry for tensor in _list_external_tensors(model) for entry in tensor.external_data]
    return sorted({entry.value for entry in entries if entry.key == "location"})


def _list_external_tensors(model: ModelProto) -> list[TensorProto]:
    """Tensors whose values lie in another file; several may share them."""
    tensors = (tensor for graph in list_graphs(model.graph) for tensor in _list_tensors(graph))
    return [tensor for tensor in tensors if tensor.data_location == TensorProto.EXTERNAL]


def _count_external_bytes(tensor: TensorProto) -> int:
    """How many bytes of the other file it takes, by its own word or else by its shape."""
    lengths = [int(entry.value) for entry in tensor.external_data if entry.key == "length" and entry.value.isdecimal()]
    return (
        lengths[0] if lengths else math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    )


def _list_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """The initializers, and the tensors in attributes of nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors) if attribute.HasField("t") else attribute.tensors


def _require_convertible(path: Path, model: ModelProto) -> None:
    """Refuse another opset, operators that neither ONNX nor the file defines, training mode, and sparse weights."""
    opset = read_opset(model)
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise ConversionError(
            path, f"its opset is {opset or 'not given'}", f"Export it at an opset from {MIN_OPSET} to {MAX_OPSET}"
        )
    functions = {(function.domain, function.name) for function in model.functions}
    for node in _list_nodes(model):
        if node.domain not in ONNX_DOMAINS and (node.domain, node.op_type) not in functions:
            raise ConversionError(
                f"{path}, node '{node.name or ' '.join(node.output)}' ({node.op_type})",
                f"its domain is '{node.domain}'",
                "Export it with ONNX's own operators",
            )
    trained = find_training_node(model)
    if trained is not None:
        raise ConversionError(
            f"{path}, node '{trained.name or ' '.join(trained.output)}' ({trained.op_type})",
            "it is in training mode",
            "Export the model for inference, after model.eval()",
        )
    if any(graph.sparse_initializer for graph in list_graphs(model.graph)):
        raise ConversionError(path, "it holds sparse weights", "Export it with dense ones")


def _list_nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Every node, also those in branches, loop bodies and local functions."""
    bodies = [GraphProto(node=function.node) for function in model.functions]
    for body in (model.graph, *bodies):
        for graph in list_graphs(body):
            yield from graph.node


def _read_spec(path: Path, value: ValueInfoProto, name: str) -> TensorSpec:
    """The contract of an input or output that is called `name`; an axis without size or name gets a name of its own.

    Raises:
        ConversionError: it is not a tensor of numbers, or its rank is not known.
    """
    where = f"{path}, '{value.name}'"
    tensor_type = value.type.tensor_type
    element_type = tensor_type.elem_type
    if not value.type.HasField("tensor_type") or element_type in (TensorProto.UNDEFINED, TensorProto.STRING):
        raise ConversionError(where, "it is no tensor of numbers", "Export it with such")
    dtype = _read_dtype(element_type)
    if dtype is None:
        types = TensorProto.DataType
        type_name = types.Name(element_type) if element_type in types.values() else element_type
        raise ConversionError(where, f"its element type is {type_name}", "Export it with float32")
    if len(tensor_type.shape.dim) > MAX_AXES:
        raise ConversionError(where, f"it has {len(tensor_type.shape.dim)} axes, known are {MAX_AXES}", "Reshape it")
    if not tensor_type.HasField("shape"):
        raise ConversionError(where, "its number of axes is not given", "Export it with shapes")
    shape = tuple(
        axis.dim_value if axis.dim_value > 0 else axis.dim_param or f"{name}_axis_{index}"
        for index, axis in enumerate(tensor_type.shape.dim)
    )
    meaning = "" if name == value.name else f"'{value.name}' in {path.name}"
    return TensorSpec(name, shape, dtype, layout="", meaning=meaning)


def _read_dtype(element_type: int) -> str | None:
    """numpy's name of an ONNX element type; None if plain numpy lacks the type, as it does bfloat16."""
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(element_type))
    except KeyError:
        return None
    return dtype.name if dtype.kind in NUMERIC_KINDS and dtype.isbuiltin == 1 else None
