"""Turn an ONNX file into a graph of opset 18 with names that every target accepts."""

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
from converters.sources.onnx_errors import ONNX_ERRORS, first_line
from converters.sources.onnx_file import OnnxFile, list_inputs
from converters.tensors import Array, TensorSpec


def build_waist(file: OnnxFile, size: tuple[int, int] | None = None) -> ModelProto:
    """The file's graph at opset 18, with the input and output names of `file.inputs` and `file.outputs`.

    Args:
        file: The ONNX file.
        size: (H, W) for static shapes, as `fix_sizes` sets them.

    Raises:
        ConversionError: onnx's version converter, shape inference or checker refuses the graph, or the inputs do not
            fit `size`.
    """
    inputs, outputs = fix_sizes(file, size)
    model = strip_metadata(file.model)
    inputs_without_weights = list_inputs(model)
    del model.graph.input[:]
    model.graph.input.extend(inputs_without_weights)
    model.ir_version = max(model.ir_version, 4)  # up to IR 3, every initializer had to be an input too
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model, convert_version=True)
        if read_opset(model) != WAIST_OPSET:
            model = onnx.version_converter.convert_version(model, WAIST_OPSET)
    except ONNX_ERRORS as error:
        raise ConversionError(
            file.path,
            f"ONNX's converter does not bring it from opset {read_opset(model)} to {WAIST_OPSET} ({first_line(error)})",
            f"Export it at opset {WAIST_OPSET}",
        ) from error
    for graph in list_graphs(model.graph):
        _lift_constants(graph)
    if read_opset(file.model) < 11:
        _keep_resize_modes(model.graph)
    opset = helper.make_opsetid("", WAIST_OPSET)
    del model.opset_import[:]
    model.opset_import.append(opset)
    rename(model, {old: new for new, old in file.renamed.items()})
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
            file.path, f"onnx's checker refuses it ({first_line(error)})", "Export it again"
        ) from error
    return model


def fix_sizes(file: OnnxFile, size: tuple[int, int] | None) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The file's inputs and outputs with static shapes.

    A free first axis becomes 1; the last two of four axes become (H, W). Axes of the same name get the same size.

    Args:
        file: The ONNX file.
        size: (H, W); None leaves all shapes as the file gives them.

    Returns:
        Inputs and outputs.

    Raises:
        ConversionError: no input has four axes, an input's H or W is another than `size` says, or an axis stays free.
    """
    if size is None:
        return file.inputs, file.outputs
    option = f"--size {size[0]}x{size[1]}"
    if all(len(spec.shape) != 4 for spec in file.inputs):
        raise ConversionError(file.path, f"{option} was asked for, and no input has four axes", "Leave out --size")
    sizes: dict[str, int] = {}
    for spec in file.inputs:
        wanted = {0: 1, 2: size[0], 3: size[1]} if len(spec.shape) == 4 else {0: 1}
        for index, axis in enumerate(spec.shape):
            if index not in wanted:
                continue
            length = sizes.setdefault(axis, wanted[index]) if isinstance(axis, str) else axis
            if length != wanted[index] and index > 0:  # a file may fix its batch size
                met = f"axis {index} of input '{spec.name}' is {length}"
                raise ConversionError(file.path, f"{met}, and {option} was asked for", "Give another or no --size")

    def fix(spec: TensorSpec) -> TensorSpec:
        return replace(
            spec, shape=tuple(sizes.get(axis, axis) if isinstance(axis, str) else axis for axis in spec.shape)
        )

    inputs = tuple(map(fix, file.inputs))
    for spec in inputs:
        for index, axis in enumerate(spec.shape):
            if isinstance(axis, str):
                met = f"{option} does not tell the size of axis {index} of input '{spec.name}' ({axis})"
                raise ConversionError(file.path, met, "Export it with that size fixed, or give no --size")
    return inputs, tuple(map(fix, file.outputs))


def _keep_resize_modes(graph: GraphProto) -> None:
    """Give every Resize explicit modes that describe what the operator computes before opset 11.

    onnx's version converter leaves the modes to the defaults of opset 11, which mean something else. Before opset 11
    no attribute chooses the rounding: ONNX Runtime rounds down along an axis that grows and up along one that shrinks.
    The newer operator rounds all axes alike: up if no scale exceeds 1, else down.
    """
    scales: dict[str, Array] = {}
    for part in list_graphs(graph):  # a subgraph follows the graph around it, whose initializers it may read
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
    """Turn Constant nodes that hold numbers into initializers: targets read constants only from there."""
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
    """Set the shapes of inputs, and of outputs that no node computes; delete all other shapes.

    A file may state wrong shapes for its other tensors; shape inference finds the right ones.
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
    proto = value.type.tensor_type.shape
    del proto.dim[:]
    for axis in shape:
        if isinstance(axis, int):
            proto.dim.add().dim_value = axis
        else:
            proto.dim.add().dim_param = axis
    proto.SetInParent()  # makes the shape present even if it has no axes, as for a scalar
