"""Graphs wired into one: equal names inside do not meet, and a loop's body sees what is around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from converters.onnx_graph.join_graphs import Part, join_graphs, take_out
from parity_tests.support.runtimes import run_onnxruntime


def floats(name: str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [3])


def model_of(nodes: Sequence[NodeProto], constant: float) -> ModelProto:
    """x -> y, with a constant called c."""
    initializers = [numpy_helper.from_array(np.float32([constant]), "c")]
    graph = helper.make_graph(nodes, "g", [floats("x")], [floats("y")], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def adder(constant: float) -> ModelProto:
    """y = |x + c|, by way of a value called t."""
    return model_of([helper.make_node("Add", ["x", "c"], ["t"]), helper.make_node("Abs", ["t"], ["y"])], constant)


def looper(constant: float, turns: int) -> ModelProto:
    """y = x + turns * c; the loop's body takes c from outside and has a t of its own."""
    keep = helper.make_tensor_value_info("keep", TensorProto.BOOL, [])
    body = helper.make_graph(
        [
            helper.make_node("Add", ["state", "c"], ["t"]),
            helper.make_node("Identity", ["keep"], ["keep_on"]),
        ],
        "body",
        [helper.make_tensor_value_info("turn", TensorProto.INT64, []), keep, floats("state")],
        [helper.make_tensor_value_info("keep_on", TensorProto.BOOL, []), floats("t")],
    )
    model = model_of([helper.make_node("Loop", ["turns", "", "x"], ["y"], body=body)], constant)
    model.graph.initializer.append(numpy_helper.from_array(np.array(turns), "turns"))
    return model


def joined() -> ModelProto:
    parts = [
        Part("first", adder(1), {"x": "given", "y": "between"}),
        Part("second", looper(10, 4), {"x": "between", "y": "looped"}),
        Part("third", adder(-100), {"x": "looped", "y": "result"}),
    ]
    model = join_graphs(parts, [floats("given")], [floats("result")])
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: ModelProto, given: str) -> np.ndarray:
    (result,) = run_onnxruntime(model, {given: np.float32([-3, 0, 200])})
    return result


def test_joined_graph_computes_its_parts_one_after_another() -> None:
    assert run(joined(), "given").tolist() == [58, 59, 141]


def test_part_taken_out_computes_what_it_did_inside() -> None:
    model = joined()
    model.graph.value_info.append(floats("looped"))
    assert run(take_out(model, ["looped"], ["result"]), "looped").tolist() == [103, 100, 100]
