"""What a writer reads of an ONNX graph: its opset, and its nodes in order, each of one output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import ModelProto, NodeProto, TensorProto

from converters.errors import UnsupportedOpError
from converters.rewrites.own_ops import DOMAIN

# Operators have been read up to this opset; a later one may change what a node means.
NEWEST_OPSET = 18
ONNX_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class OnnxNode:
    """One node.

    Attributes:
        where: For messages.
        op: Operator of ONNX's own domain, or of ours.
        own: Whether it is one of ours (`rewrites.own_ops`).
        inputs: Tensor names, "" for one left out.
        output: Tensor name.
        attributes: Plain values by name.
    """

    where: str
    op: str
    own: bool
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]


def read_opset(model: ModelProto) -> int:
    """The opset of ONNX's own operators.

    Raises:
        UnsupportedOpError: the model names none, or a later one than has been read.
    """
    opset: int | None = next((entry.version for entry in model.opset_import if entry.domain in ONNX_DOMAINS), None)
    if opset is None:
        raise UnsupportedOpError("the model", "it names no opset of ONNX's own operators", "Check the model")
    if opset > NEWEST_OPSET:
        raise UnsupportedOpError("the model", f"its opset is {opset}", f"Convert it to opset {NEWEST_OPSET} or earlier")
    return opset


def read_nodes(model: ModelProto) -> Iterator[OnnxNode]:
    """Each node in turn.

    Raises:
        UnsupportedOpError: a node is of a foreign domain or has several outputs.
    """
    for node in model.graph.node:
        where = f"node '{node.name or ' '.join(node.output)}' ({node.op_type})"
        if node.domain not in (*ONNX_DOMAINS, DOMAIN):
            raise UnsupportedOpError(where, f"its domain is '{node.domain}'", "Use ONNX's own operators")
        if len(node.output) != 1:
            raise UnsupportedOpError(where, f"it has {len(node.output)} outputs", "Use operators of one output")
        yield OnnxNode(where, node.op_type, node.domain == DOMAIN, tuple(node.input), node.output[0], _attributes(node))


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
        return value.decode() if isinstance(value, bytes) else value

    return {attribute.name: plain(onnx.helper.get_attribute_value(attribute)) for attribute in node.attribute}
