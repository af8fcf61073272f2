"""Shapes computed in the graph from free sizes, as exporters do: MXNet against ONNX Runtime at several sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from converters.targets.mxnet.runtime import MxnetRunner, missing_mxnet
from converters.targets.mxnet.sizes import Dim, add_meaning, name_size, substitute
from converters.tensors import TensorSpec
from parity_tests.support.runtimes import run_onnxruntime, write_mxnet_files

pytestmark = pytest.mark.skipif(missing_mxnet() is not None, reason=str(missing_mxnet()))

# Batch, height, width.
SIZES = ((1, 8, 16), (3, 9, 7), (2, 15, 11))
IN_EIGHTS = ((1, 8, 16), (3, 24, 8), (2, 16, 16))
# Elements are moved, blended or added up in another order: 4.8e-7 was measured.
MOVED = 5e-6

HEAD = '<ir_version: 8, opset_import: ["": 18]> agraph (float[N, 6, H, W] x) => (float y) {{ {body} }}'
SHAPE_OF_X = """
    n = Shape<start: int = 0, end: int = 1>(x)
    h = Shape<start: int = 2, end: int = 3>(x)
    w = Shape<start: int = 3, end: int = 4>(x)
    one = Constant<value: tensor = int64[1] {1}>()
    two = Constant<value: tensor = int64[1] {2}>()
    three = Constant<value: tensor = int64[1] {3}>()
    six = Constant<value: tensor = int64[1] {6}>()
    eight = Constant<value: tensor = int64[1] {8}>()
    two_of_them = Constant<value: tensor = int64 {2}>()
    zero = Constant<value: tensor = int64[1] {0}>()
    minus_one = Constant<value: tensor = int64[1] {-1}>()
