"""Nodes that onnx's own tests do not tell right from wrong: held to ONNX Runtime, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.errors import UnsupportedOpError
from converters.sources.import_onnx import build_waist
from converters.sources.onnx_file import read_onnx
from converters.targets.mxnet.write import convert_to_mxnet
from parity_tests.support.foreign_models import make_model, write_model
from parity_tests.support.runtimes import run_mxnet, run_onnxruntime

# mx.nd.array looks at SciPy's old names.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")
ROUNDING = 1e-6
ROW = "(float[1, 1, 1, {0}] x) => (float[1, 1, 1, K] y)"
PLANE = "(float[1, 4, 4, 6] x) => (float[A, B, C, D] y)"


@pytest.mark.parametrize(("size", "factor"), [(10, 0.7), (10, 0.9), (5, 1.4), (10, 2.3), (20, 0.35)])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_size_is_scaled_in_float32_as_the_factor_is(mode: str, size: int, factor: float, tmp_path: Path) -> None:
    body = f'y = Resize <mode = "{mode}", coordinate_transformation_mode = "asymmetric"> (x, , s)'
    model = make_model(18, body, {"s": np.array([1, 1, 1, factor], np.float32)}, signature=ROW.format(size))
    feeds = {"x": np.random.default_rng(1).random((1, 1, 1, size), np.float32)}
    (expected,), (actual,) = run_onnxruntime(model, feeds), run_mxnet(model, feeds, tmp_path)
    assert actual.shape == expected.shape


def test_no_axes_named_is_all_of_them(tmp_path: Path) -> None:
    model = make_model(13, "y = ReduceMax <keepdims = 0> (x)", signature="(float[2, 3] x) => (float y)")
    model.graph.node[0].attribute.add(name="axes", type=7)
    feeds = {"x": np.random.default_rng(1).random((2, 3), np.float32)}
    (actual,) = run_mxnet(model, feeds, tmp_path)
    assert np.abs(actual.reshape(()) - feeds["x"].max()) <= ROUNDING


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('y = Resize <mode = "area"> (x, , s)', "its mode is 'area'"),
        ('y = Resize <coordinate_transformation_mode = "bogus"> (x, , s)', "its coordinate transformation is 'bogus'"),
        ('y = DepthToSpace <blocksize = 2, mode = "XYZ"> (x)', "its mode is 'XYZ'"),
        ("y = LRN <size = 2> (x)", "its size 2 is even"),
    ],
)
def test_what_has_no_right_answer_is_refused(body: str, said: str) -> None:
    model = make_model(18, body, {"s": np.array([1, 1, 2, 2], np.float32)}, signature=PLANE)
    with pytest.raises(UnsupportedOpError, match=said):
        convert_to_mxnet(model)


@pytest.mark.parametrize("opset", [9, 11])
def test_shapes_computed_with_attributes_of_old_opsets_are_understood(opset: int, tmp_path: Path) -> None:
    body = """
        s = Shape(x) h = Gather(s, two) one_h = Unsqueeze <axes = [0]> (h)
        target = Concat <axis = 0> (zero, minus, one_h) y = Reshape(x, target)
    """
    constants = {"two": np.array(2), "zero": np.array([0]), "minus": np.array([-1])}
    model = make_model(opset, body, constants, signature="(float[N, 4, H, 6] x) => (float[A, B, C] y)")
    feeds = {"x": np.random.default_rng(1).random((2, 4, 5, 6), np.float32)}
    (expected,), (actual,) = run_onnxruntime(model, feeds), run_mxnet(model, feeds, tmp_path)
    assert np.array_equal(actual, expected)


def test_two_free_sizes_of_which_one_may_be_1_are_refused() -> None:
    signature = "(float[A, 3] x, float[B, 3] z) => (float[C, 3] y)"
    with pytest.raises(UnsupportedOpError, match="cannot be told its shape"):
        convert_to_mxnet(make_model(18, "s = Shape(z) y = Expand(x, s)", signature=signature))


@pytest.mark.parametrize(
    "body",
    [
        "y = Expand(one, s)",
        "y = ConstantOfShape(s)",
        "length = Slice(s, zero, one_i) y = Slice(row, zero, length, one_i)",
        "y = Reshape(w, s)",
        "t = Transpose(w) y = MatMul(w, t)",
        "y = Concat <axis = 0> (w, x)",
    ],
)
def test_sum_of_two_free_sizes_is_as_long_as_the_longer(body: str, tmp_path: Path) -> None:
    constants = {
        "one": np.ones((1, 1), np.float32),
        "row": np.arange(8, dtype=np.float32).reshape(1, 8),
        "zero": np.array([0]),
        "one_i": np.array([1]),
    }
    signature = "(float[A, 3] x, float[B, 3] z) => (float[P, Q] y)"
    model = make_model(18, f"w = Add(x, z) s = Shape(w) {body}", constants, signature)
    for a, b in ((1, 2), (2, 1), (2, 2)):
        feeds = {"x": np.ones((a, 3), np.float32), "z": np.ones((b, 3), np.float32)}
        (expected,), (actual,) = run_onnxruntime(model, feeds), run_mxnet(model, feeds, tmp_path)
        assert np.array_equal(actual, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("infinity", [-np.inf, np.inf])
def test_exponentials_of_infinities_are_added_up(infinity: float, dtype: type, tmp_path: Path) -> None:
    kind = "float" if dtype is np.float32 else "double"
    signature = f"({kind}[2, 3] x) => ({kind}[2, 1] y)"
    model = make_model(18, "y = ReduceLogSumExp (x, last)", {"last": np.array([1])}, signature=signature)
    feeds = {"x": np.array([[infinity] * 3, [infinity, 0, 1]], dtype)}
    (expected,), (actual,) = run_onnxruntime(model, feeds), run_mxnet(model, feeds, tmp_path)
    np.testing.assert_allclose(actual, expected, rtol=ROUNDING)


def test_padding_is_less_than_minus_infinity(tmp_path: Path) -> None:
    """By ONNX's definition: ONNX Runtime takes float32's lowest number in some windows."""
    body = "y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 0, 0]> (x)"
    model = make_model(18, body, signature="(float[1, 1, 4, 4] x) => (float[1, 1, 3, 3] y)")
    (actual,) = run_mxnet(model, {"x": np.full((1, 1, 4, 4), -np.inf, np.float32)}, tmp_path)
    assert np.array_equal(actual, np.full((1, 1, 3, 3), -np.inf, np.float32))


@pytest.mark.parametrize("op", ["ReduceLogSum", "ReduceLogSumExp"])
def test_logarithms_of_whole_numbers_are_refused(op: str) -> None:
    model = make_model(18, f"y = {op} (x)", signature="(int32[3, 4] x) => (int32[1, 1] y)")
    with pytest.raises(UnsupportedOpError, match="its input is int32"):
        convert_to_mxnet(model)


@pytest.mark.parametrize("factor", [0.6, 0.35, 1.7])
@pytest.mark.parametrize("constant", ["", "s = Constant<value: tensor = float[4] {{1, 1, 1, {0}}}>()"])
def test_nearest_of_opset_10_is_rounded_as_onnxruntime_does(constant: str, factor: float, tmp_path: Path) -> None:
    weights = {} if constant else {"s": np.array([1, 1, 1, factor], np.float32)}
    model = make_model(10, f"{constant.format(factor)} y = Resize(x, s)", weights, ROW.format(10), ir_version=5)
    feeds = {"x": np.random.default_rng(1).random((1, 1, 1, 10), np.float32)}
    waist = build_waist(read_onnx(write_model(tmp_path, model)))
    (expected,) = run_onnxruntime(model, feeds)
    for actual in (run_onnxruntime(waist, feeds)[0], run_mxnet(waist, feeds, tmp_path)[0]):
        assert np.array_equal(actual, expected)


@pytest.mark.parametrize(("start", "end", "step"), [(-10, -99, -1), (-5, -99, -2), (9, -99, -2), (-4, -99, -1)])
@pytest.mark.parametrize("constant", [False, True])
def test_slice_from_beyond_an_end_is_from_that_end(
    start: int, end: int, step: int, constant: bool, tmp_path: Path
) -> None:
    feeds = {"x": np.random.default_rng(1).random((2, 4), np.float32)}
    bounds = {name: np.array([bound]) for name, bound in (("a", start), ("b", end), ("c", 1), ("d", step))}
    body = f"t = Slice({'k' if constant else 'x'}, a, b, c, d) y = Concat <axis = 1> (t, x)"
    weights = {**bounds, "k": np.random.default_rng(2).random((2, 4), np.float32)} if constant else bounds
    model = make_model(18, body, weights, signature="(float[2, 4] x) => (float[2, K] y)")
    (expected,), (actual,) = run_onnxruntime(model, feeds), run_mxnet(model, feeds, tmp_path)
    assert np.array_equal(actual, expected)


def test_size_of_a_slice_that_nothing_else_reads_is_refused() -> None:
    """Of fewer than three rows it is two, or one: MXNet would say so only if it had to take them."""
    weights = {"zero": np.array([0]), "three": np.array([3]), "one": np.ones((1, 1), np.float32)}
    signature = "(float[A, 4] x) => (float[B, 4] y)"
    model = make_model(18, "t = Slice(x, zero, three) s = Shape(t) y = Expand(one, s)", weights, signature)
    with pytest.raises(UnsupportedOpError, match="nothing but its size is asked for"):
        convert_to_mxnet(model)
