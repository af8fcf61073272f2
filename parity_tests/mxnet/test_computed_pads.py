"""Pads whose amounts follow from free sizes: MXNet against ONNX Runtime at several sizes, each twice in one runner."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from converters.errors import UnsupportedOpError
from converters.targets.mxnet.runtime import MxnetRunner, missing_mxnet
from converters.targets.mxnet.size_vectors import infer_sizes, size_vector
from converters.targets.mxnet.sizes import Dim, SymbolicDim, name_size, substitute
from converters.targets.mxnet.write import convert_to_mxnet
from converters.tensors import TensorSpec
from parity_tests.support.foreign_models import IR_VERSIONS, make_model
from parity_tests.support.runtimes import run_onnxruntime, write_mxnet_files

needs_mxnet = pytest.mark.skipif(missing_mxnet() is not None, reason=str(missing_mxnet()))

SIGNATURE = "(float[N, 3, H, W] x) => (float[N, C, H2, W2] y)"
# Batch, height, width.
SIZES = ((1, 8, 16), (2, 9, 7), (1, 15, 11), (3, 6, 24), (1, 5, 13))
SMALL_SIZES = (*SIZES, (1, 1, 2), (2, 3, 1))
# Sums of up to 144 products of size 0.3, added in another order: 4e-7 was measured.
CONVOLVED = 5e-6

CONSTANTS = {
    "zero": np.array([0]),
    "one": np.array([1]),
    "two": np.array([2]),
    "four": np.array([4]),
    "m": np.array([8, 4]),
    "least": np.array([30, 25]),
    "no_pads": np.zeros(6, np.int64),
    "no_pads_before": np.zeros(2, np.int64),
    "no_pads_in_between": np.zeros(2, np.int64),
    "planes": np.array([2, 3]),
    "value": np.array(2.5, np.float32),
    "fourth": np.array([0, 0, 1, 0, 0, 0, 2]),
    "pairs": np.array([-1, 2]),
    "all": np.array([-1]),
    "lowest": np.array([-(2**63) + 1]),
}
SIZE = "s = Shape(x) hw = Slice(s, two, four, zero) "
TO_MULTIPLE = SIZE + "minus = Neg(hw) more = Mod(minus, m) pads = Concat<axis = 0>(no_pads, more) "
# As torch code has it: (m - size % m) % m, half of it before the plane.
AROUND = (
    SIZE
    + """
    rest = Mod(hw, m) lack = Sub(m, rest) more = Mod(lack, m) before = Div(more, two) after = Sub(more, before)
    pads = Concat<axis = 0>(no_pads_before, before, no_pads_in_between, after)
"""
)
# As torch's exporter writes F.pad: the list of pads is reversed and turned in the graph.
UNET = """
    skip = Relu(x)
    small = MaxPool<kernel_shape = [2, 2], strides = [2, 2], ceil_mode = {ceil}>(skip)
    up = ConvTranspose<strides = [2, 2]>(small, w)
    s = Shape(skip) u = Shape(up)
    ends = Slice(s, two, four, zero) begins = Slice(u, two, four, zero)
    more = Sub(ends, begins)
    left = Div(more, two) right = Sub(more, left)
    axis_2 = Slice(left, zero, one, zero) axis_3 = Slice(left, one, two, zero)
    axis_2_end = Slice(right, zero, one, zero) axis_3_end = Slice(right, one, two, zero)
    listed = Concat<axis = 0>(axis_3, axis_3_end, axis_2, axis_2_end, no_pads_before, no_pads_in_between)
    rows = Reshape(listed, pairs)
    turned = Slice(rows, all, lowest, zero, all)
    columns = Transpose<perm = [1, 0]>(turned)
    pads = Reshape(columns, all)
    same = Pad(up, pads)
    y = Concat<axis = 1>(skip, same)
