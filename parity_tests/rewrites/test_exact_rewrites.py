"""The rewrites that change nothing but the order of sums: cancelled bias, sigmoid of tanh, blocks of few outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, helper, numpy_helper

from converters.onnx_graph.serialize import serialize
from converters.rewrites.accurate_norm import rewrite_accurate_norm
from converters.rewrites.block_convolution import rewrite_block_convolution
from converters.rewrites.cancelled_bias import rewrite_cancelled_bias
from converters.rewrites.expand import expand
from converters.rewrites.sigmoid_of_tanh import rewrite_sigmoid_of_tanh
from converters.targets.onnx.write import IR_VERSION
from converters.tensors import Array

CHANNELS = 16
# Sums of 16 x 49 products of order 1, in another order.
ROUNDING = 2e-5
SIZES = [(1, 12, 12), (2, 9, 14), (1, 7, 8), (1, 10, 11)]


def model_of(nodes: list[NodeProto], constants: dict[str, Array], outputs: tuple[str, ...] = ("y",)) -> ModelProto:
    def value(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * 4)

    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", CHANNELS, "H", "W"])],
        [value(name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=IR_VERSION)


def run(model: ModelProto, x: Array) -> list[Array]:
    model = rewrite_accurate_norm(expand(model))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(serialize(model), providers=["CPUExecutionProvider"])
    results: list[Array] = session.run(None, {"x": x})
    return results


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def require_same(before: ModelProto, after: ModelProto, sizes: list[tuple[int, int, int]]) -> None:
    for batch, height, width in sizes:
        x = normal(batch, CHANNELS, height, width)
        for expected, actual in zip(run(before, x), run(after, x), strict=True):
            assert actual.shape == expected.shape
            assert np.abs(actual - expected).max() <= ROUNDING


def op_types(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def constant_names(model: ModelProto) -> set[str]:
    return {tensor.name for tensor in model.graph.initializer}


# ---- cancelled bias


def biased(*extra: NodeProto, outputs: tuple[str, ...] = ("y",), op: str = "Conv") -> ModelProto:
    constants = {"w": normal(CHANNELS, CHANNELS, 3, 3), "b": 10 * normal(CHANNELS)}
    constants |= {"ones": np.ones(CHANNELS, np.float32), "zeros": np.zeros(CHANNELS, np.float32)}
    nodes = [
        helper.make_node(op, ["x", "w", "b"], ["c"]),
        helper.make_node("InstanceNormalization", ["c", "ones", "zeros"], ["y"], epsilon=1e-5),
        *extra,
    ]
    return model_of(nodes, constants, outputs)


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_bias_in_front_of_a_norm_is_dropped_and_nothing_changes(op: str) -> None:
    before = biased(op=op)
    after = rewrite_cancelled_bias(before)
    assert constant_names(before) - constant_names(after) == {"b"}
    require_same(before, after, SIZES)


def test_bias_that_something_else_sees_stays() -> None:
    seen = biased(helper.make_node("Relu", ["c"], ["r"]), outputs=("y", "r"))
    shown = biased(outputs=("y", "c"))
    scale = biased(helper.make_node("InstanceNormalization", ["x", "c", "c"], ["z"]))
    for model in (seen, shown, scale):
        assert rewrite_cancelled_bias(model) is model


# ---- sigmoid of tanh


def half_tanh(
    last: str = "Div", operand: float | None = None, *, one: float = 1.0, swapped: bool = False
) -> ModelProto:
    half = operand if operand is not None else {"Div": 2.0, "Mul": 0.5}[last]
    constants = {
        "w": normal(3, CHANNELS, 3, 3),
        "b": normal(3),
        "one": np.array(one, np.float32),
        "half": np.array(half, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"]),
        helper.make_node("Tanh", ["c"], ["t"]),
        helper.make_node("Add", ["one", "t"], ["a"]),
        helper.make_node(last, ["half", "a"] if swapped else ["a", "half"], ["y"]),
    ]
    return model_of(nodes, constants)


@pytest.mark.parametrize("model", [half_tanh("Div"), half_tanh("Mul"), half_tanh("Mul", swapped=True)])
def test_half_of_tanh_plus_one_becomes_one_sigmoid(model: ModelProto) -> None:
    after = rewrite_sigmoid_of_tanh(model)
    assert op_types(after) == ["Conv", "Sigmoid"]
    require_same(model, after, SIZES)


@pytest.mark.parametrize(
    "model",
    [
        half_tanh("Div", 3.0),
        half_tanh("Mul", 2.0),
        half_tanh("Div", swapped=True),
        half_tanh(one=2.0),
        pytest.param(half_tanh(), id="read by others"),
    ],
)
def test_other_chains_stay(model: ModelProto, request: pytest.FixtureRequest) -> None:
    if request.node.callspec.id == "read by others":
        model.graph.output.append(helper.make_tensor_value_info("t", onnx.TensorProto.FLOAT, [None] * 4))
    assert rewrite_sigmoid_of_tanh(model) is model


# ---- few outputs


def few(out: int = 3, kernel: int = 7, *, mirrored: bool = False, bias: bool = True, **attributes: Any) -> ModelProto:
    constants = {"w": normal(out, CHANNELS, kernel, kernel) / kernel**2}
    inputs = ["x", "w"]
    if bias:
        constants["b"] = normal(out)
        inputs.append("b")
    nodes = [helper.make_node("Conv", inputs, ["y"], **attributes)]
    if mirrored:
        constants["pads"] = np.array([0, 0, kernel // 2, kernel // 2] * 2, np.int64)
        nodes.insert(0, helper.make_node("Pad", ["x", "pads"], ["p"], mode="reflect"))
        nodes[1].input[0] = "p"
    return model_of(nodes, constants)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(few(mirrored=True), id="7x7 mirrored"),
        pytest.param(few(), id="7x7 without padding"),
        pytest.param(few(1, 5, pads=[2] * 4), id="5x5 with zeros"),
        pytest.param(few(4, 3, pads=[2] * 4, bias=False), id="3x3 without bias"),
    ],
)
def test_blocks_of_pixels_give_the_same_planes_at_any_size(before: ModelProto) -> None:
    after, (choice,) = rewrite_block_convolution(before)
    assert choice.chosen == "blocks"
    assert op_types(after)[-1] == "BlockConvolution"
    require_same(before, after, SIZES)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(few(5), id="five outputs"),
        pytest.param(few(3, 3, strides=[2, 2]), id="stride"),
        pytest.param(few(3, 3, dilations=[2, 2]), id="dilation"),
        pytest.param(few(3, 1), id="one tap"),
        pytest.param(few(3, 3, pads=[0, 1, 1, 0]), id="uneven pads"),
    ],
)
def test_other_convolutions_keep_their_form(model: ModelProto) -> None:
    assert rewrite_block_convolution(model) == (model, ())
