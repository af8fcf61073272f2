"""Nodes that onnx's own tests do not tell right from wrong: held to ONNX Runtime, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.errors import UnsupportedOpError
from converters.to_mxnet import convert_to_mxnet
from parity_tests.foreign_models import make_model
from parity_tests.test_mxnet_ops import run_mxnet, run_onnxruntime

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
