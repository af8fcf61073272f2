"""What nodes give whose inputs are constants: computed once, by onnx's own reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, helper

from converters.tensors import Array

# Each run gives something else.
RANDOM_OPS = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
# onnx's reference gives other numbers, sizes or element types than ONNX Runtime.
DISPUTED_OPS = {
    *("AveragePool", "BatchNormalization", "ConvTranspose", "GlobalMaxPool", "LpPool", "LRN", "MaxPool"),
    *("OneHot", "ReduceSumSquare", "Resize", "Upsample"),
}
# An If or a Loop may read any tensor of the graph around it.
SUBGRAPH_OPS = {"If", "Loop", "Scan", "SequenceMap"}


def is_foldable(node: NodeProto) -> bool:
    """Whether constant inputs make constant outputs."""
    return node.domain in ("", "ai.onnx") and node.op_type not in RANDOM_OPS | SUBGRAPH_OPS | DISPUTED_OPS


def evaluate(model: ModelProto, node: NodeProto, arrays: Sequence[Array | None]) -> list[Array] | None:
    """The node's outputs, or None if one of them is no tensor, or the reference does not compute it.

    Args:
        model: Names the opset.
        arrays: The node's inputs, None for one left out.
    """
    from onnx.reference import ReferenceEvaluator

    names = [name for name in node.input if name]
    graph = helper.make_graph(
        [node],
        "constants",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in dict(zip(node.input, arrays, strict=True)).items()
            if name and array is not None
        ],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
    )
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    feeds = {name: array for name, array in zip(node.input, arrays, strict=True) if name and array is not None}
    assert len(feeds) == len(set(names))
    try:
        with np.errstate(all="ignore"):
            results = iter(ReferenceEvaluator(alone).run(None, feeds))
    except (RuntimeError, TypeError, ValueError, NotImplementedError, IndexError, AttributeError, AssertionError):
        return None  # it is translated, or refused, as any other node
    outputs = [next(results) if name else np.zeros(0) for name in node.output]
    if node.op_type == "Slice" and np.size(outputs[0]) == 0:
        return None  # the reference takes nothing backwards from before the first element, where ONNX takes the first
    return [np.asarray(output) for output in outputs] if all(_is_tensor(output) for output in outputs) else None


def _is_tensor(output: object) -> bool:
    return isinstance(output, np.ndarray | np.generic)
