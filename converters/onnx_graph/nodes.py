"""What a writer reads of an ONNX graph: its opset, and its nodes in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from converters.errors import UnsupportedOpError
from converters.rewrites.internal_ops import DOMAIN

# Up to it for a writer that names no other: a later opset may change what a node means.
NEWEST_OPSET = 18
ONNX_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class OnnxNode:
    """One node.

    Attributes:
        where: For messages.
        op: Operator of ONNX's own domain, or of ours.
        own: Whether it is one of ours (`rewrites.internal_ops`).
        inputs: Tensor names, "" for one left out.
        outputs: Tensor names, "" for one left out.
        attributes: Plain values by name, tensors as arrays.
        proto: The node itself.
    """

    where: str
    op: str
    own: bool
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    proto: NodeProto

    @property
    def output(self) -> str:
        """The name of its one output.

        Raises:
            UnsupportedOpError: it has several.
        """
        if len(self.outputs) != 1:
            raise UnsupportedOpError(self.where, f"it has {len(self.outputs)} outputs", "Use operators of one output")
        return self.outputs[0]


def read_opset(model: ModelProto, newest: int = NEWEST_OPSET) -> int:
    """The opset of ONNX's own operators.

    Args:
        newest: The latest whose operators the writer knows.

    Raises:
        UnsupportedOpError: the model names none, or a later one than has been read.
    """
    opset: int | None = next((entry.version for entry in model.opset_import if entry.domain in ONNX_DOMAINS), None)
    if opset is None:
        raise UnsupportedOpError("the model", "it names no opset of ONNX's own operators", "Check the model")
    if opset > newest:
        raise UnsupportedOpError("the model", f"its opset is {opset}", f"Convert it to opset {newest} or earlier")
    return opset


def read_nodes(model: ModelProto) -> Iterator[OnnxNode]:
    """Each node in turn.

    Raises:
        UnsupportedOpError: a node is of a foreign domain.
    """
    return map(read_node, model.graph.node)


def read_node(node: NodeProto) -> OnnxNode:
    """One node.

    Raises:
        UnsupportedOpError: it is of a foreign domain.
    """
    where = f"node '{node.name or ' '.join(node.output)}' ({node.op_type})"
    if node.domain not in (*ONNX_DOMAINS, DOMAIN):
        raise UnsupportedOpError(where, f"its domain is '{node.domain}'", "Use ONNX's own operators")
    return OnnxNode(
        where, node.op_type, node.domain == DOMAIN, tuple(node.input), tuple(node.output), _attributes(node), node
    )


def read_inputs(node: NodeProto) -> set[str]:
    """Names of all tensors that a node reads, its subgraphs too."""
    names = set(node.input)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in attribute.g.node:
                names |= read_inputs(inner)
            names.update(output.name for output in attribute.g.output)
    return names


def read_names(model: ModelProto) -> set[str]:
    """Names of all tensors."""
    graph = model.graph
    return {
        *(tensor.name for tensor in graph.initializer),
        *(given.name for given in graph.input),
        *(name for node in graph.node for name in node.output),
    }


def require_float32(given: onnx.ValueInfoProto) -> None:
    """Refuse a graph input of another type.

    Raises:
        UnsupportedOpError: it is not float32.
    """
    kind = given.type.tensor_type.elem_type
    if kind != TensorProto.FLOAT:
        raise UnsupportedOpError(
            f"input '{given.name}'", f"it is {TensorProto.DataType.Name(kind)}", "Only float32 is translated"
        )


def _attributes(node: NodeProto) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, TensorProto):
            return numpy_helper.to_array(value)
        return value.decode() if isinstance(value, bytes) else value

    return {attribute.name: plain(onnx.helper.get_attribute_value(attribute)) for attribute in node.attribute}
