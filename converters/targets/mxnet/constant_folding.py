"""Computes nodes whose inputs are all constants, once, with onnx's reference implementation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, helper

from converters.tensors import Array

# Their outputs differ from run to run.
RANDOM_OPS = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
# onnx's reference computes other numbers, sizes or element types than ONNX Runtime.
DISPUTED_OPS = {
    *("AveragePool", "BatchNormalization", "ConvTranspose", "GlobalMaxPool", "LpPool", "LRN", "MaxPool"),
    *("OneHot", "ReduceSumSquare", "Resize", "Upsample"),
}
# A subgraph may read any tensor of the graph around it, also one that is not constant.
SUBGRAPH_OPS = {"If", "Loop", "Scan", "SequenceMap"}


def is_foldable(node: NodeProto) -> bool:
    """Whether `evaluate` may compute the node if its inputs are constants."""
    return node.domain in ("", "ai.onnx") and node.op_type not in RANDOM_OPS | SUBGRAPH_OPS | DISPUTED_OPS


def evaluate(model: ModelProto, node: NodeProto, arrays: Sequence[Array | None]) -> list[Array] | None:
    """The node's outputs; None if the reference fails on the node or an output is not a tensor.

    Args:
        model: The node's model, which determines the opset.
        arrays: The node's inputs, None for one left out.
    """
    from onnx.reference import ReferenceEvaluator

    feeds = {name: array for name, array in zip(node.input, arrays, strict=True) if name and array is not None}
    assert feeds.keys() == set(node.input) - {""}
    graph = helper.make_graph(
        [node],
        "constants",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in feeds.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
    )
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        with np.errstate(all="ignore"):
            results = iter(ReferenceEvaluator(alone).run(None, feeds))
    except (RuntimeError, TypeError, ValueError, NotImplementedError, IndexError, AttributeError, AssertionError):
        return None  # the node is then translated or refused like one with computed inputs
    outputs = [next(results) if name else np.zeros(0) for name in node.output]
    if node.op_type == "Slice" and np.size(outputs[0]) == 0:
        # For a negative step and a start before the first element, ONNX takes the first and the reference none.
        return None
    are_tensors = all(isinstance(output, np.ndarray | np.generic) for output in outputs)
    return [np.asarray(output) for output in outputs] if are_tensors else None
