"""Read an ONNX graph's opset, nodes and constants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from converters.errors import UnsupportedOpError
from converters.tensors import Array

# The opset of the graph that every target starts from.
WAIST_OPSET = 18
# The names of the domain of ONNX's own operators.
ONNX_DOMAINS = ("", "ai.onnx")
# The domain of ganport's own operators, which are never written to an ONNX file (`rewrites.internal_ops`).
INTERNAL_DOMAIN = "ganport"


@dataclass(frozen=True)
class OnnxNode:
    """One node.

    Attributes:
        where: The node's name and operator, for error messages.
        op: The operator's name.
        is_internal: Whether the operator is of `INTERNAL_DOMAIN`; else it is one of ONNX's own.
        inputs: Tensor names, "" for an optional input that is left out.
        outputs: Tensor names, "" for an optional output that is left out.
        attributes: As `read_attributes` reads them.
        proto: The node itself.
    """

    where: str
    op: str
    is_internal: bool
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    proto: NodeProto

    @property
    def output(self) -> str:
        """The name of the node's only output.

        Raises:
            UnsupportedOpError: the node has several outputs.
        """
        if len(self.outputs) != 1:
            raise UnsupportedOpError(self.where, f"it has {len(self.outputs)} outputs", "Use operators of one output")
        return self.outputs[0]


def read_opset(model: ModelProto) -> int:
    """The opset version of ONNX's own operators, 0 if the model does not give it."""
    return next((entry.version for entry in model.opset_import if entry.domain in ONNX_DOMAINS), 0)


def require_opset(model: ModelProto, newest: int = WAIST_OPSET) -> int:
    """The opset version of ONNX's own operators.

    Args:
        newest: The newest opset that the caller knows. A later one may change what a node means.

    Raises:
        UnsupportedOpError: the model does not give the version, or it is later than `newest`.
    """
    opset = read_opset(model)
    if not opset:
        raise UnsupportedOpError("the model", "it names no opset of ONNX's own operators", "Check the model")
    if opset > newest:
        raise UnsupportedOpError("the model", f"its opset is {opset}", f"Convert it to opset {newest} or earlier")
    return opset


def read_nodes(model: ModelProto) -> Iterator[OnnxNode]:
    """The nodes of the main graph, in order.

    Raises:
        UnsupportedOpError: a node's operator is neither ONNX's own nor internal.
    """
    return map(read_node, model.graph.node)


def read_node(node: NodeProto) -> OnnxNode:
    """Read one node.

    Raises:
        UnsupportedOpError: its operator is neither ONNX's own nor internal.
    """
    where = f"node '{node.name or ' '.join(node.output)}' ({node.op_type})"
    is_internal = node.domain == INTERNAL_DOMAIN
    if not is_internal and node.domain not in ONNX_DOMAINS:
        raise UnsupportedOpError(where, f"its domain is '{node.domain}'", "Use ONNX's own operators")
    return OnnxNode(
        where, node.op_type, is_internal, tuple(node.input), tuple(node.output), read_attributes(node), node
    )


def read_attributes(node: NodeProto) -> dict[str, Any]:
    """A node's attributes by name: strings are decoded, tensors are arrays, subgraphs stay GraphProto."""

    def plain(value: Any) -> Any:
        if isinstance(value, TensorProto):
            return numpy_helper.to_array(value)
        return value.decode() if isinstance(value, bytes) else value

    return {attribute.name: plain(onnx.helper.get_attribute_value(attribute)) for attribute in node.attribute}


def read_constants(model: ModelProto) -> dict[str, Array]:
    """The value of each initializer, by name; one that is a graph input too is left out, as a user can replace it."""
    inputs = {value.name for value in model.graph.input}
    return {
        tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name not in inputs
    }


def require_float32(given: onnx.ValueInfoProto) -> None:
    """Refuse a graph input whose element type is not float32.

    Raises:
        UnsupportedOpError: the element type is another one.
    """
    kind = given.type.tensor_type.elem_type
    if kind != TensorProto.FLOAT:
        raise UnsupportedOpError(
            f"input '{given.name}'", f"it is {TensorProto.DataType.Name(kind)}", "Only float32 is translated"
        )
