"""InstanceNormalization as two-pass statistics in plain operators.

    y = scale * (x - m) / sqrt(v + epsilon) + bias,  m = mean_H(mean_W(x)),  v = mean_H(mean_W((x - m)^2))

which is the operator's own definition. The two steps matter: ONNX Runtime's operator, and its ReduceMean over
both axes at once, add up a whole plane in one float32 sum and lose two to three digits on large flat holes.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from converters.onnx_graph.builder import GraphBuilder, rebuild, tensor_names
from converters.onnx_graph.shapes import read_ranks
from converters.tensors import Array

OPERATOR = "InstanceNormalization"


def rewrite_accurate_norm(model: ModelProto) -> ModelProto:
    """A copy of `model` in which every InstanceNormalization is spelled out; intermediate shapes are left out.

    Scale and bias vanish where they are all ones and all zeros. A norm of another precision than float32 or another
    rank than 4, or whose scale or bias is computed, stays the runtime's own: foreign files hold such.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    ranks = read_ranks(model)
    builder = GraphBuilder(tensor_names(model))
    for node in model.graph.node:
        if node.op_type == OPERATOR and ranks.get(node.input[0]) == 4 and _is_learned(node, constants):
            _spell(builder, node, constants)
        else:
            builder.nodes.append(node)
    return rebuild(model, builder)


def _is_learned(norm: NodeProto, constants: dict[str, Array]) -> bool:
    """Whether scale and bias are constants, in float32."""
    return all(name in constants and constants[name].dtype == np.float32 for name in norm.input[1:])


def _spell(builder: GraphBuilder, node: NodeProto, constants: dict[str, Array]) -> None:
    x, scale, bias = node.input
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
    spell_norm(builder, x, constants[scale], constants[bias], epsilon, plane=(2, 3), name=node.output[0])
    builder.nodes[-1].output[0] = node.output[0]


def spell_norm(
    builder: GraphBuilder, x: str, scale: Array, bias: Array, epsilon: float, *, plane: tuple[int, int], name: str
) -> str:
    """Add the operators of a norm of `x` over the axes `plane`, H and then W; the output, named after `name`.

    Args:
        scale: (C,).
        bias: (C,).
        plane: (2, 3) for NCHW, (1, 2) for NHWC.
    """

    def mean_over_plane(of: str, step: str) -> str:
        rows = builder.add("ReduceMean", [of, builder.integers(plane[1])], f"{name}_{step}_w")
        return builder.add("ReduceMean", [rows, builder.integers(plane[0])], f"{name}_{step}")

    per_channel = [1 if axis in plane else -1 for axis in (1, 2, 3)]
    centred = builder.add("Sub", [x, mean_over_plane(x, "mean")], f"{name}_centred")
    squared = builder.add("Mul", [centred, centred], f"{name}_squared")
    variance = mean_over_plane(squared, "variance")
    shifted = builder.add(
        "Add", [variance, builder.constant(np.array(epsilon, np.float32), "epsilon")], f"{name}_shifted"
    )
    deviation = builder.add("Sqrt", [shifted], f"{name}_deviation")
    result = builder.add("Div", [centred, deviation], f"{name}_normalized")
    if not np.all(scale == 1):
        factors = builder.constant(scale.reshape(per_channel), f"{name}_scale")
        result = builder.add("Mul", [result, factors], f"{name}_scaled")
    if not np.all(bias == 0):
        offsets = builder.constant(bias.reshape(per_channel), f"{name}_bias")
        result = builder.add("Add", [result, offsets], f"{name}_biased")
    return result
