"""Chains that random trials found wrong: MXNet against ONNX Runtime, or refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.errors import UnsupportedOpError
from converters.targets.mxnet.write import convert_to_mxnet
from converters.tensors import Array
from parity_tests.support.foreign_models import make_model
from parity_tests.support.runtimes import run_mxnet, run_onnxruntime

# mx.nd.array looks at SciPy's old names.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")
# Of sums of a few numbers of size 1.
ROUNDING = 2e-6

Weights = dict[str, Array]
Shape = tuple[int, ...]
ONES = np.ones((1, 2, 3), np.float32)

# Nodes, their constants, the graph's signature, and shapes of x (and z) to run it at.
RIGHT: dict[str, tuple[str, Weights, str, list[tuple[Shape, ...]]]] = {
    "a letter of size 1 in one of the operands": (
        'e = Einsum <equation = "ab,bc->bac"> (x, z) s = Shape(e) y = ConstantOfShape(s)',
        {},
        "(float[2, A] x, float[B, 3] z) => (float[P, Q, R] y)",
        [((2, 1), (4, 3)), ((2, 4), (1, 3)), ((2, 4), (4, 3))],
    ),
    "a product that is one number": (
        'e = Einsum <equation = "ab,ab->"> (x, z) y = Add(e, one)',
        {"one": np.ones(1, np.float32)},
        "(float[A, 3] x, float[A, 3] z) => (float[1] y)",
        [((2, 3), (2, 3))],
    ),
    "a product that is one number, unsaid": (
        'e = Einsum <equation = "...a,...a"> (x, z) y = Add(e, one)',
        {"one": np.ones(1, np.float32)},
        "(float[A] x, float[A] z) => (float[1] y)",
        [((3,), (3,))],
    ),
    "nearest of coordinates that float32 makes whole": (
        'y = Resize <mode = "nearest", nearest_mode = "ceil"> (x, , s)',
        {"s": np.array([1, 2.6], np.float32)},
        "(float[2, 5] x) => (float[2, 13] y)",
        [((2, 5),)],
    ),
    "nearest of coordinates that are halves but for rounding": (
        'y = Resize <mode = "nearest", nearest_mode = "round_prefer_ceil", '
        'coordinate_transformation_mode = "asymmetric"> (x, , s)',
        {"s": np.array([1, 1.2], np.float32)},
        "(float[2, 58] x) => (float[2, 69] y)",
        [((2, 58),)],
    ),
    "constant numbers beyond the depth": (
        "h = OneHot(k, depth, values) y = Add(x, h)",
        {"k": np.array([1, 5]), "depth": np.array(4), "values": np.array([0, 1], np.float32)},
        "(float[2, 4] x) => (float[2, 4] y)",
        [((2, 4),)],
    ),
    "a transposed kernel larger than a row": (
        "y = ConvTranspose <dilations = [2]> (x, w)",
        {"w": np.ones((2, 2, 3), np.float32)},
        "(float[1, 2, 2] x) => (float[1, 2, 6] y)",
        [((1, 2, 2),)],
    ),
    "one place": ("y = GatherND(x, at)", {"at": np.array([-1])}, "(float[3, 4] x) => (float[4] y)", [((3, 4),)]),
    "one number's place": (
        "y = GatherND(x, at)",
        {"at": np.array([2, -1])},
        "(float[3, 4] x) => (float y)",
        [((3, 4),)],
    ),
    "the largest of a vector": ("y = Hardmax(x)", {}, "(float[5] x) => (float[5] y)", [((5,),)]),
    "sums before each of one": (
        "y = CumSum <exclusive = 1> (x, one)",
        {"one": np.array(1)},
        "(float[2, A] x) => (float[2, A] y)",
        [((2, 1),), ((2, 4),)],
    ),
    "the largest, nobody asks where": (
        "v, i = TopK <axis = 1> (x, k) y = Neg(v)",
        {"k": np.array([2])},
        "(float[2, A] x) => (float[2, K] y)",
        [((2, 5),), ((2, 2),)],
    ),
    "a pool of a constant row": (
        "p = GlobalMaxPool(k) y = Add(x, p)",
        {"k": np.arange(6, dtype=np.float32).reshape(1, 2, 3)},
        "(float[1, 2, A] x) => (float[1, 2, A] y)",
        [((1, 2, 4),)],
    ),
    "means of a constant beyond its end": (
        "p = AveragePool <kernel_shape = [2], strides = [2], ceil_mode = 1> (k) y = Add(x, p)",
        {"k": np.arange(6, dtype=np.float32).reshape(1, 2, 3)},
        "(float[1, 2, 2] x) => (float[1, 2, 2] y)",
        [((1, 2, 2),)],
    ),
    "a constant response": (
        "p = LRN <size = 5, alpha = 0.1> (k) y = Add(x, p)",
        {"k": np.arange(48, dtype=np.float32).reshape(1, 6, 2, 4)},
        "(float[1, 6, 2, 4] x) => (float[1, 6, 2, 4] y)",
        [((1, 6, 2, 4),)],
    ),
    "a constant upsampled": (
        "p = ConvTranspose <dilations = [2]> (k, w, b) y = Add(x, p)",
        {"k": ONES, "w": np.ones((2, 2, 2), np.float32), "b": np.array([1, 2], np.float32)},
        "(float[1, 2, 5] x) => (float[1, 2, 5] y)",
        [((1, 2, 5),)],
    ),
}
# Nodes, their constants, the graph's signature, and words of the refusal.
REFUSED: dict[str, tuple[str, Weights, str, str]] = {
    "windows larger than a row": (
        "y = MaxPool <kernel_shape = [3], strides = [2]> (x)",
        {},
        "(float[1, 2, 2] x) => (float[1, 2, 1] y)",
        "its windows are larger than axis 2",
    ),
    "windows of a plane on a row": (
        "y = LpPool <kernel_shape = [1, 1]> (x)",
        {},
        "(float[1, 2, 2] x) => (float y)",
        "its input has rank 3 and its windows 2 axes",
    ),
    "automatic pads of dilated windows": (
        'y = MaxPool <kernel_shape = [2], dilations = [2], auto_pad = "SAME_UPPER"> (x)',
        {},
        "(float[1, 2, 6] x) => (float[1, 2, 6] y)",
        "its auto_pad is SAME_UPPER and its dilations",
    ),
    "pads that cut off all there is": (
        "y = Pad(x, p)",
        {"p": np.array([1, -1])},
        "(float[1] x) => (float[1] y)",
        "it cuts 1 of axis 0, which has 1",
    ),
    "corners of a length that is not whole": (
        'y = Resize <coordinate_transformation_mode = "align_corners", mode = "linear"> (x, , s)',
        {"s": np.array([1, 1, 0.7], np.float32)},
        "(float[1, 2, 4] x) => (float[1, 2, 2] y)",
        "is no whole number",
    ),
    "a crop that changes no size": (
        'y = Resize <coordinate_transformation_mode = "tf_crop_and_resize"> (x, roi, , sizes)',
        {"roi": np.array([0, 0.2, 1, 0.8], np.float32), "sizes": np.array([3, 4])},
        "(float[2, 4] x) => (float[3, 4] y)",
        "does not crop axis 1",
    ),
    "a crop by a factor": (
        'y = Resize <coordinate_transformation_mode = "tf_crop_and_resize"> (x, roi, factors)',
        {"roi": np.array([0, 0.2, 1, 0.8], np.float32), "factors": np.array([1, 2], np.float32)},
        "(float[2, 4] x) => (float[2, 4] y)",
        "differ in what a factor times a crop is",
    ),
    "factors that change no size": (
        'y = Resize <mode = "linear"> (x, , factors)',
        {"factors": np.array([1, 1.1], np.float32)},
        "(float[2, 9] x) => (float[2, 9] y)",
        "its factors change no size",
    ),
    "nearest by symmetric halves that rounding tells apart": (
        'y = Resize <coordinate_transformation_mode = "half_pixel_symmetric", nearest_mode = "ceil"> (x, , factors)',
        {"factors": np.array([1, 0.3], np.float32)},
        "(float[2, 53] x) => (float[2, 15] y)",
        "rounding decides which element is the nearest",
    ),
    "a transposed kernel shorter than its stride": (
        'y = ConvTranspose <auto_pad = "SAME_UPPER", strides = [3]> (x, w)',
        {"w": np.ones((1, 1, 2), np.float32)},
        "(float[1, 1, 6] x) => (float[1, 1, K] y)",
        "its kernel reaches less far than its stride",
    ),
    "a transposed kernel of a volume, spread": (
        "y = ConvTranspose <dilations = [1, 2, 1]> (x, w)",
        {"w": np.ones((1, 1, 2, 2, 2), np.float32)},
        "(float[1, 1, 2, 2, 2] x) => (float y)",
        "MXNet spreads no transposed kernels",
    ),
    "a letter of two sizes": (
        'y = Einsum <equation = "ab,ab->a"> (x, k)',
        {"k": np.ones((2, 3), np.float32)},
        "(float[2, 4] x) => (float[2] y)",
        "its letter 'b' is 4 and 3",
    ),
    "a term of another rank": (
        'y = Einsum <equation = "abc->a"> (x)',
        {},
        "(float[2, 4] x) => (float y)",
        "its term 'abc' does not fit a tensor of rank 2",
    ),
    "a triangle of six axes": (
        "y = Trilu(x)",
        {},
        "(float[1, 1, 1, 1, 2, 2] x) => (float[1, 1, 1, 1, 2, 2] y)",
        "its result has rank 6",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_chain_gives_what_onnxruntime_gives(name: str, tmp_path: Path) -> None:
    body, weights, signature, runs = RIGHT[name]
    model = make_model(18, body, weights, signature)
    for shapes in runs:
        random = np.random.default_rng(1)
        feeds = {
            given: random.random(shape, np.float32)
            for given, shape in zip(("x", "z")[: len(shapes)], shapes, strict=True)
        }
        (expected,), (actual,) = run_onnxruntime(model, feeds), run_mxnet(model, feeds, tmp_path)
        assert actual.shape == (expected.shape or (1,))
        assert np.abs(actual - expected).max() <= ROUNDING * max(1, np.abs(expected).max())


@pytest.mark.parametrize("name", REFUSED)
def test_chain_without_a_right_answer_is_refused(name: str) -> None:
    body, weights, signature, said = REFUSED[name]
    with pytest.raises(UnsupportedOpError, match=said):
        convert_to_mxnet(make_model(18, body, weights, signature))
