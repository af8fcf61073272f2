"""The rewrite of InstanceNormalization, node by node against float64 numpy."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from converters.errors import ConversionError
from converters.onnx_graph.builder import GraphBuilder, rebuild
from converters.onnx_graph.serialize import serialize
from converters.rewrites.accurate_norm import OPERATOR, rewrite_accurate_norm
from converters.tensors import Array

EPSILON = 1e-5
STEP = 2.0**-23  # of float32, at 1
# Errors in steps at the largest value: sums of 256 in a row round off 5 of them at most.
ACCURATE_STEPS = 16
# What the runtime's own operator is off by at least on the same plane; 525 were seen.
INACCURATE_STEPS = 100
# float32 rounding of values of order 1 to 10, without flat areas.
ROUNDING = 2e-6
SHAPE = (2, 4, 256, 256)


def flat_hole(shape: tuple[int, ...] = SHAPE) -> Array:
    """Noise around a hole of 83 % of the plane, in which each channel has one value: what a first conv gives."""
    random = np.random.default_rng(5)
    x = random.normal(0, 0.3, shape).astype(np.float32)
    height, width = shape[2:]
    inside = np.s_[:, :, round(0.045 * height) : round(0.955 * height), round(0.045 * width) : round(0.957 * width)]
    x[inside] = random.uniform(1, 3, (*shape[:2], 1, 1))
    return x


def norm_model(scale: Array, bias: Array, epsilon: float = EPSILON, rank: int = 4) -> ModelProto:
    axes = ["N", len(scale), "H", "W"][:rank]
    node = helper.make_node("InstanceNormalization", ["x", "scale", "bias"], ["y"], name="norm", epsilon=epsilon)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name in "xy"]
    constants = [numpy_helper.from_array(scale, "scale"), numpy_helper.from_array(bias, "bias")]
    graph = helper.make_graph([node], "g", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def plain(channels: int = 4) -> tuple[Array, Array]:
    return np.ones(channels, np.float32), np.zeros(channels, np.float32)


def run(model: ModelProto, x: Array) -> dict[str, Array]:
    """Every value that the graph computes, by name."""
    watched = ModelProto()
    watched.CopyFrom(model)
    inner = [name for node in model.graph.node for name in node.output if name != "y"]
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner)
    session = onnxruntime.InferenceSession(serialize(watched), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


def worst(actual: Array, expected: Array) -> float:
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max())


def steps(actual: Array, expected: Array) -> float:
    return worst(actual, expected) / (STEP * float(np.abs(expected).max()))


def test_every_value_on_a_large_flat_hole_is_accurate_where_the_runtimes_own_norm_is_not() -> None:
    x = flat_hole()
    wide = x.astype(np.float64)
    mean = wide.mean((2, 3), keepdims=True)
    centred = wide - mean
    variance = (centred**2).mean((2, 3), keepdims=True)
    normalized = centred / np.sqrt(variance + EPSILON)
    spelled = run(rewrite_accurate_norm(norm_model(*plain())), x)
    for name, expected in {
        "y_mean_w": wide.mean(3, keepdims=True),
        "y_mean": mean,
        "y_centred": centred,
        "y_squared": centred**2,
        "y_variance_w": (centred**2).mean(3, keepdims=True),
        "y_variance": variance,
        "y_deviation": np.sqrt(variance + EPSILON),
        "y": normalized,
    }.items():
        assert steps(spelled[name], expected) <= ACCURATE_STEPS, name
    assert steps(run(norm_model(*plain()), x)["y"], normalized) >= INACCURATE_STEPS


@pytest.mark.parametrize("epsilon", [1e-5, 1e-2])
def test_scale_bias_and_epsilon_are_kept(epsilon: float) -> None:
    random = np.random.default_rng(6)
    scale, bias = random.normal(1, 0.5, (2, 3)).astype(np.float32)
    x = random.normal(0.5, 0.2, (2, 3, 24, 20)).astype(np.float32)
    wide = x.astype(np.float64)
    centred = wide - wide.mean((2, 3), keepdims=True)
    expected = centred / np.sqrt((centred**2).mean((2, 3), keepdims=True) + epsilon)
    expected = expected * scale.reshape(1, 3, 1, 1) + bias.reshape(1, 3, 1, 1)
    rewritten = rewrite_accurate_norm(norm_model(scale, bias, epsilon))
    assert worst(run(rewritten, x)["y"], expected) <= ROUNDING


def test_epsilon_left_out_is_the_operators_default() -> None:
    model = norm_model(*plain())
    del model.graph.node[0].attribute[:]
    (added,) = [t for t in rewrite_accurate_norm(model).graph.initializer if t.name == "epsilon"]
    assert numpy_helper.to_array(added) == np.float32(1e-5)


def test_ones_and_zeros_vanish_and_what_is_learned_stays() -> None:
    ones, zeros = plain()
    learned = np.arange(4, dtype=np.float32)
    for scale, bias, kept in ((ones, zeros, set()), (learned, zeros, {"y_scale"}), (ones, learned, {"y_bias"})):
        rewritten = rewrite_accurate_norm(norm_model(scale, bias))
        names = {tensor.name for tensor in rewritten.graph.initializer}
        assert names == {"ints_3", "ints_2", "epsilon"} | kept
        assert rewritten.graph.node[-1].output[0] == "y"


def test_model_that_is_rewritten_stays_as_it_was() -> None:
    model = norm_model(*plain())
    before = serialize(model)
    rewrite_accurate_norm(model)
    assert serialize(model) == before


def test_norm_of_another_rank_stays_the_runtimes_own() -> None:
    assert [node.op_type for node in rewrite_accurate_norm(norm_model(*plain(), rank=3)).graph.node] == [OPERATOR]


@pytest.mark.parametrize("index", [1, 2])
def test_norm_of_computed_scale_or_bias_stays_the_runtimes_own(index: int) -> None:
    model = norm_model(*plain())
    norm = model.graph.node[0]
    model.graph.node.insert(0, helper.make_node("Relu", [norm.input[index]], ["computed"]))
    model.graph.node[1].input[index] = "computed"
    assert [node.op_type for node in rewrite_accurate_norm(model).graph.node] == ["Relu", OPERATOR]


def test_norm_whose_rank_is_not_known_is_refused_and_not_left_to_the_runtime() -> None:
    model = norm_model(*plain())
    resized = helper.make_node("Reshape", ["given", "shape"], ["x"], name="reshape")
    model.graph.node.insert(0, resized)
    del model.graph.input[:]
    for name, kind in (("given", TensorProto.FLOAT), ("shape", TensorProto.INT64)):
        model.graph.input.append(helper.make_tensor_value_info(name, kind, None))
    del model.graph.value_info[:]
    with pytest.raises(ConversionError, match="the rank of its input is not known"):
        rewrite_accurate_norm(model)


def test_rewrites_before_it_leave_what_it_needs_to_know() -> None:
    """Resampling by computed sizes hides the rank from shape inference; the exporter's value_info says it."""
    model = norm_model(*plain())
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    model.graph.input[0].name = "given"
    model.graph.node.insert(0, helper.make_node("Mystery", ["given"], ["x"], domain="com.example"))
    model.graph.value_info.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE))
    builder = GraphBuilder(model)
    builder.nodes.extend(model.graph.node)
    rewritten = rewrite_accurate_norm(rebuild(model, builder))
    assert "InstanceNormalization" not in {node.op_type for node in rewritten.graph.node}
