"""Deliberate faults in the text or arrays of a net, one by one: each must miss its row's tolerance by far, or not fit.

The layers are those of the op table, which the right text passes (test_ops.py). Faults of whole packages are in
test_nets.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from converters.targets.wolfram.ops import Net
from converters.targets.wolfram.write import convert_to_wolfram
from parity_tests.support.mxnet_op_cases import OpCase, build_model, make_feeds
from parity_tests.support.runtimes import run_onnxruntime
from parity_tests.support.wolfram_layers import UndocumentedError
from parity_tests.support.wolfram_nets import run_layers
from parity_tests.support.wolfram_op_cases import CASES

Fault = Callable[[Net], None]
# A fault must be this many times the tolerance, or this large where the tolerance is 0.
FACTOR, LEAST = 100, 1e-3


def text(before: str, after: str) -> Fault:
    """Other text in the layers."""

    def edit(net: Net) -> None:
        assert any(before in layer for layer in net.layers.values())
        net.layers = {name: layer.replace(before, after, 1) for name, layer in net.layers.items()}

    return edit


def wires(before: str, after: str) -> Fault:
    """Other connections."""

    def edit(net: Net) -> None:
        assert any(before in connection for connection in net.connections)
        net.connections = [connection.replace(before, after) for connection in net.connections]

    return edit


def array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Fault:
    """Another array in the weights."""

    def edit(net: Net) -> None:
        net.weights[name] = np.ascontiguousarray(change(net.weights[name]))

    return edit


def swap_names(first: str, second: str) -> Fault:
    def edit(net: Net) -> None:
        net.weights[first], net.weights[second] = net.weights[second], net.weights[first]

    return edit


FAULTS: tuple[tuple[str, str, str, Fault], ...] = (
    ("zeros for reflections", "Pad", "reflect, four sides apart", text('"Reflected"', "0.")),
    ("edges for reflections", "Pad", "reflect, four sides apart", text('"Reflected"', '"Fixed"')),
    ("padding of height and width", "Pad", "edge, four sides apart", text("{1, 3}, {2, 4}", "{2, 4}, {1, 3}")),
    ("padding before and after", "Pad", "constant value", text("{1, 3}", "{3, 1}")),
    ("other epsilon", "InstanceNormalization", "scale and bias, large epsilon", text("0.25", "0.001")),
    ("scale for bias", "InstanceNormalization", "scale and bias, large epsilon", swap_names("in1", "in2")),
    ("kernel turned", "Conv", "as many channels out as in", array("in1", lambda w: w.transpose(0, 1, 3, 2))),
    ("kernel flipped", "Conv", "defaults, bias", array("in1", lambda w: w[:, :, ::-1, ::-1])),
    ("kernel flipped back", "ConvTranspose", "4x4, stride 2", array("in1", lambda w: w[:, :, ::-1, ::-1])),
    ("channels in for out", "ConvTranspose", "as many channels out as in", array("in1", lambda w: w.swapaxes(0, 1))),
    ("no bias", "Conv", "defaults, bias", text('"Biases" -> weights["in2"]', '"Biases" -> None')),
    ("no dilation", "Conv", "dilation per axis", text('"Dilation" -> {1, 2}', '"Dilation" -> 1')),
    ("stride order", "Conv", "all at once", text('"Stride" -> {2, 3}', '"Stride" -> {3, 2}')),
    (
        "order of the groups",
        "Conv",
        "a group for each channel",
        array("in1", lambda w: w.reshape(2, 4, 1, 3, 3).swapaxes(0, 1).reshape(w.shape)),
    ),
    ("output_padding at the top", "ConvTranspose", "output_padding, 3x3, stride 2", text("2 ;; -1", "1 ;; -2")),
    ("linear for nearest", "Resize", "nearest, asymmetric", text('"Nearest"', '"Linear", "Scheme" -> "Bin"')),
    ("points for bins", "Resize", "linear, half_pixel", text('"Bin"', '"Point"')),
    (
        "ratios of height and width",
        "Resize",
        "nearest, half pixel",
        text("Scaled[3], Scaled[2]", "Scaled[2], Scaled[3]"),
    ),
    (
        "minuend for subtrahend",
        "Sub",
        "tensors of one shape",
        wires('{NetPort["in0"], NetPort["in1"]}', '{NetPort["in1"], NetPort["in0"]}'),
    ),
    ("divisor for dividend", "Div", "tensors of one shape", text("Divide", "Times")),
    ("sign of a constant", "Sub", "number on the left", text("0.3 - #", "# - 0.3")),
    (
        "factors of other channels",
        "Mul",
        "numbers per channel on the right",
        array("out0_layer_factor", lambda w: w[::-1]),
    ),
    (
        "offset for factor",
        "Add",
        "numbers per channel on the right",
        swap_names("out0_layer_factor", "out0_layer_offset"),
    ),
    (
        "constant along another axis",
        "Add",
        "constant plane",
        array("in1_array", lambda w: w.reshape(1, 12, 9).swapaxes(1, 2)),
    ),
    (
        "row repeated along another axis",
        "Mul",
        "one row and one column",
        text("ReplicateLayer[12, 3]", "ReplicateLayer[12, 1]"),
    ),
    ("part off by one", "Slice", "channels", text("2 ;; 3", "3 ;; 4")),
    ("steps of height and width", "Slice", "steps", text("{2, 5}]", "{5, 2}]")),
    (
        "halves in the other order",
        "Split",
        "two halves",
        wires('"out0_layer" -> NetPort["out0"]', '"out1_layer" -> NetPort["out0"]'),
    ),
    ("levels of a transposition", "Transpose", "a cycle", text("TwoWayRule[1, 2]", "TwoWayRule[1, 3]")),
    (
        "order of a transposition",
        "Reshape",
        "more axes",
        text(
            "ReshapeLayer[{3, 4, 2, 3}]", "NetChain[{TransposeLayer[{TwoWayRule[1, 2]}], ReshapeLayer[{3, 4, 2, 3}]}]"
        ),
    ),
    ("softmax of another level", "Softmax", "channels", text("SoftmaxLayer[1]", "SoftmaxLayer[]")),
    ("mean for total", "ReduceSum", "channels", text("Total", "Mean")),
    ("another level totalled", "ReduceMean", "dropped", text("{2}", "{3}")),
    ("matrix turned", "MatMul", "constant on the left", array("in0_array", lambda w: w.T.reshape(w.shape))),
    ("other slope", "LeakyRelu", "alpha", text("0.2 * #", "0.01 * #")),
    ("ramp for ELU", "Elu", "plane", text('"ELU"', "Ramp")),
    ("limits left out", "Clip", "both limits", text("Min[Max[#, (-0.3)], 0.8]", "Max[#, (-0.3)]")),
    ("batch norm's mean", "BatchNormalization", "epsilon", array("out0_layer_offset", lambda w: -w)),
)


def _row(op: str, name: str) -> OpCase:
    (case,) = (case for case in CASES if (case.op, case.id) == (op, name))
    return case


def test_faults_are_twenty_or_more_and_told_apart() -> None:
    assert len({fault[0] for fault in FAULTS}) == len(FAULTS) >= 20


@pytest.mark.parametrize(("op", "row", "fault"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_fault_shows(op: str, row: str, fault: Fault) -> None:
    case = _row(op, row)
    model, feeds = build_model(case), make_feeds(case)
    expected = run_onnxruntime(model, feeds)
    net = convert_to_wolfram(model)
    fault(net)
    try:
        actual = run_layers(net, feeds, {f"out{i}": array.shape[1:] for i, array in enumerate(expected)})
    except (UndocumentedError, RuntimeError):  # shapes that do not fit, here or in torch
        return
    worst = max(np.abs(found - wanted).max() for wanted, found in zip(expected, actual.values(), strict=True))
    assert worst > max(FACTOR * case.tolerance, LEAST)
