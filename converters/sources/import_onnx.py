"""From any ONNX file to the waist: one opset, plain names, weights inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import onnx.inliner
import onnx.version_converter
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from converters.errors import ConversionError
from converters.onnx_graph.plain_names import list_graphs, rename
from converters.onnx_graph.simplify import strip_metadata
from converters.sources.onnx_file import OnnxFile, first_line, list_inputs, read_opset
from converters.tensors import TensorSpec

OPSET = 18
# What onnx's C++ side raises, besides errors of Python's own.
REFUSALS = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    onnx.version_converter.ConvertError,
    RuntimeError,
    ValueError,
    IndexError,
)


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
    given = list_inputs(model)
    del model.graph.input[:]
    model.graph.input.extend(given)  # weights were inputs too, up to IR 3
    model.ir_version = max(model.ir_version, 4)
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model, convert_version=True)
        if read_opset(model) != OPSET:
            model = onnx.version_converter.convert_version(model, OPSET)
    except REFUSALS as error:
        raise ConversionError(
            source.path,
            f"ONNX's converter does not bring it from opset {read_opset(model)} to {OPSET} ({first_line(error)})",
            f"Export it at opset {OPSET}",
        ) from error
    _lift_constants(model.graph)
    if read_opset(source.model) < 11:
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
            source.path, f"onnx's checker refuses it ({first_line(error)})", "Export it again"
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
