"""Operators that ONNX defines by others, written so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx
import onnx.inliner
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper
from onnx.defs import OpSchema

from converters.onnx_graph.shapes import INVENTED, Shape, TensorType, read_types
from converters.tensors import Array


def inline_local_functions(model: ModelProto) -> ModelProto:
    """The model without functions of its own."""
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def expand_function(
    model: ModelProto, node: NodeProto, inputs: Sequence[ValueInfoProto], constants: Mapping[str, Array]
) -> tuple[list[NodeProto], dict[str, TensorType]] | None:
    """The nodes that an operator stands for, and the types of what they give; None if ONNX has no such definition.

    Args:
        model: Names the opset.
        inputs: Types of the node's inputs.
        constants: Those that are known.
    """
    schema = _find_schema(model, node)
    if schema is None or not (schema.has_function or schema.has_context_dependent_function):  # type: ignore[attr-defined]
        return None
    graph = helper.make_graph(
        [_state_defaults(model, node)],
        "function",
        [given for given in inputs if given.name not in constants],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
        value_info=[given for given in inputs if given.name in constants],
    )
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    function = [(node.domain, node.op_type)]
    try:
        body = onnx.inliner.inline_selected_functions(alone, function, inline_schema_functions=True)
    except RuntimeError:
        return None  # it depends on the types, and these do not do
    prefix = f"{next(name for name in node.output if name)}_"
    _rename(body, prefix, {*node.input, *node.output, ""})
    if any(inner.op_type == node.op_type and inner.domain == node.domain for inner in body.graph.node):
        return None
    return list(body.graph.node), {
        name: replace(kind, shape=_rename_sizes(kind.shape, inputs, prefix)) for name, kind in read_types(body).items()
    }


def expand_branch(
    model: ModelProto, branch: GraphProto, inputs: Sequence[ValueInfoProto], constants: Mapping[str, Array]
) -> dict[str, TensorType]:
    """The types of what the nodes of an If's branch give; arguments as of `expand_function`."""
    graph = helper.make_graph(
        list(branch.node),
        "branch",
        [given for given in inputs if given.name not in constants],
        [helper.make_empty_tensor_value_info(value.name) for value in branch.output],
        [*branch.initializer, *(numpy_helper.from_array(array, name) for name, array in constants.items())],
    )
    return read_types(helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version))


def _find_schema(model: ModelProto, node: NodeProto) -> OpSchema | None:
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    try:
        return onnx.defs.get_schema(node.op_type, opset)
    except onnx.defs.SchemaError:
        return None


def _state_defaults(model: ModelProto, node: NodeProto) -> NodeProto:
    """A copy with every attribute that has a default: the inliner leaves out what the node leaves out."""
    schema = _find_schema(model, node)
    assert schema is not None
    stated = NodeProto()
    stated.CopyFrom(node)
    given = {attribute.name for attribute in node.attribute}
    for name, attribute in schema.attributes.items():
        if name not in given and attribute.default_value.name:
            stated.attribute.append(attribute.default_value)
    return stated


def _rename_sizes(shape: Shape | None, inputs: Sequence[ValueInfoProto], prefix: str) -> Shape | None:
    """The shape; a size that inference made up is told from those of other graphs."""
    given = {axis.dim_param for value in inputs for axis in value.type.tensor_type.shape.dim}
    if shape is None:
        return None
    return tuple(
        f"{INVENTED}{prefix}{size}" if str(size).startswith(INVENTED) and size not in given else size for size in shape
    )


def _rename(model: ModelProto, prefix: str, kept: set[str]) -> None:
    """Put the prefix before each tensor's name that the node itself does not have, subgraphs' too."""
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        for node in graph.node:
            for names in (node.input, node.output):
                names[:] = [name if name in kept else prefix + name for name in names]
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    graphs.append(attribute.g)
        for value in [*graph.value_info, *([] if graph is model.graph else [*graph.input, *graph.output])]:
            value.name = value.name if value.name in kept else prefix + value.name
