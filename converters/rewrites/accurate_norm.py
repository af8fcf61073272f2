"""InstanceNormalization as two-pass statistics in plain operators.

    y = scale * (x - m) / sqrt(v + epsilon) + bias,  m = mean_H(mean_W(x)),  v = mean_H(mean_W((x - m)^2))

which is the operator's own definition. The two steps matter: ONNX Runtime's operator, and its ReduceMean over
both axes at once, add up a whole plane in one float32 sum and lose two to three digits on large flat holes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from converters.errors import ConversionError
from converters.onnx_ranks import read_ranks
from converters.tensors import Array

OPERATOR = "InstanceNormalization"


def rewrite_accurate_norm(model: ModelProto) -> ModelProto:
    """A copy of `model` in which every InstanceNormalization is spelled out; intermediate shapes are left out.

    Scale and bias vanish where they are all ones and all zeros.

    Raises:
        ConversionError: a norm's input is not of rank 4, or its scale or bias is not a constant.
    """
    rewritten = ModelProto()
    rewritten.CopyFrom(model)
    graph = rewritten.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    ranks = read_ranks(model)
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == OPERATOR:
            nodes.extend(_spell(node, ranks.get(node.input[0]), constants, graph.initializer))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]  # some of the tensors are gone
    return rewritten


def _spell(
    node: NodeProto,
    rank: int | None,
    constants: dict[str, TensorProto],
    initializers: Any,
) -> list[NodeProto]:
    x, scale_name, bias_name = node.input
    (y,) = node.output
    if rank != 4:
        raise ConversionError(
            f"{OPERATOR} '{node.name}'", f"its input has rank {rank}", "Only rank 4 (NCHW) is handled"
        )
    if scale_name not in constants or bias_name not in constants:
        raise ConversionError(
            f"{OPERATOR} '{node.name}'", "its scale or bias is computed in the graph", "Export them as constants"
        )
    scale = numpy_helper.to_array(constants[scale_name])
    bias = numpy_helper.to_array(constants[bias_name])
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)

    def constant(suffix: str, value: Array) -> str:
        name = f"{y}_{suffix}"
        initializers.append(numpy_helper.from_array(value, name))
        return name

    def emit(op: str, inputs: list[str], output: str) -> str:
        spelled.append(helper.make_node(op, inputs, [output], name=f"{node.name}_{output}"))
        return output

    def mean_over_plane(of: str, prefix: str) -> str:
        rows = emit("ReduceMean", [of, over_w], f"{y}_{prefix}_w")
        return emit("ReduceMean", [rows, over_h], f"{y}_{prefix}")

    spelled: list[NodeProto] = []
    over_w = constant("axis_w", np.array([3], np.int64))
    over_h = constant("axis_h", np.array([2], np.int64))
    mean = mean_over_plane(x, "mean")
    centred = emit("Sub", [x, mean], f"{y}_centred")
    squared = emit("Mul", [centred, centred], f"{y}_squared")
    variance = mean_over_plane(squared, "variance")
    shifted = emit("Add", [variance, constant("epsilon", np.array(epsilon, np.float32))], f"{y}_shifted")
    deviation = emit("Sqrt", [shifted], f"{y}_deviation")
    result = emit("Div", [centred, deviation], f"{y}_normalized")
    if not np.all(scale == 1):
        result = emit("Mul", [result, constant("scale", scale.reshape(1, -1, 1, 1))], f"{y}_scaled")
    if not np.all(bias == 0):
        result = emit("Add", [result, constant("bias", bias.reshape(1, -1, 1, 1))], f"{y}_biased")
    spelled[-1].output[0] = y
    return spelled
