"""Small models of free sizes as people export them: MXNet against ONNX Runtime at several sizes, in one runner."""

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
# Batch, height, width.
SIZES = ((1, 8, 16), (2, 9, 7), (1, 1, 3), (3, 6, 1), (1, 13, 8))
EVEN_SIZES = ((1, 8, 16), (2, 6, 10), (3, 2, 4))
# Sums of up to 72 products of size 1, or means, added in another order: 1e-6 was measured.
CLOSE = 1e-5

POOLED = "g = GlobalAveragePool(x) s = Shape(x) u = Resize<{how}>(g, , , s) y = Mul(x, u)"
UNSHUFFLED = """
    size = Shape<start = -3>(x)
    items = Concat<axis = 0>(all, size)
    batch = Reshape<allowzero = 0>(x, items)
    channels = Shape<start = 1, end = 2>(batch)
    height = Shape<start = 2, end = 3>(batch)
    width = Shape<start = 3, end = 4>(batch)
    high = Div(height, two)
    wide = Div(width, two)
    apart = Concat<axis = 0>(all, channels, high, two, wide, two)
    blocks = Reshape<allowzero = 0>(batch, apart)
    turned = Transpose<perm = [0, 1, 3, 5, 2, 4]>(blocks)
    more = Mul(channels, four)
    together = Concat<axis = 0>(all, more, high, wide)
    planes = Reshape<allowzero = 0>(turned, together)
    y = Conv<pads = [1, 1, 1, 1]>(planes, w)
"""
UNSHUFFLED_WEIGHTS = {"w": (4, 12, 3, 3), "all": np.array([-1]), "two": np.array([2]), "four": np.array([4])}

# What the model is about: the model, and the sizes to run it at.
MODELS: dict[str, tuple[ModelProto, tuple[tuple[int, int, int], ...]]] = {
    **{
        f"pooled, then resized by {mode}, {coordinates}": (
            make_model(
                13,
                POOLED.format(how=f'mode = "{mode}", coordinate_transformation_mode = "{coordinates}"'),
                signature=SIGNATURE,
            ),
            SIZES,
        )
        for mode, coordinates in (
            ("nearest", "asymmetric"),
            ("nearest", "half_pixel"),
            ("linear", "align_corners"),
            ("linear", "half_pixel"),
            ("cubic", "half_pixel"),
        )
    },
    "pooled over the width, then resized by linear": (
        make_model(
            18,
            'r = ReduceMean(x, axis) s = Shape(x) u = Resize<mode = "linear">(r, , , s) y = Mul(x, u)',
            {"axis": np.array([3])},
            SIGNATURE,
        ),
        SIZES,
    ),
    "transposed convolutions of SAME size": (
        make_model(
            11,
            """
            c = ConvTranspose<auto_pad = "SAME_LOWER", strides = [2, 3]>(x, w)
            y = ConvTranspose<auto_pad = "SAME_UPPER", strides = [3, 2]>(c, v)
            """,
            {"w": (3, 4, 3, 4), "v": (4, 2, 4, 3)},
            SIGNATURE,
        ),
        SIZES,
    ),
    "pixels unshuffled, the batch fixed": (
        make_model(18, UNSHUFFLED, UNSHUFFLED_WEIGHTS, SIGNATURE.replace("float[N", "float[1", 1)),
        ((1, 8, 16), (1, 6, 10), (1, 2, 4)),
    ),
    "pixels unshuffled": (make_model(18, UNSHUFFLED, UNSHUFFLED_WEIGHTS, SIGNATURE), EVEN_SIZES),
}

# What is refused: the model, words of the reason, words of the remedy.
REFUSED = {
    "resized from a length above 1": (
        'p = Slice(x, zero, two, height) s = Shape(x) y = Resize<mode = "cubic">(p, , , s)',
        "it resamples axis 2, of size 2, by cubic to the size H, which is known only when it runs",
        "--size",
    ),
    "resized to a number": (
        'y = Resize<mode = "cubic">(x, , , number)',
        "it resamples axis 2, of size H, by cubic to the size 5, which is known only when it runs",
        "--size",
    ),
    "resized by a factor": (
        'y = Resize<mode = "cubic">(x, , factors)',
        "it resamples axis 2, of size H, by cubic to 2.0 times its length, which is known only when it runs",
        "--size",
    ),
    "a transposed convolution to a number": (
        "y = ConvTranspose<output_shape = [20, 20], strides = [2, 2]>(x, w)",
        "axis 2 of its input 'x' has the free size H",
        "--size",
    ),
    "an expansion to a shape that is given": (
        "y = Expand(x, given)",
        "its shape 'given' is an input of the model",
        "Export the shape as a constant",
    ),
    "an expansion to a shape that is computed": (
        "top = ReduceMax<keepdims = 0>(x) many = Cast<to = 7>(top) shape = Unsqueeze(many, zero) y = Expand(x, shape)",
        "its shape 'shape' is computed in the graph",
        "Export the shape as a constant",
    ),
}
CONSTANTS = {
    "zero": np.array([0]),
    "two": np.array([2]),
    "height": np.array([2]),
    "number": np.array([1, 3, 5, 7]),
    "factors": np.array([1, 1, 2, 2], np.float32),
    "w": np.zeros((3, 2, 4, 4), np.float32),
}


def open_mxnet(model: ModelProto, folder: Path) -> MxnetRunner:
    shape = tuple(size.dim_value or size.dim_param for size in model.graph.input[0].type.tensor_type.shape.dim)
    inputs, outputs = [TensorSpec("x", shape)], [TensorSpec("y", ("N", "C", "H", "W"))]
    return MxnetRunner(*write_mxnet_files(model, folder), inputs, outputs)


@needs_mxnet
@pytest.mark.parametrize("name", MODELS)
def test_every_size_is_right_and_the_second_run_too(name: str, tmp_path: Path) -> None:
    model, sizes = MODELS[name]
    with open_mxnet(model, tmp_path) as runner:
        for batch, height, width in sizes:
            for seed in (1, 2):
                x = np.random.default_rng(seed).standard_normal((batch, 3, height, width)).astype(np.float32)
                (expected,), actual = run_onnxruntime(model, {"x": x}), runner.run({"x": x})["y"]
                assert actual.shape == expected.shape
                assert np.abs(actual - expected).max() <= CLOSE


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_follow_the_size_is_refused_in_true_words(name: str) -> None:
    body, met, remedy = REFUSED[name]
    signature = "(float[1, 3, H, W] x, int64[4] given) => (float[N, C, H2, W2] y)"
    with pytest.raises(UnsupportedOpError) as caught:
        convert_to_mxnet(make_model(13, body, CONSTANTS, signature))
    assert caught.value.met == met
    assert remedy in caught.value.remedy
