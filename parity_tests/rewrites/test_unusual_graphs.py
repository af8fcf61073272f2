"""`--tune cpu` on unusual graphs: the same numbers as before."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from converters.rewrites import block_convolution, choose_tiling
from converters.rewrites.accurate_mean import rewrite_accurate_mean
from converters.rewrites.accurate_norm import rewrite_accurate_norm
from converters.rewrites.tune_cpu import tune_for_cpu
from parity_tests.support.convolution_cases import RELATIVE
from parity_tests.support.unusual_graphs import GRAPHS, C, Graph, X, kernel, node, noise, run


@pytest.fixture(autouse=True)
def _every_rewrite_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_tiling, "MAX_COST_RATIO", float("inf"))
    monkeypatch.setattr(block_convolution, "MIN_IN_CHANNELS", 1)
    monkeypatch.setattr(block_convolution, "MAX_OUT_CHANNELS", 3)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_step_gives_what_the_graph_gives(name: str) -> None:
    given = GRAPHS[name]
    model = given.build()
    *_, last = steps = tune_for_cpu(model)
    assert given.expected in {choice.chosen for choice in last.choices}
    for feeds in given.feeds:
        expected = run(model, feeds)
        for step in steps:
            actual = run(rewrite_accurate_norm(step.graph), feeds)
            assert actual.shape == expected.shape, step.rung
            assert np.abs(actual - expected).max() <= 20 * RELATIVE * np.abs(expected).max(), step.rung


def test_names_that_new_nodes_would_get_are_left_to_their_owners() -> None:
    """Without tuning, too: norms and means are spelled out in every file."""
    nodes = [
        node("Relu", ["x"], ["a"], name="b_mean"),
        node("InstanceNormalization", ["a", "one", "zero"], ["b"], name="norm"),
        node("Relu", ["b"], ["c"], name="y_over_3"),
        node("ReduceMean", ["c", "plane"], ["y"], name="mean", keepdims=1),
    ]
    constants = {"one": np.ones(C, np.float32), "zero": np.zeros(C, np.float32), "plane": np.array([2, 3], np.int64)}
    model = Graph(nodes, constants, [X]).build()
    spelled = rewrite_accurate_norm(rewrite_accurate_mean(model))
    names = [found.name for found in spelled.graph.node if found.name]
    assert len(names) == len(set(names))
    assert {"b_mean", "y_over_3", "mean"} <= set(names)
    np.testing.assert_allclose(run(spelled, X), run(model, X), atol=1e-5)


def test_default_of_an_input_is_kept() -> None:
    nodes = [
        node("Conv", ["x", "w", "bias"], ["a"], pads=[1] * 4),
        node("InstanceNormalization", ["a", "one", "zero"], ["y"]),
    ]
    constants = {"w": kernel(), "bias": noise(C), "one": np.ones(C, np.float32), "zero": np.zeros(C, np.float32)}
    model = Graph(nodes, constants, [X]).build()
    model.graph.input.append(helper.make_tensor_value_info("bias", TensorProto.FLOAT, [C]))
    steps = tune_for_cpu(model)
    assert steps[0].rung == "cancelled bias"
    for feeds in (X, X | {"bias": noise(C, seed=3)}):
        np.testing.assert_allclose(run(steps[-1].graph, feeds), run(model, feeds), atol=1e-4)
