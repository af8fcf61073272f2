"""The rewrite of reductions over several axes, against onnx's own reference implementation in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from converters.onnx_graph.serialize import serialize
from converters.rewrites.accurate_mean import PARTIAL, rewrite_accurate_mean
from converters.tensors import Array

PLANE = ("N", 3, "H", "W")
SMALL = (2, 3, 8, 6)
# Relative: float64 sums in another order.
SAME = 1e-13
STEP = 2.0**-23  # of float32, at 1
# Errors in steps at the largest value. Sums over 256x256, each axis by itself: 0.6 to 3 were seen, and 4.3 to 56 of
# ONNX Runtime's own.
ACCURATE_STEPS = 4
# The runtime's own error is at least so many times as large; 6 to 22 times were seen.
GAIN = 3


@dataclass(frozen=True)
class Form:
    """A way to write a reduction: `axes` is its second input, and `added` are the axes of each node put before it."""

    added: Sequence[Sequence[int]]
    axes: Sequence[int] | None = None
    attributes: dict[str, int] = field(default_factory=dict)
    shape: tuple[int | str, ...] = PLANE
    given: tuple[int, ...] = SMALL


FORMS = {
    "plane": Form([[3]], [2, 3]),
    "plane left out": Form([[3]], [2, 3], {"keepdims": 0}),
    "negative, last first": Form([[3]], [-1, -2], {"keepdims": 0}),
    "mixed signs": Form([[3]], [-1, 2]),
    "volume": Form([[3], [2, 3]], [1, 2, 3], {"keepdims": 0}),
    "apart": Form([[3], [2, 3]], [0, 2, 3]),
    "two apart": Form([[3]], [1, 3]),
    "not the last": Form([[2]], [1, 2], {"keepdims": 0}),
    "all, no axes": Form([[3], [2, 3], [1, 2, 3]]),
    "all, left out": Form([[3], [2, 3], [1, 2, 3]], None, {"keepdims": 0}),
    "all, empty axes": Form([[3], [2, 3], [1, 2, 3]], [], {"noop_with_empty_axes": 0}),
    "noop with axes": Form([[3]], [2, 3], {"noop_with_empty_axes": 1}),
    "rank 3": Form([[2]], [1, 2], shape=("N", "H", "W"), given=(2, 5, 4)),
    "rank 5": Form([[4], [3, 4]], [2, 3, 4], shape=("N", 2, "D", "H", "W"), given=(2, 2, 3, 5, 4)),
    "one of size 1": Form([[3], [2, 3]], None, shape=(1, 3, "H", "W"), given=(1, 3, 8, 6)),
}
POOLS = {
    "plane": Form([[3]]),
    "rank 5": Form([[4], [3, 4]], shape=("N", 2, "D", "H", "W"), given=(2, 2, 3, 5, 4)),
}
CASES = [(op, name, form) for op in PARTIAL for name, form in (POOLS if "Pool" in op else FORMS).items()]
IDS = [f"{op}, {name}" for op, name, _ in CASES]

LEFT_ALONE = {
    "one axis": Form([], [3]),
    "none": Form([], [], {"noop_with_empty_axes": 1}),
    "none, no axes": Form([], None, {"noop_with_empty_axes": 1}),
    "another of size 1": Form([], [2, 3], shape=("N", 3, 1, "W"), given=(2, 3, 1, 6)),
    "vector": Form([], None, shape=("W",), given=(6,)),
}


def make_model(op: str, form: Form, kind: int = TensorProto.FLOAT) -> ModelProto:
    axes = [] if form.axes is None else [numpy_helper.from_array(np.array(form.axes, np.int64), "axes")]
    node = helper.make_node(op, ["x", *(tensor.name for tensor in axes)], ["y"], name="reduce", **form.attributes)
    values = [helper.make_tensor_value_info(*given) for given in (("x", kind, form.shape), ("y", kind, None))]
    graph = helper.make_graph([node], "g", values[:1], values[1:], axes)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run_reference(model: ModelProto, x: Array) -> Array:
    """In float64: onnx's reference computes in the type of what it is given."""
    (y,) = ReferenceEvaluator(model).run(None, {"x": x.astype(np.float64)})
    return np.asarray(y)


