"""The table of MXNet op cases: each row is one ONNX node, with the inputs it runs on.

Attributes differ from each other and from axis to axis, so that a swapped pair shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

Shape = tuple[int, ...]
Constant = NDArray[np.float32] | NDArray[np.int64]
NODE = "the_node"
# The oldest IR that opset 18 goes with.
IR_VERSION = 8
OPSET = 18

# Nothing is rounded but the result itself, in both runtimes alike.
EXACT = 0.0
# Both runtimes approximate exp and tanh to a few units in the last place of values up to 1.
TRANSCENDENTAL = 5e-7
# Sums of up to 60 products of magnitude 1, added in another order, up to 33 in size: 2.9e-6 was measured.
CONVOLVED = 1e-5
# Statistics added in another order, results up to 6 in size: 7.2e-7 was measured.
NORMALIZED = 3e-6


@dataclass(frozen=True)
class OpCase:
    """One node.

    Attributes:
        op: ONNX operator.
        id: What the row is about.
        inputs: The node's inputs in order: a shape for a graph input, an array for a constant, None for one left out.
        attributes: The node's.
        tolerance: Largest absolute difference between ONNX Runtime and MXNet.
        opset: The model's.
        outputs: How many outputs the node has.
    """

    op: str
    id: str
    inputs: Sequence[Shape | Constant | None]
    attributes: Mapping[str, object] = field(default_factory=dict)
    tolerance: float = EXACT
    opset: int = OPSET
    outputs: int = 1
    domain: str = ""

    def __str__(self) -> str:
        return f"{self.op}: {self.id}"


def floats(*shape: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def number(value: float) -> NDArray[np.float32]:
    return np.array(value, np.float32)


PLANE = (2, 4, 9, 12)

CASES = (
    OpCase("Conv", "defaults, bias", (PLANE, floats(5, 4, 3, 2), floats(5)), {}, CONVOLVED),
    OpCase("Conv", "stride per axis", (PLANE, floats(5, 4, 3, 2)), {"strides": [2, 1]}, CONVOLVED),
    OpCase("Conv", "pad per axis", (PLANE, floats(5, 4, 3, 2)), {"pads": [3, 2, 3, 2]}, CONVOLVED),
    OpCase("Conv", "dilation per axis", (PLANE, floats(5, 4, 3, 2)), {"dilations": [1, 2]}, CONVOLVED),
    OpCase("Conv", "groups", (PLANE, floats(6, 2, 3, 2), floats(6)), {"group": 2}, CONVOLVED),
    OpCase("Conv", "depthwise", (PLANE, floats(8, 1, 3, 2)), {"group": 4}, CONVOLVED),
    OpCase(
        "Conv",
        "all at once",
        (PLANE, floats(6, 2, 3, 5), floats(6)),
        {"kernel_shape": [3, 5], "strides": [2, 3], "pads": [4, 1, 4, 1], "dilations": [3, 2], "group": 2},
        CONVOLVED,
    ),
    OpCase("Conv", "auto_pad VALID", (PLANE, floats(5, 4, 3, 2)), {"auto_pad": "VALID", "strides": [1, 2]}, CONVOLVED),
    OpCase("Conv", "opset 11", (PLANE, floats(5, 4, 3, 2), floats(5)), {"strides": [1, 3]}, CONVOLVED, opset=11),
    OpCase("ConvTranspose", "defaults, bias", (PLANE, floats(4, 5, 3, 2), floats(5)), {}, CONVOLVED),
    OpCase("ConvTranspose", "stride per axis", (PLANE, floats(4, 5, 3, 2)), {"strides": [2, 1]}, CONVOLVED),
    OpCase("ConvTranspose", "pad per axis", (PLANE, floats(4, 5, 5, 6)), {"pads": [1, 2, 1, 2]}, CONVOLVED),
    OpCase("ConvTranspose", "dilation per axis", (PLANE, floats(4, 5, 3, 2)), {"dilations": [1, 2]}, CONVOLVED),
    OpCase("ConvTranspose", "groups", (PLANE, floats(4, 3, 3, 2), floats(6)), {"group": 2}, CONVOLVED),
    OpCase(
        "ConvTranspose",
        "output padding per axis",
        (PLANE, floats(4, 5, 3, 2)),
        {"strides": [3, 2], "output_padding": [2, 1]},
        CONVOLVED,
    ),
    OpCase(
        "ConvTranspose",
        "all at once",
        (PLANE, floats(4, 3, 3, 4), floats(6)),
        {
            "kernel_shape": [3, 4],
            "strides": [3, 2],
            "pads": [1, 2, 1, 2],
            "dilations": [2, 1],
            "output_padding": [2, 1],
            "group": 2,
        },
        CONVOLVED,
    ),
    OpCase("ConvTranspose", "auto_pad VALID", (PLANE, floats(4, 5, 3, 2)), {"auto_pad": "VALID"}, CONVOLVED),
    OpCase("ConvTranspose", "4x4, stride 2", (PLANE, floats(4, 5, 4, 4), floats(5)), {"strides": [2, 2]}, CONVOLVED),
    *(
        case
        for op in ("Add", "Sub", "Mul", "Div")
        for case in (
            OpCase(op, "tensors of one shape", (PLANE, PLANE)),
            OpCase(op, "tensors, right broadcast", (PLANE, (2, 4, 1, 12))),
            OpCase(op, "tensors, left broadcast", ((1, 4, 9, 1), PLANE)),
            OpCase(op, "tensors, both broadcast", ((2, 1, 9, 1), (1, 4, 1, 12))),
            OpCase(op, "number on the right", (PLANE, number(0.3))),
            OpCase(op, "number on the left", (number(-1.7), PLANE)),
            OpCase(op, "one-element vector on the right", (PLANE, floats(1))),
            OpCase(op, "one-element vector on the left", (floats(1), PLANE)),
            OpCase(op, "one element of full rank", (PLANE, floats(1, 1, 1, 1))),
            OpCase(op, "constant per channel on the right", (PLANE, floats(4, 1, 1))),
            OpCase(op, "constant per channel on the left", (floats(4, 1, 1), PLANE)),
            OpCase(op, "constant per column on the right", (PLANE, floats(12))),
            OpCase(op, "constant per column on the left", (floats(12), PLANE)),
            OpCase(op, "constant of higher rank", ((9, 12), floats(2, 4, 1, 1))),
            OpCase(op, "one element of higher rank", (floats(1, 1, 1, 1), (9, 12))),
            OpCase(op, "tensor of lower rank on the right", (PLANE, (9, 12))),
            OpCase(op, "tensor of lower rank on the left", ((4, 1, 12), PLANE)),
        )
    ),
    OpCase("Add", "opset 7", (PLANE, floats(4, 1, 1)), opset=7),
    OpCase("Relu", "plane", (PLANE,)),
    OpCase("Sigmoid", "plane", (PLANE,), {}, TRANSCENDENTAL),
    OpCase("Tanh", "plane", (PLANE,), {}, TRANSCENDENTAL),
    OpCase("Concat", "channels of three tensors", ((2, 1, 9, 12), (2, 3, 9, 12), (2, 2, 9, 12)), {"axis": 1}),
    OpCase("Concat", "negative axis", ((2, 4, 9, 3), (2, 4, 9, 5)), {"axis": -1}),
    OpCase("Concat", "height, a constant in between", ((2, 4, 2, 3), floats(2, 4, 1, 3), (2, 4, 5, 3)), {"axis": -2}),
    OpCase("Concat", "one tensor", (PLANE,), {"axis": 2}),
    *(
        OpCase("Pad", f"{mode}, four sides apart", (PLANE, ints(0, 0, 1, 2, 0, 0, 3, 4)), {"mode": mode})
        for mode in ("constant", "reflect", "edge")
    ),
    *(
        OpCase("Pad", f"{mode}, volume", ((1, 2, 7, 8, 9), ints(0, 0, 1, 2, 3, 0, 0, 4, 5, 6)), {"mode": mode})
        for mode in ("constant", "reflect", "edge")
    ),
    OpCase("Pad", "the mode left out", (PLANE, ints(0, 0, 1, 2, 0, 0, 3, 4))),
    OpCase("Pad", "constant value", (PLANE, ints(0, 0, 1, 2, 0, 0, 3, 4), number(-2.5))),
    OpCase("Pad", "axes", (PLANE, ints(1, 2, 3, 4), None, ints(2, 3)), {"mode": "reflect"}),
    OpCase("Pad", "axes out of order, negative", (PLANE, ints(1, 2, 3, 4), None, ints(-1, -2)), {"mode": "edge"}),
    OpCase("Pad", "axes and a value", (PLANE, ints(3, 1), number(0.7), ints(3))),
    OpCase("Pad", "opset 11", (PLANE, ints(0, 0, 1, 2, 0, 0, 3, 4)), {"mode": "reflect"}, opset=11),
    *(
        OpCase("InstanceNormalization", what, (PLANE, scale, bias), {"epsilon": epsilon}, NORMALIZED)
        for what, scale, bias, epsilon in (
            ("ones and zeros", np.ones(4, np.float32), np.zeros(4, np.float32), 1e-5),
            ("scale", floats(4), np.zeros(4, np.float32), 1e-5),
            ("bias", np.ones(4, np.float32), floats(4), 1e-5),
            ("scale and bias, large epsilon", floats(4), floats(4, seed=2), 0.25),
        )
    ),
    OpCase(
        "InstanceNormalization",
        "epsilon left out, volume",
        ((2, 3, 4, 5, 6), floats(3), floats(3, seed=2)),
        {},
        NORMALIZED,
    ),
    OpCase("InstanceNormalization", "row", ((2, 3, 40), floats(3), floats(3, seed=2)), {}, NORMALIZED),
    OpCase("Transpose", "channels last", (PLANE,), {"perm": [0, 2, 3, 1]}),
    OpCase("Transpose", "all reversed", ((2, 3, 4),)),
)


def build_model(case: OpCase) -> ModelProto:
    """The ONNX model of one node; graph inputs are in0, in1..., outputs out0, out1..."""
    names = ["" if given is None else f"in{i}" for i, given in enumerate(case.inputs)]
    outputs = [f"out{i}" for i in range(case.outputs)]
    node = helper.make_node(case.op, names, outputs, name=NODE, domain=case.domain, **case.attributes)
    graph = helper.make_graph(
        [node],
        "case",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, given)
            for name, given in zip(names, case.inputs, strict=True)
            if isinstance(given, tuple)
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [
            numpy_helper.from_array(given, name)
            for name, given in zip(names, case.inputs, strict=True)
            if isinstance(given, np.ndarray)
        ],
    )
    opsets = [helper.make_opsetid("", case.opset)]
    if case.domain:
        opsets.append(helper.make_opsetid(case.domain, 1))
    return onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION))


def make_feeds(case: OpCase) -> dict[str, NDArray[np.float32]]:
    """Seeded noise for each graph input."""
    return {f"in{i}": floats(*given, seed=100 + i) for i, given in enumerate(case.inputs) if isinstance(given, tuple)}
