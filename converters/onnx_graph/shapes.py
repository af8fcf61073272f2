"""Shapes and element types of the tensors of an ONNX graph, as far as onnx's shape inference knows them."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import ModelProto, TypeProto, ValueInfoProto, helper

# For each axis: its size, the name of a free size, or None if shape inference knows neither.
Shape = tuple[int | str | None, ...]
# Prefix of the names that onnx's shape inference invents for sizes without a name.
INVENTED = "unk__"


@dataclass(frozen=True)
class TensorType:
    """The element type and shape of a tensor.

    Attributes:
        dtype: As `name_dtype` names it.
        shape: None if the rank is not known.
    """

    dtype: str
    shape: Shape | None


def read_types(model: ModelProto) -> dict[str, TensorType]:
    """Tensor name to type; tensors of unknown element type, and sequences and maps, are left out."""
    return {
        value.name: TensorType(name_dtype(value.type.tensor_type.elem_type), _shape_of(value))
        for value in _infer(model)
        if value.type.tensor_type.elem_type
    }


def read_shapes(model: ModelProto) -> dict[str, Shape]:
    """Tensor name to shape; tensors of unknown rank are left out."""
    shapes = {value.name: _shape_of(value) for value in _infer(model)}
    return {name: shape for name, shape in shapes.items() if shape is not None}


def read_ranks(model: ModelProto) -> dict[str, int]:
    """Tensor name to number of axes; tensors of unknown rank are left out."""
    return {name: len(shape) for name, shape in read_shapes(model).items()}


def name_dtype(elem_type: int) -> str:
    """numpy's name of an ONNX element type; ONNX's name in lower case if numpy has none."""
    name: str = onnx.TensorProto.DataType.Name(elem_type).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def describe_type(kind: TypeProto) -> str:
    """An element type, or "sequence", "map" or the like, for error messages."""
    which: str = kind.WhichOneof("value")
    return name_dtype(kind.tensor_type.elem_type) if which == "tensor_type" else which.replace("_type", "")


def _infer(model: ModelProto) -> list[ValueInfoProto]:
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    given = {value.name for value in graph.input}
    constants = [
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.initializer
        if tensor.name not in given
    ]
    return [*constants, *graph.input, *graph.value_info, *graph.output]


def _shape_of(value: ValueInfoProto) -> Shape | None:
    if not value.type.tensor_type.HasField("shape"):
        return None
    return tuple(
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param or None
        for axis in value.type.tensor_type.shape.dim
    )


def read_precision(model: ModelProto) -> str:
    """numpy's names of the float types of a graph's inputs and weights, or of all their types if none is a float."""
    graph = model.graph
    kinds = {value.type.tensor_type.elem_type for value in graph.input} | {t.data_type for t in graph.initializer}
    names = sorted(helper.tensor_dtype_to_np_dtype(kind).name for kind in kinds)
    return " and ".join([name for name in names if "float" in name] or names)
