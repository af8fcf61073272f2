"""Shapes of the tensors of an ONNX graph, as far as onnx's shape inference knows them."""

from __future__ import annotations

import onnx
from onnx import ModelProto

# Sizes that are known, names of free ones, None for what inference cannot say.
Shape = tuple[int | str | None, ...]


def read_shapes(model: ModelProto) -> dict[str, Shape]:
    """Tensor name to shape; a tensor of unknown rank is left out."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {
        value.name: tuple(
            axis.dim_value if axis.HasField("dim_value") else axis.dim_param or None
            for axis in value.type.tensor_type.shape.dim
        )
        for value in [*graph.input, *graph.value_info, *graph.output]
        if value.type.tensor_type.HasField("shape")
    }


def read_ranks(model: ModelProto) -> dict[str, int]:
    """Tensor name to number of axes."""
    return {name: len(shape) for name, shape in read_shapes(model).items()}
