"""Resize where a size is free: MXNet against ONNX Runtime at several sizes, in one runner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from converters.errors import UnsupportedOpError
from converters.targets.mxnet.runtime import MxnetRunner, missing_mxnet
from converters.targets.mxnet.write import convert_to_mxnet
from converters.tensors import TensorSpec
from parity_tests.support.foreign_models import make_model
from parity_tests.support.runtimes import run_onnxruntime, write_mxnet_files

needs_mxnet = pytest.mark.skipif(missing_mxnet() is not None, reason=str(missing_mxnet()))

SIGNATURE = "(float[N, 3, H, W] x) => (float[N, C, H2, W2] y)"
# Batch, height, width; the factors of the models leave whole and other numbers.
SIZES = ((1, 8, 16), (2, 9, 7), (1, 4, 3), (3, 6, 5), (1, 33, 48))
# ONNX Runtime and MXNet's own operator for planes compute a linear filter's coordinates in float32: both were 8.7e-6
# from float64 at 33x48 (standard normal numbers, align_corners by 2), which our matrices are not.
CLOSE = 2e-5
# How a size comes about: nodes before the Resize, its last operands, and the weights.
WAYS = {
    "by 2": ("", "x, , factors", {"factors": np.array([1, 1, 2, 2], np.float32)}),
    "by a half": ("", "x, , factors", {"factors": np.array([1, 1, 0.5, 0.5], np.float32)}),
    "by 1.5 and 2.25": ("", "x, , factors", {"factors": np.array([1, 1, 1.5, 2.25], np.float32)}),
    "to a number": ("", "x, , , sizes", {"sizes": np.array([0, 3, 5, 11])}),
    "to the size before a pool": (
        "p = MaxPool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>(x) s = Shape(x)",
        "p, , , s",
        {},
    ),
    "from a number": (
        "p = Slice(x, starts, ends, axes) s = Shape(x)",
        "p, , , s",
        {"starts": np.array([0, 0]), "ends": np.array([4, 3]), "axes": np.array([2, 3])},
    ),
}
HOW = [
    ("linear", "half_pixel", ""),
    ("linear", "pytorch_half_pixel", ""),
    ("linear", "align_corners", ""),
    ("linear", "asymmetric", ""),
    ("nearest", "half_pixel", "round_prefer_floor"),
    ("nearest", "half_pixel", "round_prefer_ceil"),
    ("nearest", "asymmetric", "floor"),
    ("nearest", "asymmetric", "ceil"),
    ("nearest", "align_corners", "round_prefer_ceil"),
]


def make_resize(mode: str, coordinates: str, nearest: str, way: str) -> ModelProto:
    before, operands, weights = WAYS[way]
    if "sizes" in weights:  # N is free: it is copied from the input
        before, operands = "n = Shape<end = 1>(x) all = Concat<axis = 0>(n, sizes)", "x, , , all"
        weights = {"sizes": weights["sizes"][1:]}
    rounding = f', nearest_mode = "{nearest}"' if nearest else ""
    how = f'mode = "{mode}", coordinate_transformation_mode = "{coordinates}"{rounding}'
    return make_model(18, f"{before} y = Resize<{how}>({operands})", weights, SIGNATURE)


# Of factors of align_corners that are not whole onnx's tests and ONNX Runtime differ: they are refused.
CASES = [
    (*how, way)
    for how in HOW
    for way in WAYS
    if not (how[1] == "align_corners" and way in ("by a half", "by 1.5 and 2.25"))
]


@needs_mxnet
@pytest.mark.parametrize(("mode", "coordinates", "nearest", "way"), CASES)
def test_every_size_is_right(mode: str, coordinates: str, nearest: str, way: str, tmp_path: Path) -> None:
    model = make_resize(mode, coordinates, nearest, way)
    specs = [TensorSpec("x", ("N", 3, "H", "W"))], [TensorSpec("y", ("N", "C", "H2", "W2"))]
    with MxnetRunner(*write_mxnet_files(model, tmp_path), *specs) as runner:
        for batch, height, width in SIZES:
            x = np.random.default_rng(height).standard_normal((batch, 3, height, width)).astype(np.float32)
            (expected,), actual = run_onnxruntime(model, {"x": x}), runner.run({"x": x})["y"]
            assert actual.shape == expected.shape
            assert np.abs(actual - expected).max() <= CLOSE, (batch, height, width)


@pytest.mark.parametrize(
    ("how", "factor", "said"),
    [
        ('mode = "cubic"', 1.5, "by cubic to 1.5 times its length, which is known only when it runs"),
        ('mode = "linear", antialias = 1', 0.5, "by linear to 0.5 times its length, which is known only when it runs"),
        ('mode = "linear"', 0.7, "by linear to 0.699"),
        ('mode = "linear", coordinate_transformation_mode = "align_corners"', 2.5, "by linear to 2.5 times"),
        ('mode = "nearest", coordinate_transformation_mode = "tf_half_pixel_for_nn"', 2.5, "tf_half_pixel_for_nn"),
    ],
)
def test_what_is_not_written_is_refused(how: str, factor: float, said: str) -> None:
    weights = {"factors": np.array([1, 1, factor, factor], np.float32)}
    with pytest.raises(UnsupportedOpError) as caught:
        convert_to_mxnet(make_model(18, f"y = Resize<{how}>(x, , factors)", weights, SIGNATURE))
    assert said in caught.value.met
    assert "--size" in caught.value.remedy