def run(model: ModelProto, x: Array) -> Array:
    session = onnxruntime.InferenceSession(serialize(model), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def read_added(model: ModelProto) -> list[list[int]]:
    """The axes of each node but the last."""
    constants = {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in model.graph.initializer}
    return [constants[node.input[1]] for node in model.graph.node[:-1]]


def noise(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).uniform(0.5, 1.5, shape).astype(np.float32)


@pytest.mark.parametrize(("op", "name", "form"), CASES, ids=IDS)
def test_result_stays_the_same(op: str, name: str, form: Form) -> None:
    model = make_model(op, form)
    rewritten = rewrite_accurate_mean(model)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(rewritten), full_check=True)
    assert read_added(rewritten) == form.added
    assert rewritten.graph.node[-1].op_type == op
    x = noise(*form.given)
    expected = run_reference(model, x)
    actual = run_reference(rewritten, x)
    assert actual.shape == expected.shape == run(rewritten, x).shape
    np.testing.assert_allclose(actual, expected, rtol=SAME)


@pytest.mark.parametrize("axes", [(2, 3), (1, 2, 3), (0, 2, 3)])
@pytest.mark.parametrize("op", PARTIAL)
def test_large_plane_keeps_the_digits_that_the_runtime_loses(op: str, axes: tuple[int, ...]) -> None:
    model = make_model(op, Form([], None if "Pool" in op else axes))
    x = noise(2, 3, 256, 256)
    expected = run_reference(model, x)

    def steps(candidate: ModelProto) -> float:
        return float(np.abs(run(candidate, x) - expected).max() / (STEP * np.abs(expected).max()))

    accurate = steps(rewrite_accurate_mean(model))
    assert accurate <= ACCURATE_STEPS
    assert steps(model) >= GAIN * accurate


@pytest.mark.parametrize("form", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_reduction_of_one_long_axis_or_none_stays_as_it_is(form: Form) -> None:
    model = make_model("ReduceMean", form)
    assert run(model, noise(*form.given)).shape == run_reference(model, noise(*form.given)).shape
    assert rewrite_accurate_mean(model) is model


@pytest.mark.parametrize("kind", [TensorProto.INT32, TensorProto.INT64, TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_reduction_of_another_type_than_float32_stays_as_it_is(kind: int) -> None:
    """A mean of integers is rounded; one of float16 would be after each axis."""
    model = make_model("ReduceMean", FORMS["plane"], kind)
    assert rewrite_accurate_mean(model) is model


def test_reduction_of_unknown_rank_stays_as_it_is() -> None:
    model = make_model("ReduceMean", FORMS["plane"])
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert rewrite_accurate_mean(model) is model


def test_reduction_over_axes_that_a_user_may_give_stays_as_it_is() -> None:
    model = make_model("ReduceMean", FORMS["plane"])
    model.graph.input.append(helper.make_tensor_value_info("axes", TensorProto.INT64, [2]))
    assert rewrite_accurate_mean(model) is model


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceProd", "ReduceSumSquare"])
def test_other_reductions_stay_as_they_are(op: str) -> None:
    model = make_model(op, FORMS["plane"])
    assert rewrite_accurate_mean(model) is model


@pytest.mark.parametrize(("op", "name", "form"), CASES, ids=IDS)
def test_second_rewrite_changes_nothing(op: str, name: str, form: Form) -> None:
    model = make_model(op, form)
    before = serialize(model)
    rewritten: Any = rewrite_accurate_mean(model)
    assert rewrite_accurate_mean(rewritten) is rewritten
    assert serialize(model) == before
