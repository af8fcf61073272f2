"""How many axes each tensor of an ONNX graph has."""

from __future__ import annotations

import onnx
from onnx import ModelProto


def read_ranks(model: ModelProto) -> dict[str, int]:
    """Tensor name to rank, as far as onnx's shape inference knows."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in [*graph.input, *graph.value_info, *graph.output]
        if value.type.tensor_type.HasField("shape")
    }