"""

# What the graph is about: its body, which gives y.
GRAPHS = {
    "a crop to twice a pooled size": """
        r = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)
        g = Constant<value: tensor = float[6] {1, 1, 1, 1, 1, 1}>()
        o = Constant<value: tensor = float[6] {0, 0, 0, 0, 0, 0}>()
        m = InstanceNormalization(r, g, o)
        half = Shape<start: int = 2, end: int = 3>(m)
        twice = Mul(half, two)
        y = Slice(x, zero, twice, two)
    """,
    "a crop to as many as two tiles of a pooled plane hold": """
        r = MaxPool<kernel_shape = [2, 1], strides = [2, 1]>(x)
        u = Unsqueeze(r, three)
        reps = Constant<value: tensor = int64[5] {1, 1, 1, 2, 1}>()
        t = Tile(u, reps)
        flat = Constant<value: tensor = int64[3] {0, 0, -1}>()
        rows = Reshape(t, flat)
        length = Shape<start: int = 2, end: int = 3>(rows)
        pixels = Reshape(x, flat)
        y = Slice(pixels, zero, length, two)
    """,
    "the plane as tokens and back": """
        hw = Mul(h, w)
        tokens_shape = Concat<axis: int = 0>(n, six, hw)
        tokens = Reshape(x, tokens_shape)
        turned = Transpose<perm = [0, 2, 1]>(tokens)
        p = Softmax<axis: int = 2>(turned)
        back = Transpose<perm = [0, 2, 1]>(p)
        plane = Concat<axis: int = 0>(n, six, h, w)
        y = Reshape(back, plane)
    """,
    "heads": """
        hw = Mul(h, w)
        shape = Concat<axis: int = 0>(n, two, three, hw)
        heads = Reshape(x, shape)
        turned = Transpose<perm = [0, 1, 3, 2]>(heads)
        scores = MatMul(turned, heads)
        p = Softmax<axis: int = 3>(scores)
        mixed = MatMul(p, turned)
        y = Transpose<perm = [0, 1, 3, 2]>(mixed)
    """,
    "windows and back": """
        high = Div(h, eight)
        wide = Div(w, eight)
        apart = Concat<axis: int = 0>(n, six, high, eight, wide, eight)
        parts = Reshape(x, apart)
        order = Transpose<perm = [0, 2, 4, 3, 5, 1]>(parts)
        rows = Concat<axis: int = 0>(minus_one, eight, eight, six)
        windows = Reshape(order, rows)
        mean = ReduceMean(windows, one)
        centred = Sub(windows, mean)
        again = Concat<axis: int = 0>(n, high, wide, eight, eight, six)
        grid = Reshape(centred, again)
        back = Transpose<perm = [0, 5, 1, 3, 2, 4]>(grid)
        plane = Concat<axis: int = 0>(n, six, h, w)
        y = Reshape(back, plane)
    """,
    "a vector spread over the plane": """
        axes = Constant<value: tensor = int64[2] {2, 3}>()
        mean = ReduceMean(x, axes)
        plane = Concat<axis: int = 0>(n, six, h, w)
        spread = Expand(mean, plane)
        y = Concat<axis: int = 1>(spread, x)
    """,
    "a shape with -1 for the batch's, tested as exporters do": """
        wanted = Concat<axis: int = 0>(minus_one, one, h, w)
        rank = Shape(wanted)
        ones = ConstantOfShape<value: tensor = int64[1] {1}>(rank)
        is_minus = Constant<value: tensor = int64[1] {-1}>()
        same = Equal(wanted, is_minus)
        shape = Where(same, ones, wanted)
        number = Constant<value: tensor = float[1, 1, 1, 1] {2}>()
        spread = Expand(number, shape)
        y = Mul(x, spread)
    """,
    "zeros of the plane's size": """
        plane = Concat<axis: int = 0>(n, one, h, w)
        half = ConstantOfShape<value: tensor = float[1] {0.5}>(plane)
        y = Concat<axis: int = 1>(x, half)
    """,
    "positions": """
        limit = Squeeze(w)
        start = Constant<value: tensor = int64 {0}>()
        step = Constant<value: tensor = int64 {1}>()
        positions = Range(start, limit, step)
        columns = Cast<to: int = 1>(positions)
        y = Add(x, columns)
    """,
    "the left half and the last two rows": """
        half = Div(w, two)
        left = Slice(x, zero, half, three)
        last = Sub(h, two)
        y = Slice(left, last, h, two)
    """,
    "cropped to another tensor's size": """
        small = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)
        height = Shape<start: int = 2, end: int = 3>(small)
        y = Slice(x, zero, height, two)
    """,
    "doubled to a size": """
        high = Mul(h, two)
        wide = Mul(w, two)
        nc = Shape<start: int = 0, end: int = 2>(x)
        size = Concat<axis: int = 0>(nc, high, wide)
        y = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">(x, , , size)
    """,
    **{
        f"doubled and tripled linearly, {how}": f"""
        factors = Constant<value: tensor = float[4] {{1, 1, 2, 3}}>()
        y = Resize<mode = "linear", coordinate_transformation_mode = "{how}">(x, , factors)
    """
        for how in ("align_corners", "half_pixel", "pytorch_half_pixel")
    },
    "tripled linearly to a size": """
        wide = Mul(w, three)
        nch = Shape<start: int = 0, end: int = 3>(x)
        size = Concat<axis: int = 0>(nch, wide)
        y = Resize<mode = "linear", coordinate_transformation_mode = "align_corners">(x, , , size)
    """,
    "the shape taken apart": """
        shape = Shape(x)
        first = Slice(shape, zero, one, zero)
        plane = Slice(shape, two, eight, zero)
        channel = Constant<value: tensor = int64 {1}>()
        channels = Gather<axis: int = 0>(shape, channel)
        twice = Mul(first, two)
        few = Div(channels, two_of_them)
        few_in_a_vector = Unsqueeze(few, zero)
        wanted = Concat<axis: int = 0>(twice, few_in_a_vector, plane)
        y = Reshape(x, wanted)
    """,
    "the shape as a tensor": """
        shape = Shape(x)
        numbers = Cast<to: int = 1>(shape)
        total = ReduceSum(numbers)
        y = Mul(x, total)
    """,
}


def parse(body: str) -> ModelProto:
    """The model of a body, its output of no stated shape."""
    model = onnx.parser.parse_model(HEAD.format(body=f"{SHAPE_OF_X}\n{body}"))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


def open_mxnet(model: ModelProto, folder: Path) -> MxnetRunner:
    inputs, outputs = [TensorSpec("x", ("N", 6, "H", "W"))], [TensorSpec("y", ("N", "C", "H", "W"))]
    return MxnetRunner(*write_mxnet_files(model, folder), inputs, outputs)


@pytest.mark.parametrize("name", GRAPHS)
def test_shapes_of_free_sizes_are_followed(name: str, tmp_path: Path) -> None:
    model = parse(GRAPHS[name])
    with open_mxnet(model, tmp_path) as runner:
        for batch, height, width in IN_EIGHTS if "windows" in name else SIZES:
            x = np.random.default_rng(height).standard_normal((batch, 6, height, width)).astype(np.float32)
            (expected,), actual = run_onnxruntime(model, {"x": x}), runner.run({"x": x})["y"]
            assert actual.shape == expected.shape
            assert np.abs(actual - expected).max() <= MOVED * max(1, np.abs(expected).max())


def test_multiples_of_sizes_and_an_exporters_own_names_are_understood(tmp_path: Path) -> None:
    """The input is 8*h by 8*w; the exporter calls an eighth of it s39 by s94, and computes it as (8*h + 7) // 8."""
    model = parse("""
        small = MaxPool<kernel_shape = [8, 8], strides = [8, 8]>(x)
        seven = Constant<value: tensor = int64[1] {7}>()
        more_high = Add(h, seven)
        high = Div(more_high, eight)
        more_wide = Add(w, seven)
        wide = Div(more_wide, eight)
        shape = Concat<axis: int = 0>(minus_one, two, three, high, wide)
        same = SpaceToDepth<blocksize: int = 1>(small)
        y = Reshape(same, shape)
    """)
    for axis, name in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], ("8*h", "8*w"), strict=True):
        axis.dim_param = name
    for value in ("small", "same"):
        declared = helper.make_tensor_value_info(value, TensorProto.FLOAT, ("N", 6, "s39", "s94"))
        model.graph.value_info.append(declared)
    with open_mxnet(model, tmp_path) as runner:
        for batch, height, width in IN_EIGHTS:
            x = np.random.default_rng(height).standard_normal((batch, 6, height, width)).astype(np.float32)
            (expected,) = run_onnxruntime(model, {"x": x})
            np.testing.assert_array_equal(runner.run({"x": x})["y"], expected)


def test_a_size_never_stands_for_itself_through_others() -> None:
    a, b, c = map(name_size, "abc")
    meanings: dict[str, Dim] = {}
    add_meaning(meanings, "a", b * 2)
    add_meaning(meanings, "b", c // 3)
    add_meaning(meanings, "c", a + 1)  # a is 2 b, which is 2 (c // 3)
    assert substitute(a, meanings) == c // 3 * 2
    assert substitute(c, meanings) == c
