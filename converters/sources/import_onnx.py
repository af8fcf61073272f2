"""Turn any ONNX file into the waist: the graph of one opset, with plain names, that every target starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import onnx.inliner
import onnx.version_converter
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from converters.errors import ConversionError
from converters.onnx_graph.clean import strip_metadata
from converters.onnx_graph.nodes import WAIST_OPSET, read_opset
from converters.onnx_graph.plain_names import rename
from converters.onnx_graph.traversal import list_graphs
from converters.sources.onnx_file import OnnxFile, first_line, list_inputs
from converters.tensors import Array, TensorSpec

# What onnx's C++ functions raise for a model that they refuse.
ONNX_ERRORS = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    onnx.version_converter.ConvertError,
    RuntimeError,
    ValueError,
    IndexError,
)


def build_waist(source: OnnxFile, size: tuple[int, int] | None = None) -> ModelProto:
    """The file's graph at opset 18, its inputs and outputs under their plain names.

    Args:
        source: The file.
        size: (H, W) for static shapes, as `fix_sizes` sets them.

    Raises:
        ConversionError: onnx's version converter, shape inference or checker refuses the graph, or the inputs do not
            fit `size`.
    """
    inputs, outputs = fix_sizes(source, size)
    model = strip_metadata(source.model)
    inputs_without_weights = list_inputs(model)
    del model.graph.input[:]
    model.graph.input.extend(inputs_without_weights)
    model.ir_version = max(model.ir_version, 4)  # up to IR 3 weights had to be inputs too
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model, convert_version=True)
        if read_opset(model) != WAIST_OPSET:
            model = onnx.version_converter.convert_version(model, WAIST_OPSET)
    except ONNX_ERRORS as error:
        raise ConversionError(
            source.path,
            f"ONNX's converter does not bring it from opset {read_opset(model)} to {WAIST_OPSET} ({first_line(error)})",
            f"Export it at opset {WAIST_OPSET}",
        ) from error
    for graph in list_graphs(model.graph):
        _lift_constants(graph)
    if read_opset(source.model) < 11:
        _keep_resize_modes(model.graph)
    opset = helper.make_opsetid("", WAIST_OPSET)
    del model.opset_import[:]
    model.opset_import.append(opset)
    rename(model, {old: new for new, old in source.renamed.items()})
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"  # error messages name the node
    _write_shapes(model, inputs, outputs)
    try:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        for value, spec in zip(model.graph.output, outputs, strict=True):
            if not value.type.tensor_type.HasField("shape"):  # the checker requires a shape, also of unknown rank
                _set_shape(value, spec.shape)
        onnx.checker.check_model(model, full_check=True)
    except ONNX_ERRORS as error:
        raise ConversionError(
            source.path, f"onnx's checker refuses it ({first_line(error)})", "Export it again"
        ) from error
    return model


def fix_sizes(source: OnnxFile, size: tuple[int, int] | None) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The file's inputs and outputs with static shapes.

    A free first axis becomes 1; the last two of four axes become (H, W). An axis name gets the same size everywhere.

    Args:
        source: The file.
        size: (H, W); None leaves all shapes as the file gives them.

    Returns:
        Inputs and outputs.

    Raises:
        ConversionError: an input is fixed to another size, or has a free axis that none of these rules fixes.
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
            found = spec.shape[axis] if axis < len(spec.shape) else length
            if isinstance(found, str):
                found = fixed.setdefault(found, length)
            if found != length and axis:
                met = f"axis {axis} of input '{spec.name}' is {found}"
                raise ConversionError(source.path, f"{met}, and {option} was asked for", "Give another or no --size")

    def fix(spec: TensorSpec) -> TensorSpec:
        return replace(
            spec, shape=tuple(fixed.get(axis, axis) if isinstance(axis, str) else axis for axis in spec.shape)
        )

    inputs = tuple(map(fix, source.inputs))
    for spec in inputs:
        for axis, side in enumerate(spec.shape):
            if isinstance(side, str):
                met = f"{option} does not tell the size of axis {axis} of input '{spec.name}' ({side})"
                raise ConversionError(source.path, met, "Export it with that size fixed, or give no --size")
    return inputs, tuple(map(fix, source.outputs))


def _keep_resize_modes(graph: GraphProto) -> None:
    """Give every Resize the attributes that stand for what it computes before opset 11.

    onnx's version converter leaves these attributes to their later defaults, which mean something else. Before opset
    11 no attribute chooses the rounding: ONNX Runtime rounds down where an axis grows and up where it shrinks. The
    later operator rounds all axes in the same way.
    """
    scales: dict[str, Array] = {}
    for part in list_graphs(graph):  # a subgraph comes after the graph around it, whose scales it may read
        scales |= {tensor.name: numpy_helper.to_array(tensor) for tensor in part.initializer}
        for node in part.node:
            if node.op_type == "Resize":
                factors = scales.get(node.input[2]) if len(node.input) > 2 else None
                shrinks = factors is not None and factors.dtype.kind == "f" and (factors <= 1).all()
                nearest = "ceil" if shrinks else "floor"
                modes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": nearest}
                present = {attribute.name for attribute in node.attribute}
                node.attribute.extend(
                    helper.make_attribute(name, mode) for name, mode in modes.items() if name not in present
                )


def _lift_constants(graph: GraphProto) -> None:
    """Replace the graph's Constant nodes that hold numbers by initializers, where targets look for constants."""
    values = {index: value for index, node in enumerate(graph.node) if (value := _read_constant(node)) is not None}
    for index, value in values.items():
        graph.initializer.add().CopyFrom(value)
        graph.initializer[-1].name = graph.node[index].output[0]
    for index in reversed(values):
        del graph.node[index]


def _read_constant(node: NodeProto) -> TensorProto | None:
    """The value of a Constant node; None for another node, or if the value is not a dense tensor of numbers."""
    if node.op_type != "Constant" or not node.attribute:
        return None
    attribute = node.attribute[0]
    if attribute.name == "value":
        tensor: TensorProto = attribute.t
        return tensor
    types = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if attribute.name not in types:
        return None
    return numpy_helper.from_array(np.array(helper.get_attribute_value(attribute), types[attribute.name]))


def _write_shapes(model: ModelProto, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Write the shapes of the inputs, and of outputs that no node computes, and delete every other shape.

    The file's other shapes may be wrong; shape inference finds the right ones.
    """
    computed = {name for node in model.graph.node for name in node.output}
    for value, spec in zip(model.graph.input, inputs, strict=True):
        _set_shape(value, spec.shape)
    for value, spec in zip(model.graph.output, outputs, strict=True):
        if value.name in computed:
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
    written.SetInParent()  # a scalar has a shape, without axes
