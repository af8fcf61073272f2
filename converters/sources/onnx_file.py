"""An ONNX file that somebody made: read whole, checked, and run as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from converters.errors import BundleError, CheckpointError, ConversionError
from converters.onnx_graph.nodes import ONNX_DOMAINS, read_opset
from converters.onnx_graph.plain_names import plain_names
from converters.onnx_graph.traversal import list_graphs
from converters.runners import OnnxRunner
from converters.sources.onnx_float64 import run_float64
from converters.tensors import Array, Tensors, TensorSpec

SUFFIX = ".onnx"
OLDEST_OPSET, NEWEST_OPSET = 9, 23
# numpy's kinds of element types that every step here handles: floats, integers, truth values.
KINDS = "fiub"
# A protobuf message is smaller than this, in bytes, and a bundle's ONNX file is one.
MAX_PROTOBUF_BYTES = 2**31


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

    @property
    def computes_in_float16(self) -> bool:
        """Whether an input or a weight is of that type."""
        types = {tensor.data_type for tensor in self.model.graph.initializer}
        return TensorProto.FLOAT16 in types or any(spec.dtype == "float16" for spec in self.inputs)

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
    _require_known(path, model)
    given = list_inputs(model)
    if not given:
        raise ConversionError(path, "it has no inputs", "Export it with what it computes from as inputs")
    ends = [*given, *model.graph.output]
    plain = plain_names(value.name for value in ends)
    specs = [_read_spec(path, value, plain[value.name]) for value in ends]
    renamed = {new: old for old, new in plain.items() if new != old}
    return OnnxFile(path, sha256, model, tuple(specs[: len(given)]), tuple(specs[len(given) :]), renamed)


def list_inputs(model: ModelProto) -> list[ValueInfoProto]:
    """A model's inputs that are no weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def first_line(error: Exception) -> str:
    """Of its message; its type's name where it has none."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


def parse_onnx(path: Path) -> tuple[ModelProto, bytes]:
    """A file's model, weights beside it left there, and the file's bytes.

    Raises:
        CheckpointError: the file is missing, damaged or empty.
    """
    if not path.is_file():
        met = "it is a folder, not a file" if path.is_dir() else "there is no such file"
        raise CheckpointError(path, met, "Check the path")
    try:
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
    """The model with the weights beside it, and the hash of all of that."""
    model, data = parse_onnx(path)
    try:
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
    except (ValueError, onnx.checker.ValidationError) as error:
        raise CheckpointError(path, f"its weights cannot be read ({first_line(error)})", "Export it again") from error
    if size >= MAX_PROTOBUF_BYTES:
        raise CheckpointError(
            path, f"it holds {size} bytes, and one ONNX file less than {MAX_PROTOBUF_BYTES}", "Split the model"
        )
    return model, digest.hexdigest()


def _require_text(path: Path, message: Message) -> None:
    """Refuse names and words that are no text: they come as bytes."""
    for kind, value in message.ListFields():
        values = (value,) if isinstance(value, str | bytes | Message) else value
        if kind.message_type is not None:
            for inner in values:
                _require_text(path, inner)
        elif kind.type == kind.TYPE_STRING:
            for text in values:
                if isinstance(text, bytes):
                    raise CheckpointError(path, f"a name in it, {text!r}, is not UTF-8", "Export or copy it again")


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


def _require_known(path: Path, model: ModelProto) -> None:
    opset = read_opset(model)
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
