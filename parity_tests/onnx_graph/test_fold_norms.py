"""Batch norms folded into convolutions: the numbers stay, and where a norm cannot be folded, it stays too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from converters.onnx_graph.fold_norms import fold_norms
from parity_tests.support.runtimes import run_onnxruntime

# Sums of some fifty products of order 1 in float32, in another order: 9.5e-7 was measured.
ROUNDING = 1e-5
NORM = "BatchNormalization<epsilon = 0.01>({}, scale, bias, mean, variance)"
SHAPES = {
    "v": (4, 3, 3, 3),
    "w": (4, 3, 1, 1),
    "t": (3, 4, 3, 3),
    "grouped": (4, 2, 3, 3),
    "one": (1, 3, 3, 3),
    **dict.fromkeys(("b", "scale", "bias", "mean", "variance"), (4,)),
}
# A square of 3x3 keeps the size by this.
SAME = "<pads = [1, 1, 1, 1]>"

FOLDED = {
    "behind a convolution": f"c = Conv{SAME}(x, v, b) y = {NORM.format('c')}",
    "behind a convolution without bias": f"c = Conv{SAME}(x, v) y = {NORM.format('c')}",
    "behind a transposed convolution": f"c = ConvTranspose{SAME}(x, t, b) y = {NORM.format('c')}",
    "behind the sum of two": f"c = Conv{SAME}(x, v, b) d = Conv(x, w) e = Add(c, d) y = {NORM.format('e')}",
    "behind the sum of three of the same weight": f"""
        c = Conv{SAME}(x, v, b) d = Conv{SAME}(x, v, b) e = Conv(x, w, b)
        f = Add(c, d) g = Add(e, f) y = {NORM.format("g")}
    """,
    "behind one whose shape is read": f"""
        c = Conv{SAME}(x, v) s = Shape(c) n = {NORM.format("c")} f = Cast<to = 1>(s) m = ReduceSum(f) y = Add(n, m)
    """,
    "twice": f"c = Conv{SAME}(x, v, b) n = {NORM.format('c')} y = {NORM.format('n')}",
}
KEPT = {
    "the convolution is read elsewhere": f"c = Conv{SAME}(x, v, b) n = {NORM.format('c')} y = Add(n, c)",
    "a summand is read elsewhere": f"""
        c = Conv{SAME}(x, v, b) d = Conv(x, w) e = Add(c, d) n = {NORM.format("e")} y = Add(n, d)
    """,
    "a summand is no convolution": f"c = Conv{SAME}(x, v) d = Relu(c) e = Add(c, d) y = {NORM.format('e')}",
    "both summands are one": f"c = Conv{SAME}(x, v) e = Add(c, c) y = {NORM.format('e')}",
    "the summand has one channel": f"c = Conv{SAME}(x, v) d = Conv{SAME}(x, one) e = Add(c, d) y = {NORM.format('e')}",
    "the transposed convolution has groups": f"""
        c = Conv{SAME}(x, v) d = ConvTranspose<pads = [1, 1, 1, 1], group = 2>(c, grouped) y = {NORM.format("d")}
    """,
    "something else is in front": f"c = Conv{SAME}(x, v) r = Relu(c) y = {NORM.format('r')}",
}


def make_model(body: str) -> ModelProto:
    head = '<ir_version: 8, opset_import: ["": 18]> agraph (float[N, 3, H, W] x) => (float[N, C, H, W] y)'
    model = onnx.parser.parse_model(f"{head} {{ {body} }}")
    random = np.random.default_rng(11)
    read = {name for node in model.graph.node for name in node.input}
    for name, shape in SHAPES.items():
        if name in read:
            value = random.random(shape) + 0.5 if name == "variance" else random.standard_normal(shape)
            model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    onnx.checker.check_model(model)
    return model


def list_operators(model: ModelProto) -> Sequence[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("name", FOLDED)
def test_norm_is_folded(name: str) -> None:
    model = make_model(FOLDED[name])
    folded = fold_norms(model)
    onnx.checker.check_model(folded, full_check=True)
    assert list_operators(folded) == [op for op in list_operators(model) if op != "BatchNormalization"]
    assert "scale" not in {tensor.name for tensor in folded.graph.initializer}
    x = np.random.default_rng(5).standard_normal((2, 3, 8, 7)).astype(np.float32)
    (expected,), (actual,) = run_onnxruntime(model, {"x": x}), run_onnxruntime(folded, {"x": x})
    assert np.abs(actual - expected).max() < ROUNDING * max(1, np.abs(expected).max())


@pytest.mark.parametrize("name", KEPT)
def test_norm_that_cannot_be_folded_stays(name: str) -> None:
    model = make_model(KEPT[name])
    folded = fold_norms(model)
    assert list_operators(folded) == list_operators(model)
    x = np.random.default_rng(5).standard_normal((2, 3, 8, 7)).astype(np.float32)
    (expected,), (actual,) = run_onnxruntime(model, {"x": x}), run_onnxruntime(folded, {"x": x})
    assert np.array_equal(actual, expected)


@pytest.mark.parametrize("name", ["v", "scale"])
def test_norm_of_numbers_that_a_user_may_replace_stays(name: str) -> None:
    model = make_model(FOLDED["behind a convolution"])
    model.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, SHAPES[name]))
    assert "BatchNormalization" in list_operators(fold_norms(model))


def test_norm_of_a_sum_that_repeats_a_summand_stays() -> None:
    head = (
        '<ir_version: 8, opset_import: ["": 18]> net (float[4, 3, 4, 8] x, float[4, 8, 8] z) => (float[N, C, H, W] y)'
    )
    body = f"c = Conv{SAME}(x, v) d = Conv<pads = [1, 1]>(z, u) e = Add(c, d) y = {NORM.format('e')}"
    model = onnx.parser.parse_model(f"{head} {{ {body} }}")
    random = np.random.default_rng(11)
    for name, shape in (SHAPES | {"u": (4, 8, 3)}).items():
        if any(name in node.input for node in model.graph.node):
            value = (random.random(shape) + 0.5).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(value, name))
    feeds = {"x": random.random((4, 3, 4, 8), np.float32), "z": random.random((4, 8, 8), np.float32)}
    (expected,), (actual,) = run_onnxruntime(model, feeds), run_onnxruntime(fold_norms(model), feeds)
    assert np.array_equal(actual, expected)


def test_graph_without_norms_is_left_as_it_is() -> None:
    model = make_model(f"y = Conv{SAME}(x, v)")
    assert fold_norms(model) is model
