"""Every row of the op table: ONNX Runtime on the node against the layers made from it, as their pages describe them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from converters.targets.wolfram.ops import OPS
from converters.targets.wolfram.ops.registry import OLDEST_VERSION
from converters.targets.wolfram.syntax import format_real, format_string
from converters.targets.wolfram.write import convert_to_wolfram
from parity_tests.support.mathics import Kernel
from parity_tests.support.mxnet_op_cases import IR_VERSION, OPSET, OpCase, build_model, floats, make_feeds, number
from parity_tests.support.runtimes import run_onnxruntime
from parity_tests.support.wolfram_layers import UndocumentedError
from parity_tests.support.wolfram_nets import run_layers
from parity_tests.support.wolfram_op_cases import CASES, MASK


def test_every_registered_operator_has_a_row() -> None:
    registered = {OPS.find("table", name, since) for name, since in OPS.names()}
    assert registered == {OPS.find("table", case.op, case.opset) for case in CASES}


def test_rows_are_told_apart_by_their_ids() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_layers_compute_what_onnxruntime_computes(case: OpCase) -> None:
    model = build_model(case)
    feeds = make_feeds(case)
    expected = run_onnxruntime(model, feeds)
    shapes = {f"out{i}": array.shape[1:] for i, array in enumerate(expected)}
    actual = run_layers(convert_to_wolfram(model), feeds, shapes)
    for wanted, found in zip(expected, actual.values(), strict=True):
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= case.tolerance


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_weights_with_their_channels_or_sides_swapped_do_not_pass(op: str) -> None:
    (case,) = (case for case in CASES if (case.op, case.id) == (op, "as many channels out as in"))
    model, feeds = build_model(case), make_feeds(case)
    (expected,) = run_onnxruntime(model, feeds)
    for axes in ((1, 0, 2, 3), (0, 1, 3, 2)):
        net = convert_to_wolfram(model)
        net.weights["in1"] = np.ascontiguousarray(net.weights["in1"].transpose(axes))
        actual = run_layers(net, feeds, {"out0": expected.shape[1:]})["out0"]
        assert np.abs(actual - expected).max() > 1000 * case.tolerance


def test_one_channel_is_repeated_once_for_all_that_need_it() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "mask"], ["hole"]),
        helper.make_node("Add", ["mask", "hole"], ["mask_3_channels"]),  # a name that the repeating layer would have
        helper.make_node("Sub", ["mask_3_channels", "x"], ["out"]),
    ]
    planes = {"x": (2, 3, 4, 5), "mask": (2, 1, 4, 5)}
    graph = helper.make_graph(
        nodes,
        "repeat",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in planes.items()],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, planes["x"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    net = convert_to_wolfram(model)
    assert list(net.layers) == ["mask_3_channels_2", "hole", "mask_3_channels", "out_layer"]
    feeds = {name: floats(*shape, seed=seed) for seed, (name, shape) in enumerate(planes.items())}
    (expected,) = run_onnxruntime(model, feeds)
    assert np.array_equal(run_layers(net, feeds, {"out": (3, 4, 5)})["out"], expected)


@pytest.mark.parametrize("version", [11.3, 12.1, 12.2, 13.0])
def test_constant_array_and_norm_are_made_with_what_the_version_has(version: float) -> None:
    """The interpreter refuses a layer, or a kind of array, that the version lacks."""
    for op, row in (("Add", "constant plane"), ("InstanceNormalization", "scale and bias, large epsilon")):
        (case,) = (case for case in CASES if (case.op, case.id) == (op, row))
        model, feeds = build_model(case), make_feeds(case)
        (expected,) = run_onnxruntime(model, feeds)
        net = convert_to_wolfram(model)
        actual = run_layers(net, feeds, {"out0": expected.shape[1:]}, version)["out0"]
        assert np.abs(actual - expected).max() <= case.tolerance
        assert net.version == OLDEST_VERSION


@pytest.mark.parametrize(
    ("op", "text"), [("Sub", "ElementwiseLayer[# - (-1.7) &]"), ("Add", "ElementwiseLayer[# + (-1.7) &]")]
)
def test_negative_number_stands_apart_from_the_operator_before_it(op: str, text: str) -> None:
    """In any version's grammar: two signs in a row could be read as one operator, Decrement."""
    net = convert_to_wolfram(build_model(OpCase(op, "any", (MASK, number(-1.7)))))
    assert list(net.layers.values()) == [text]


@pytest.mark.parametrize(
    ("before", "after", "met"),
    [
        ("ElementwiseLayer[Ramp]", "ElementwiseLayer[Rampe]", "Rampe"),
        ("ElementwiseLayer[Ramp]", "SummationLayer[]", "layer SummationLayer"),
        ("ElementwiseLayer[Ramp]", "PartLayer[{1 ;; 1 ;; 2}]", "Span"),
        ("ElementwiseLayer[Ramp]", 'NetArrayLayer["Array" -> 1]', "a layer without input"),
        ("ElementwiseLayer[Ramp]", 'ElementwiseLayer[Ramp, "Slope" -> 1]', "options"),
        ("ElementwiseLayer[Ramp]", "ThreadingLayer[Power]", "Power"),
        ("ElementwiseLayer[Ramp]", 'PaddingLayer[{{0, 0}, {1, 1}, {1, 1}}, Padding -> "Reversed"]', "Reversed"),
        ('NetPort["in0"] -> "out0_layer"', '{NetPort["in0"], NetPort["in0"]} -> "out0_layer"', "twice"),
        ('"out0_layer" -> NetPort["out0"]', '"out0_layer" -> NetPort["out1"]', "ports"),
    ],
)
def test_interpreter_refuses_what_it_does_not_know(before: str, after: str, met: str) -> None:
    """Or else it would pass a layer that nobody has read of."""
    net = convert_to_wolfram(build_model(OpCase("Relu", "any", (MASK,))))
    net.layers = {name: layer.replace(before, after) for name, layer in net.layers.items()}
    net.connections = [connection.replace(before, after) for connection in net.connections]
    with pytest.raises(UndocumentedError, match=met):
        run_layers(net, {"in0": floats(*MASK)}, {"out0": MASK[1:]})


@pytest.mark.parametrize("value", [0.0, 1.0, -1.7, 0.3, 1e-5, 3e-7, 65504.0, 1e6, 1.17549435e-38, 3.4028235e38])
def test_number_is_the_same_float32_after_the_language_has_read_it(value: float) -> None:
    single = np.float32(value)
    text = format_real(float(single))
    assert len([digit for digit in text.partition("*^")[0] if digit.isdigit()]) < 16  # more make it no machine number
    assert np.float32(Kernel().evaluate(text)) == single


@pytest.mark.parametrize("text", ['quote " and \\ back', "line\nbreak", "tab\t", "é, 漢, 🙂", "(* no comment *)", ""])
def test_string_is_the_same_after_the_language_has_read_it(text: str, tmp_path: Path) -> None:
    literal = format_string(text)
    assert literal.isascii()
    assert "*" not in literal
    assert Kernel().evaluate(literal) == text
    (tmp_path / "a.wl").write_text(f"(* {literal} *)\nread = {literal};", encoding="ascii")
    kernel = Kernel()
    kernel.get(tmp_path / "a.wl")
    assert kernel.evaluate("read") == text
