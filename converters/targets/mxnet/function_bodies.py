"""Replaces nodes by other ONNX nodes: model-local functions, operators that ONNX defines as functions, If branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx
import onnx.inliner
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.defs import OpSchema

from converters.onnx_graph.shapes import INVENTED, Shape, TensorType, read_types
from converters.tensors import Array


def inline_local_functions(model: ModelProto) -> ModelProto:
    """The model with each call of a model-local function replaced by the function's nodes."""
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def expand_function(
    model: ModelProto, node: NodeProto, inputs: Sequence[ValueInfoProto], constants: Mapping[str, Array]
) -> tuple[list[NodeProto], dict[str, TensorType]] | None:
    """The nodes that compute an operator which ONNX defines as a function, and the types of their outputs.

    Names of the new tensors begin with the name of the node's first output.

    Args:
        model: The node's model, which determines the opset.
        inputs: Name, element type and shape of each input of the node.
        constants: Arrays of the inputs that are constants, by name.

    Returns:
        Nodes and types, or None if ONNX has no function for this operator and these inputs.
    """
    schema = _find_schema(model, node)
    if schema is None or not (schema.has_function or schema.has_context_dependent_function):  # type: ignore[attr-defined]
        return None
    outputs = [name for name in node.output if name]
    alone = _make_model(model, [_state_defaults(model, node)], inputs, constants, outputs)
    function = [(node.domain, node.op_type)]
    try:
        body = onnx.inliner.inline_selected_functions(alone, function, inline_schema_functions=True)
    except RuntimeError:
        return None  # the function depends on the input types, and ONNX defines none for these
    prefix = f"{outputs[0]}_"
    _prefix_names(body, prefix, {*node.input, *node.output, ""})
    if any(inner.op_type == node.op_type and inner.domain == node.domain for inner in body.graph.node):
        return None
    return list(body.graph.node), {
        name: replace(kind, shape=_rename_sizes(kind.shape, inputs, prefix)) for name, kind in read_types(body).items()
    }


def expand_branch(
    model: ModelProto, branch: GraphProto, inputs: Sequence[ValueInfoProto], constants: Mapping[str, Array]
) -> dict[str, TensorType]:
    """The types of the tensors in a branch of an If.

    Args:
        model: The model of the If, which determines the opset.
        branch: The branch.
        inputs: Name, element type and shape of the tensors of the outer graph that the branch reads.
        constants: Arrays of the constants among them, by name.
    """
    outputs = [value.name for value in branch.output]
    return read_types(_make_model(model, branch.node, inputs, constants, outputs, branch.initializer))


def _make_model(
    model: ModelProto,
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    constants: Mapping[str, Array],
    outputs: Sequence[str],
    initializers: Sequence[TensorProto] = (),
) -> ModelProto:
    """A model of these nodes alone, with the opset of `model`; constants become initializers, not inputs."""
    graph = helper.make_graph(
        nodes,
        "nodes",
        [given for given in inputs if given.name not in constants],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [*initializers, *(numpy_helper.from_array(array, name) for name, array in constants.items())],
        value_info=[given for given in inputs if given.name in constants],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _find_schema(model: ModelProto, node: NodeProto) -> OpSchema | None:
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    try:
        return onnx.defs.get_schema(node.op_type, opset)
    except onnx.defs.SchemaError:
        return None


def _state_defaults(model: ModelProto, node: NodeProto) -> NodeProto:
    """A copy that states every attribute which has a default: the inliner does not fill defaults in."""
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
    """The shape, with a prefix before each size name that shape inference invented.

    Inference numbers such names anew in each graph, so that equal names of two graphs need not be equal sizes.
    """
    given = {axis.dim_param for value in inputs for axis in value.type.tensor_type.shape.dim}
    if shape is None:
        return None
    return tuple(
        f"{INVENTED}{prefix}{size}" if str(size).startswith(INVENTED) and size not in given else size for size in shape
    )


def _prefix_names(model: ModelProto, prefix: str, kept: set[str]) -> None:
    """Put the prefix before the name of every tensor that is not in `kept`, in subgraphs too."""
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
