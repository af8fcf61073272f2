"""Tiled convolutions give what torch gives in float64, on planes of any size, and leave what they do not handle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper

from converters.onnx_graph.serialize import serialize
from converters.rewrites import choose_tiling
from converters.rewrites.tiling import Convolution
from converters.rewrites.winograd import rewrite_winograd
from parity_tests.support.convolution_cases import (
    CONVS,
    IN_CHANNELS,
    OUT_CHANNELS,
    RELATIVE,
    SIZES,
    chain,
    down_and_up,
    make_model,
    model_of,
    run_onnx,
    torch_result,
)


@pytest.fixture(autouse=True)
def _every_tiling_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_tiling, "MAX_COST_RATIO", float("inf"))


def op_types(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("name", CONVS)
def test_tiled_convolution_gives_what_torch_gives_at_any_size(name: str, small: bool) -> None:
    conv = CONVS[name]
    tiled, (choice,) = rewrite_winograd(model_of(conv))
    assert choice.chosen == "tiles"
    assert not {"Conv", "ConvTranspose"} & set(op_types(tiled))
    # A reflection became part of the indices; the one Pad that may stay adds a row of zeros.
    assert all(a.s != b"reflect" for node in tiled.graph.node if node.op_type == "Pad" for a in node.attribute)
    random = np.random.default_rng(1)
    for batch, height, width in SIZES:
        x = random.standard_normal((batch, IN_CHANNELS, height, width)).astype(np.float32)
        expected = torch_result(conv, x)
        (actual,) = run_onnx(tiled, x, small=small)
        assert actual.shape == expected.shape
        assert np.abs(actual - expected).max() <= RELATIVE * np.abs(expected).max(), (batch, height, width)


@pytest.mark.parametrize("outputs", [2, 4])
@pytest.mark.parametrize("name", ["3x3", "3x3 dilation 2 mirrored", "4x4 stride 2", "4x4 stride 2 transposed"])
def test_every_size_of_tile_is_right(name: str, outputs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_tiling, "TILE_SIZES", (outputs,))
    x = np.random.default_rng(2).standard_normal((1, IN_CHANNELS, 14, 19)).astype(np.float32)
    expected = torch_result(CONVS[name], x)
    (actual,) = run_onnx(rewrite_winograd(model_of(CONVS[name]))[0], x)
    assert np.abs(actual - expected).max() <= RELATIVE * np.abs(expected).max()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "groups": ({"group": 5}, "it has 5 groups"),
    "asymmetric pads": ({"pads": [1, 1, 0, 1]}, "its pads (1, 1, 0, 1) are not all equal"),
    "unequal strides": ({"strides": [1, 2]}, "its strides (1, 2) are not all equal"),
    "unequal dilations": ({"dilations": [1, 2]}, "its dilations (1, 2) are not all equal"),
    "stride and dilation": ({"strides": [2, 2], "dilations": [2, 2]}, "it has stride 2 and dilation 2"),
    "padding left to the runtime": ({"auto_pad": "SAME_UPPER"}, "its padding is left to the runtime"),
}


def require_untouched(model: ModelProto, sentence: str) -> None:
    before = serialize(model)
    rewritten, choices = rewrite_winograd(model)
    assert serialize(rewritten) == before
    assert serialize(model) == before
    assert all(choice.chosen == "as it is" for choice in choices)
    assert sentence in choices[0].reason


@pytest.mark.parametrize("name", REFUSED)
def test_attribute_that_is_not_handled_is_refused_and_the_graph_stays(name: str) -> None:
    changed, sentence = REFUSED[name]
    model = model_of({"kernel": 3}, **changed)
    if "auto_pad" in changed:
        del model.graph.node[0].attribute[[a.name for a in model.graph.node[0].attribute].index("pads")]
    require_untouched(model, sentence)


def test_weight_that_two_convolutions_share_is_refused() -> None:
    weight = np.ones((IN_CHANNELS, IN_CHANNELS, 3, 3), np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"]), helper.make_node("Conv", ["h", "w"], ["y"])]
    require_untouched(make_model(nodes, {"w": weight}), "its weight is shared with another node")


@pytest.mark.parametrize(("index", "role"), [(1, "weight"), (2, "bias")])
def test_weight_that_is_an_input_of_the_model_is_refused(index: int, role: str) -> None:
    model = model_of({"kernel": 3})
    (tensor,) = (t for t in model.graph.initializer if t.name == "wb"[index - 1])
    model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    require_untouched(model, f"its {role} is an input of the model or computed in the graph")


def test_weight_of_another_type_is_refused() -> None:
    weight = np.ones((1, IN_CHANNELS, 3, 3), np.float64)
    require_untouched(make_model([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": weight}), "its weight is float64")


def test_kernel_that_is_not_square_is_refused() -> None:
    weight = np.ones((1, IN_CHANNELS, 3, 1), np.float32)
    model = make_model([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": weight})
    require_untouched(model, "its kernel is 3 x 1; only square ones are handled")


def test_kernel_of_too_many_taps_and_one_of_a_single_tap_stay() -> None:
    require_untouched(model_of({"kernel": 7}), "7 taps an axis want more than 6 points")
    require_untouched(model_of({"kernel": 1}), "one tap an axis")


def test_few_channels_do_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    require_untouched(model_of({"kernel": 3}), "x the direct way's time")


def test_reflection_that_is_not_the_same_on_all_sides_stays_in_front() -> None:
    model = model_of({"kernel": 3, "mirrored": 1})
    uneven = numpy_helper.from_array(np.array([0, 0, 1, 2, 0, 0, 2, 1], np.int64), "pads")
    (old,) = (t for t in model.graph.initializer if t.name == "pads")
    old.CopyFrom(uneven)
    x = np.random.default_rng(3).standard_normal((1, IN_CHANNELS, 9, 10)).astype(np.float32)
    tiled, _ = rewrite_winograd(model)
    assert "Pad" in op_types(tiled)
    np.testing.assert_allclose(run_onnx(tiled, x)[0], run_onnx(model, x)[0], atol=1e-4)


def test_what_is_between_two_tiled_convolutions_stays_with_channels_last() -> None:
    # A Pad that something else reads too stays for it.
    top = helper.make_node("ReduceMax", ["padded"], ["top"], keepdims=1)
    model = chain(top, outputs=("y", "top"))
    tiled, choices = rewrite_winograd(model)
    assert [choice.chosen for choice in choices] == ["tiles", "tiles"]
    assert op_types(tiled).count("Transpose") == 2  # in at x, out at y
    x = np.random.default_rng(5).standard_normal((2, IN_CHANNELS, 10, 14)).astype(np.float32)
    for actual, expected in zip(run_onnx(tiled, x), run_onnx(model, x), strict=True):
        assert np.abs(actual - expected).max() <= 10 * RELATIVE * np.abs(expected).max()


def test_planes_of_different_sizes_are_told_apart() -> None:
    tiled, choices = rewrite_winograd(down_and_up())
    assert [choice.chosen for choice in choices] == ["tiles"] * 3
    for batch, height, width in SIZES:
        x = np.random.default_rng(7).standard_normal((batch, IN_CHANNELS, height, width)).astype(np.float32)
        (actual,), (expected,) = run_onnx(tiled, x), run_onnx(down_and_up(), x)
        assert np.abs(actual - expected).max() <= 10 * RELATIVE * np.abs(expected).max()


def test_choices_say_what_is_saved() -> None:
    _, (choice,) = rewrite_winograd(model_of(CONVS["3x3"]))
    assert choice.node == "conv"
    assert choice.before == IN_CHANNELS * OUT_CHANNELS * 9
    # For each of 16 outputs: 36 sums over channels, 36 x 36 in and 36 x 16 out.
    assert choice.after == 36 * (IN_CHANNELS * OUT_CHANNELS + 36 * IN_CHANNELS + 16 * OUT_CHANNELS) / 16
    assert "4x4 outputs of 3x3 taps by 6x6 points" in choice.reason


@pytest.mark.parametrize(
    ("size", "channels", "pays"),
    [
        (4, (256, 128), True),
        (4, (128, 64), True),
        (3, (512, 256), False),
        (3, (256, 128), False),
        (3, (128, 64), False),
    ],
)
def test_transposed_convolution_is_tiled_where_it_saves_time(
    size: int, channels: tuple[int, int], pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EdgeConnect's are; LaMa's took as long in tiles, and half as much memory again."""
    monkeypatch.undo()
    weight = np.ones((*channels, size, size), np.float32)
    conv = Convolution(weight, None, stride=2, padding=1, transposed=True, output_padding=size % 2)
    assert (choose_tiling.choose_tiling(conv).tiling is not None) == pays
