"""Convolutions that tiles can compute, as ONNX graphs of free sizes, and what torch gives for them in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import ModelProto, helper, numpy_helper
from torch.nn import functional

from converters.onnx_graph.serialize import serialize
from converters.rewrites.expand import expand
from converters.targets.onnx.write import IR_VERSION
from converters.tensors import Array

IN_CHANNELS, OUT_CHANNELS = 5, 3
# Largest error allowed, in units of the largest output. float32's step is 1.2e-7; the matrices of 6 points multiply it
# by up to some 40 (5x5 taps; 10 for 3x3). A wrong index or weight gives an error near 1.
RELATIVE = 1e-5

# Attributes and the kernel; each with sizes that no tile divides.
CONVS: dict[str, dict[str, Any]] = {
    "3x3": {"kernel": 3, "pads": 1},
    "3x3 without padding": {"kernel": 3},
    "3x3 mirrored": {"kernel": 3, "mirrored": 1},
    "3x3 dilation 2 mirrored": {"kernel": 3, "dilation": 2, "mirrored": 2},
    "3x3 dilation 3": {"kernel": 3, "dilation": 3, "pads": 3},
    "3x3 padding wider than the kernel": {"kernel": 3, "pads": 4},
    "2x2": {"kernel": 2},
    "5x5": {"kernel": 5, "pads": 2},
    "4x4 stride 2": {"kernel": 4, "stride": 2, "pads": 1},
    "3x3 stride 2": {"kernel": 3, "stride": 2, "pads": 1},
    "3x3 stride 2 mirrored": {"kernel": 3, "stride": 2, "mirrored": 1},
    "5x5 stride 3": {"kernel": 5, "stride": 3, "pads": 2},
    "4x4 stride 2 transposed": {"kernel": 4, "stride": 2, "pads": 1, "transposed": True},
    "3x3 stride 2 transposed": {"kernel": 3, "stride": 2, "pads": 1, "transposed": True, "output_padding": 1},
    "5x5 stride 3 transposed": {"kernel": 5, "stride": 3, "pads": 2, "transposed": True},
    "3x3 stride 1 transposed": {"kernel": 3, "transposed": True},
}
SIZES = [(1, 5, 6), (2, 12, 12), (1, 13, 21), (1, 16, 24), (1, 33, 7)]


def weights_of(conv: dict[str, Any], seed: int = 0) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    channels = (IN_CHANNELS, OUT_CHANNELS) if conv.get("transposed") else (OUT_CHANNELS, IN_CHANNELS)
    weight = random.standard_normal((*channels, conv["kernel"], conv["kernel"]))
    return weight.astype(np.float32), random.standard_normal(OUT_CHANNELS).astype(np.float32)


def model_of(conv: dict[str, Any], **changed: Any) -> ModelProto:
    """x (N, 5, H, W) -> [Pad] -> convolution -> y, all sizes free."""
    weight, bias = weights_of(conv)
    attributes: dict[str, Any] = {"strides": [conv.get("stride", 1)] * 2, "pads": [conv.get("pads", 0)] * 4}
    if conv.get("transposed"):
        attributes["output_padding"] = [conv.get("output_padding", 0)] * 2
    else:
        attributes["dilations"] = [conv.get("dilation", 1)] * 2
    attributes.update(changed)
    nodes, source = [], "x"
    constants = {"w": weight, "b": bias}
    if "mirrored" in conv:
        constants["pads"] = np.array([0, 0, conv["mirrored"], conv["mirrored"]] * 2, np.int64)
        nodes.append(helper.make_node("Pad", ["x", "pads"], ["padded"], mode="reflect"))
        source = "padded"
    op = "ConvTranspose" if conv.get("transposed") else "Conv"
    nodes.append(helper.make_node(op, [source, "w", "b"], ["y"], name="conv", **attributes))
    return make_model(nodes, constants)


def make_model(
    nodes: list[onnx.NodeProto], constants: dict[str, Array], outputs: tuple[str, ...] = ("y",)
) -> ModelProto:
    def value(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * 4)

    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", IN_CHANNELS, "H", "W"])],
        [value(name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=IR_VERSION)


def torch_result(conv: dict[str, Any], x: Array) -> Array:
    weight, bias = (torch.from_numpy(array).double() for array in weights_of(conv))
    source = torch.from_numpy(x).double()
    if "mirrored" in conv:
        source = functional.pad(source, [conv["mirrored"]] * 4, mode="reflect")
    if conv.get("transposed"):
        return functional.conv_transpose2d(
            source, weight, bias, conv.get("stride", 1), conv.get("pads", 0), conv.get("output_padding", 0)
        ).numpy()
    return functional.conv2d(
        source, weight, bias, conv.get("stride", 1), conv.get("pads", 0), conv.get("dilation", 1)
    ).numpy()


def chain(*more: onnx.NodeProto, outputs: tuple[str, ...] = ("y",)) -> ModelProto:
    """A residual block, its norm of learned scale and bias, with a scalar factor."""
    random = np.random.default_rng(4)
    constants: dict[str, Array] = {
        "w1": random.standard_normal((IN_CHANNELS, IN_CHANNELS, 3, 3)).astype(np.float32),
        "w2": random.standard_normal((IN_CHANNELS, IN_CHANNELS, 3, 3)).astype(np.float32),
        "scale": random.standard_normal(IN_CHANNELS).astype(np.float32),
        "bias": random.standard_normal(IN_CHANNELS).astype(np.float32),
        "half": np.array([[[[0.5]]]], np.float32),
        "pads": np.array([0, 0, 1, 1] * 2, np.int64),
    }
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"], mode="reflect"),
        helper.make_node("Conv", ["padded", "w1"], ["c1"]),
        helper.make_node("InstanceNormalization", ["c1", "scale", "bias"], ["n1"], epsilon=1e-3),
        helper.make_node("Sigmoid", ["n1"], ["r1"]),
        helper.make_node("Mul", ["half", "r1"], ["m1"]),
        helper.make_node("Conv", ["m1", "w2"], ["c2"], pads=[1] * 4),
        helper.make_node("Add", ["c2", "c1"], ["y"]),
        *more,
    ]
    return make_model(nodes, constants, outputs)


def run_onnx(model: ModelProto, x: Array, *, small: bool = False) -> list[Array]:
    model = expand(model, small=small)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(serialize(model), providers=["CPUExecutionProvider"])
    results: list[Array] = session.run(None, {"x": x})
    return results


def down_and_up() -> ModelProto:
    """Convolutions that halve, keep and double the plane, one after another."""
    random = np.random.default_rng(6)

    def weight(kernel: int) -> Array:
        return random.standard_normal((IN_CHANNELS, IN_CHANNELS, kernel, kernel)).astype(np.float32)

    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["half"], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["half"], ["r"]),
        helper.make_node("Conv", ["r", "w2"], ["kept"], pads=[1] * 4),
        helper.make_node("ConvTranspose", ["kept", "w3"], ["y"], strides=[2, 2], pads=[1] * 4),
    ]
    return make_model(nodes, {"w1": weight(4), "w2": weight(3), "w3": weight(4)})