"""


def make(body: str, opset: int = 13, signature: str = SIGNATURE) -> ModelProto:
    weights = {**CONSTANTS, "w": (3, 2, 2, 2)}
    return make_model(opset, body, weights, signature, ir_version=IR_VERSIONS[opset])


# What the model is about: the model, and the sizes to run it at.
MODELS = {
    "zeros to a multiple": (make(f"{TO_MULTIPLE} y = Pad(x, pads)"), SMALL_SIZES),
    "a number to a multiple": (make(f"{TO_MULTIPLE} y = Pad(x, pads, value)"), SMALL_SIZES),
    "reflected to a multiple": (make(f'{TO_MULTIPLE} y = Pad<mode = "reflect">(x, pads)'), SIZES),
    "the edge to a multiple": (make(f'{TO_MULTIPLE} y = Pad<mode = "edge">(x, pads)'), SMALL_SIZES),
    "wrapped to a multiple": (make(f'{TO_MULTIPLE} y = Pad<mode = "wrap">(x, pads)', 19), SIZES),
    "zeros around": (make(f"{AROUND} y = Pad(x, pads)"), SMALL_SIZES),
    "reflected around": (make(f'{AROUND} y = Pad<mode = "reflect">(x, pads)'), SIZES),
    "wrapped around": (make(f'{AROUND} y = Pad<mode = "wrap">(x, pads)', 19), SIZES),
    "the edge around, by axes": (
        make(f'{AROUND} two_axes = Concat<axis = 0>(before, after) y = Pad<mode = "edge">(x, two_axes, , planes)', 18),
        SMALL_SIZES,
    ),
    "whole numbers": (
        make(f"{AROUND} whole = Cast<to = 7>(x) wide = Pad(whole, pads) y = Cast<to = 1>(wide)"),
        SMALL_SIZES,
    ),
    "to a number": (
        make(f"{SIZE} more = Sub(least, hw) pads = Concat<axis = 0>(no_pads, more) y = Pad(x, pads)"),
        SMALL_SIZES,
    ),
    "the width free, the others numbers": (
        make(
            "s = Shape<start = 3>(x) minus = Neg(s) more = Mod(minus, m8)"
            ' pads = Concat<axis = 0>(fourth, more) y = Pad<mode = "edge">(x, pads)'.replace("m8", "four"),
            18,
        ),
        SMALL_SIZES,
    ),
    "the batch": (
        make(
            "n = Shape<end = 1>(x) minus = Neg(n) more = Mod(minus, four)"
            " pads = Concat<axis = 0>(zero, zero, zero, zero, more, zero, zero, zero) y = Pad(x, pads)",
            18,
        ),
        SMALL_SIZES,
    ),
    "a U-Net's upsampled plane to the skip's size": (make(UNET.format(ceil=0)), SIZES),
}
# The oracle has no tolerance where elements are only moved.
TOLERANCES = {"a U-Net's upsampled plane to the skip's size": CONVOLVED}

HALF = SIZE + "half = Div(hw, two) "
REFUSED = {
    "pads that may be negative, reflected": (
        f'{SIZE} more = Sub(least, hw) pads = Concat<axis = 0>(no_pads, more) y = Pad<mode = "reflect">(x, pads)',
        "MXNet cannot be told its pads (0, 30 + -1*H)",
    ),
    "half of what may be negative": (
        f"{SIZE} lack = Sub(least, hw) more = Div(lack, two) pads = Concat<axis = 0>(no_pads, more) y = Pad(x, pads)",
        "its pads 'pads' is computed in the graph",
    ),
    "to a size that is a difference": (
        f"""{SIZE} h = Slice(hw, zero, one, zero) w2 = Slice(hw, one, two, zero) more = Sub(w2, h)
        twice = Mul(more, two) pads = Concat<axis = 0>(no_pads, twice, zero) y = Pad(x, pads)""",
        "MXNet cannot be told its size (-1*H + 2*W)",
    ),
}


@needs_mxnet
@pytest.mark.parametrize("name", MODELS)
def test_every_size_is_padded_as_onnxruntime_does(name: str, tmp_path: Path) -> None:
    model, sizes = MODELS[name]
    inputs, outputs = [TensorSpec("x", ("N", 3, "H", "W"))], [TensorSpec("y", ("N", "C", "H2", "W2"))]
    with MxnetRunner(*write_mxnet_files(model, tmp_path), inputs, outputs) as runner:
        for batch, height, width in sizes:
            for seed in (1, 2):
                x = 9 * np.random.default_rng(seed).standard_normal((batch, 3, height, width)).astype(np.float32)
                (expected,), actual = run_onnxruntime(model, {"x": x}), runner.run({"x": x})["y"]
                assert actual.shape == expected.shape
                assert np.abs(actual - expected).max() <= TOLERANCES.get(name, 0)


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_follow_is_refused(name: str) -> None:
    body, met = REFUSED[name]
    with pytest.raises(UnsupportedOpError) as caught:
        convert_to_mxnet(make(body))
    assert caught.value.met == met
    assert "--size" in caught.value.remedy


def draw_size(draw: random.Random, depth: int) -> Dim:
    """A size of two names, with floor divisions inside each other."""
    size: Dim = draw.randint(-9, 9)
    for name in ("h", "w"):
        size = size + draw.randint(-4, 4) * name_size(name)
    if depth:
        size = size + draw.randint(-3, 3) * (draw_size(draw, depth - 1) // draw.randint(2, 5))
    return size


def put(size: Dim, height: int, width: int) -> int:
    value = substitute(size, {"h": height, "w": width})
    assert isinstance(value, int)
    return value


@pytest.mark.parametrize("seed", range(200))
def test_division_of_free_sizes_is_that_of_numbers(seed: int) -> None:
    draw = random.Random(seed)
    size, divisor = draw_size(draw, 2), draw.randint(2, 8)
    for _ in range(20):
        height, width = draw.randint(1, 40), draw.randint(1, 40)
        assert put(size // divisor, height, width) == put(size, height, width) // divisor


@pytest.mark.parametrize("seed", range(200))
def test_no_size_is_below_its_bound(seed: int) -> None:
    draw = random.Random(seed)
    size = draw.randint(1, 3) * name_size("h") + draw.randint(-6, 6)
    size = size + draw.randint(1, 8) * ((size + draw.randint(0, 7)) // draw.randint(2, 8)) * draw.choice((1, -1))
    if isinstance(size, SymbolicDim) and (least := size.lower_bound()) is not None:
        heights = range(8, 60)  # a quotient of a positive size, as axes are
        assert all(put(size, height, 1) >= least for height in heights)


def test_some_bounds_are_tight() -> None:
    h = name_size("h")
    assert (h - 2 * (h // 2)).lower_bound() == 0
    assert (8 * ((h + 7) // 8) - h).lower_bound() == 0
    assert (h - 3).lower_bound() == -2
    assert (5 - h).lower_bound() is None


@pytest.mark.parametrize(("op", "attributes"), [("Div", {}), ("Mod", {}), ("Mod", {"fmod": 1})])
def test_quotient_and_remainder_of_sizes_are_onnxs(op: str, attributes: dict[str, int]) -> None:
    """Quotients are rounded towards zero, remainders have the divisor's sign, or with fmod the dividend's."""
    h = name_size("h")
    dividends = [h, 2 * (h // 2) - h, h - 2 * ((h + 1) // 2), h - 3 * (h // 3), 7 - 7 * h]
    for dividend in dividends:
        found = infer_sizes(op, [size_vector([dividend]), np.array([3])], attributes)
        if found is None:
            assert attributes
            continue
        for height in range(1, 30):
            value = put(dividend, height, 1)
            rounded = int(value / 3)
            expected = rounded if op == "Div" else value - 3 * (rounded if attributes else value // 3)
            assert put(found[0], height, 1) == expected
