"""Shapes and element types of the tensors of an ONNX graph, as far as onnx's shape inference knows them."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import ModelProto, TypeProto, ValueInfoProto

# Sizes that are known, names of free ones, None for what inference cannot say.
Shape = tuple[int | str | None, ...]
# How the names begin that shape inference makes up itself, for sizes that have none.
INVENTED = "unk__"


@dataclass(frozen=True)
class TensorType:
    """What is known of a tensor.

    Attributes:
        dtype: numpy's name of the element type; ONNX's own, in lower case, where numpy has none.
        shape: None for an unknown rank.
    """

    dtype: str
    shape: Shape | None


def read_types(model: ModelProto) -> dict[str, TensorType]:
    """Tensor name to type; a tensor of unknown element type is left out, and what is no tensor."""
    return {
        value.name: TensorType(name_dtype(value.type.tensor_type.elem_type), _shape_of(value))
        for value in _infer(model)
        if value.type.tensor_type.elem_type
    }


def read_shapes(model: ModelProto) -> dict[str, Shape]:
    """Tensor name to shape; a tensor of unknown rank is left out."""
    shapes = {value.name: _shape_of(value) for value in _infer(model)}
    return {name: shape for name, shape in shapes.items() if shape is not None}


def read_ranks(model: ModelProto) -> dict[str, int]:
    """Tensor name to number of axes."""
    return {name: len(shape) for name, shape in read_shapes(model).items()}


def name_dtype(elem_type: int) -> str:
    """numpy's name of an ONNX element type, or ONNX's own in lower case."""
    name: str = onnx.TensorProto.DataType.Name(elem_type).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def describe_type(kind: TypeProto) -> str:
    """A type in a word, for messages."""
    which: str = kind.WhichOneof("value")
    return name_dtype(kind.tensor_type.elem_type) if which == "tensor_type" else which.replace("_type", "")


def _infer(model: ModelProto) -> list[ValueInfoProto]:
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return [*graph.input, *graph.value_info, *graph.output]


def _shape_of(value: ValueInfoProto) -> Shape | None:
    if not value.type.tensor_type.HasField("shape"):
        return None
    return tuple(
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param or None
        for axis in value.type.tensor_type.shape.dim
    )
