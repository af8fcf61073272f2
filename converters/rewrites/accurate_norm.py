"""InstanceNormalization as two-pass statistics in plain operators.

    y = scale * (x - m) / sqrt(v + epsilon) + bias,  m = mean_H(mean_W(x)),  v = mean_H(mean_W((x - m)^2))

This is the operator's definition. Taking the mean over W first and then over H matters: ONNX Runtime's operator, and
its ReduceMean over both axes at once, add up a whole plane in one float32 sum and lose two to three digits on large
flat holes.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto

from converters.errors import ConversionError
from converters.onnx_graph.builder import GraphBuilder, rebuild
from converters.onnx_graph.nodes import read_attributes, read_constants
from converters.onnx_graph.shapes import read_ranks
from converters.tensors import Array

OPERATOR = "InstanceNormalization"
# The value of the attribute epsilon if a node does not give it.
DEFAULT_EPSILON = 1e-5


def rewrite_accurate_norm(model: ModelProto) -> ModelProto:
    """A copy of `model` with plain operators in place of every InstanceNormalization.

    A scale of all ones and a bias of all zeros are left out. A norm stays as it is if its input is not of rank 4, or
    if its scale or bias is computed in the graph or is not float32; other people's files have such norms.

    Raises:
        ConversionError: the rank of a norm's input is not known: the norm would be left to the runtime unnoticed.
    """
    constants = read_constants(model)
    ranks = read_ranks(model)
    builder = GraphBuilder(model)
    for node in model.graph.node:
        if node.op_type == OPERATOR and node.input[0] not in ranks:
            where, met = f"node '{node.name}' ({OPERATOR})", "the rank of its input is not known"
            raise ConversionError(where, met, "Export it with shapes")
        if node.op_type == OPERATOR and ranks[node.input[0]] == 4 and _has_float32_constants(node, constants):
            x, scale, bias = node.input
            epsilon = read_attributes(node).get("epsilon", DEFAULT_EPSILON)
            expand_norm(
                builder, x, constants[scale], constants[bias], epsilon, plane_axes=(2, 3), output=node.output[0]
            )
        else:
            builder.nodes.append(node)
    return rebuild(model, builder)


def _has_float32_constants(norm: NodeProto, constants: dict[str, Array]) -> bool:
    return all(name in constants and constants[name].dtype == np.float32 for name in norm.input[1:])


def expand_norm(
    builder: GraphBuilder,
    x: str,
    scale: Array,
    bias: Array,
    epsilon: float,
    *,
    plane_axes: tuple[int, int],
    output: str,
) -> None:
    """Add the plain operators of an InstanceNormalization.

    Args:
        x: Name of the input, of rank 4.
        scale: (C,) float32.
        bias: (C,) float32.
        plane_axes: Indices of H and W: (2, 3) for NCHW, (1, 2) for NHWC.
        output: Name of the result.
    """

    def mean_over_plane(tensor: str, step: str) -> str:
        rows = builder.add("ReduceMean", [tensor, builder.integers(plane_axes[1])], f"{output}_{step}_w")
        return builder.add("ReduceMean", [rows, builder.integers(plane_axes[0])], f"{output}_{step}")

    per_channel = [1 if axis in plane_axes else -1 for axis in (1, 2, 3)]
    centred = builder.add("Sub", [x, mean_over_plane(x, "mean")], f"{output}_centred")
    squared = builder.add("Mul", [centred, centred], f"{output}_squared")
    variance = mean_over_plane(squared, "variance")
    shifted = builder.add(
        "Add", [variance, builder.constant(np.array(epsilon, np.float32), "epsilon")], f"{output}_shifted"
    )
    deviation = builder.add("Sqrt", [shifted], f"{output}_deviation")
    result = builder.add("Div", [centred, deviation], f"{output}_normalized")
    if not np.all(scale == 1):
        factors = builder.constant(scale.reshape(per_channel), f"{output}_scale")
        result = builder.add("Mul", [result, factors], f"{output}_scaled")
    if not np.all(bias == 0):
        offsets = builder.constant(bias.reshape(per_channel), f"{output}_bias")
        builder.add("Add", [result, offsets], f"{output}_biased")
    builder.rename_last_output(output)
