"""Graphs that are legal, and that no exporter of ours writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from converters.targets.onnx.write import IR_VERSION
from converters.tensors import Array, Tensors

C = 5
node = helper.make_node


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def kernel(out: int = C, size: int = 3, seed: int = 0) -> Array:
    return noise(out, C, size, size, seed=seed)


@dataclass(frozen=True)
class Graph:
    """Nodes, constants, inputs by name with their axes, and arrays for the inputs."""

    nodes: list[NodeProto]
    constants: Mapping[str, Array]
    feeds: list[Tensors]
    inputs: tuple[str, ...] = ("x",)
    expected: str = "tiles"

    def build(self) -> ModelProto:
        def declare(name: str, axes: list[object]) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)

        inputs = [declare(name, [f"N{name}", C, f"H{name}", f"W{name}"]) for name in self.inputs]
        constants = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph(self.nodes, "net", inputs, [declare("y", [None] * 4)], constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=IR_VERSION)


def conv(x: str, weight: str, y: str, pads: int = 1) -> NodeProto:
    return node("Conv", [x, weight], [y], pads=[pads] * 4)


def mirror(x: str, y: str) -> NodeProto:
    return node("Pad", [x, "pads"], [y], mode="reflect")


X = {"x": noise(2, C, 9, 10)}
MIRRORED = {"pads": np.array([0, 0, 1, 1] * 2, np.int64), "w": kernel()}
GRAPHS = {
    "a plane of one pixel is repeated": Graph(
        [conv("z", "w", "a"), conv("x", "v", "b"), node("Add", ["a", "b"], ["s"]), conv("s", "u", "y")],
        {"w": kernel(), "v": kernel(seed=1), "u": kernel(seed=2)},
        [X | {"z": noise(2, C, 1, 1)}, X | {"z": noise(2, C, 9, 10)}, X | {"z": noise(1, C, 9, 1)}],
        ("x", "z"),
    ),
    "inputs of unlike batches": Graph(
        [
            *(conv("x", "w", "a"), conv("z", "v", "b")),
            node("ReduceMean", ["b", "first"], ["mean"], keepdims=1),
            node("Add", ["a", "mean"], ["y"]),
        ],
        {"w": kernel(), "v": kernel(seed=1), "first": np.array([0], np.int64)},
        [X | {"z": noise(3, C, 9, 10)}],
        ("x", "z"),
    ),
    "a mirrored plane that a padded convolution reads too": Graph(
        [
            mirror("x", "p"),
            conv("p", "w", "a", 0),
            conv("p", "v", "b"),
            node("Relu", ["b"], ["r"]),
            conv("r", "u", "c", 0),
            node("Add", ["a", "c"], ["y"]),
        ],
        MIRRORED | {"v": kernel(seed=1), "u": kernel(seed=2)},
        [X],
    ),
    "a mirrored plane that a transposed convolution reads too": Graph(
        [
            mirror("x", "p"),
            conv("p", "w", "a", 0),
            node("ConvTranspose", ["p", "v"], ["b"], pads=[2] * 4),
            node("Add", ["a", "b"], ["y"]),
        ],
        MIRRORED | {"v": kernel(seed=1)},
        [X],
    ),
    "a vector times a matrix": Graph(
        [
            *(conv("x", "w", "a"), node("Relu", ["vector"], ["positive"])),
            *(node("MatMul", ["positive", "matrix"], ["row"]), node("Add", ["a", "row"], ["y"])),
        ],
        {"w": kernel(), "vector": noise(4), "matrix": noise(4, 10)},
        [X],
    ),
    "a plane times a constant matrix": Graph(
        [conv("x", "w", "a"), node("MatMul", ["a", "matrix"], ["b"]), conv("b", "v", "y")],
        {"w": kernel(), "v": kernel(seed=1), "matrix": noise(10, 7)},
        [X],
    ),
    "a number with five axes": Graph(
        [
            conv("x", "w", "a"),
            node("Mul", ["a", "number"], ["b"]),
            node("ReduceSum", ["b", "first"], ["y"], keepdims=0),
        ],
        {"w": kernel(), "number": np.full((1, 1, 1, 1, 1), 3, np.float32), "first": np.array([0], np.int64)},
        [X],
    ),
    "a bias that is left out by name": Graph(
        [node("Conv", ["x", "w", ""], ["a"], pads=[1] * 4), node("Tanh", ["a"], ["y"])],
        {"w": kernel(3)},
        [X],
        ("x",),
        "blocks",
    ),
    "a tanh to which more than one number is added": Graph(
        [
            conv("x", "w", "a"),
            node("Tanh", ["a"], ["t"]),
            node("Add", ["t", "ones"], ["s"]),
            node("Div", ["s", "two"], ["y"]),
        ],
        {"w": kernel(), "ones": np.ones((3, 1, 1, 1), np.float32), "two": np.array(2, np.float32)},
        [{"x": noise(1, C, 9, 10)}],
    ),
    "nodes with the names that new ones would get": Graph(
        [
            *(node("Exp", ["x"], ["e1"], name="tile"), node("Log", ["e1"], ["l1"], name="pixel")),
            node("Conv", ["l1", "w"], ["a"], name="conv", pads=[1] * 4),
            node("InstanceNormalization", ["a", "one", "zero"], ["n"], name="norm"),
            *(node("Exp", ["n"], ["e2"], name="n_channels_last_mean"), node("Log", ["e2"], ["y"], name="output")),
        ],
        {"w": kernel(), "one": np.ones(C, np.float32), "zero": np.zeros(C, np.float32)},
        [X],
    ),
}


def run(model: ModelProto, feeds: Tensors) -> Array:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, dict(feeds))
    result: Array = y
    return result
