"""The table of Wolfram op cases: each row is one ONNX node. Inputs have a batch of 2, whose items run one by one.

Attributes differ from each other and from axis to axis, so that a swapped pair shows.
"""

from __future__ import annotations

import numpy as np

from parity_tests.support.mxnet_op_cases import (
    CONVOLVED,
    EXACT,
    NORMALIZED,
    PLANE,
    TRANSCENDENTAL,
    GraphInput,
    OpCase,
    floats,
    ints,
    number,
)

# a / b means a b^-1, one rounding more: 3.1e-5 was measured on quotients of numbers near 0, up to 400 in size.
DIVIDED = 1e-4
# Sums of 120 products, in an order that depends on how the processor's threads share them: 1.5e-5 was measured.
WIDE = 4e-5
MASK = (2, 1, 9, 12)
# Products of 12 pairs, added in another order, up to 12 in size: 9.5e-7 was measured.
MULTIPLIED = 4e-6
# Sums and means of up to 108 numbers: 1.9e-6 was measured.
SUMMED = 8e-6
# A factor computed in float64 in place of a division and a root: 4.8e-7 was measured.
FOLDED = 2e-6
POSITIVE = GraphInput(PLANE, low=0.1)
ASYMMETRIC = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}

CASES = (
    OpCase("Conv", "defaults, bias", (PLANE, floats(5, 4, 3, 2), floats(5)), {}, CONVOLVED),
    OpCase("Conv", "stride per axis", (PLANE, floats(5, 4, 3, 2)), {"strides": [2, 1]}, CONVOLVED),
    OpCase("Conv", "pad per axis", (PLANE, floats(5, 4, 3, 2)), {"pads": [3, 2, 3, 2]}, CONVOLVED),
    OpCase("Conv", "dilation per axis", (PLANE, floats(5, 4, 3, 2)), {"dilations": [1, 2]}, CONVOLVED),
    OpCase(
        "Conv",
        "all at once",
        (PLANE, floats(6, 4, 3, 5), floats(6)),
        {"kernel_shape": [3, 5], "strides": [2, 3], "pads": [4, 1, 4, 1], "dilations": [3, 2], "group": 1},
        CONVOLVED,
    ),
    OpCase("Conv", "as many channels out as in", (PLANE, floats(4, 4, 3, 3)), {}, CONVOLVED),
    OpCase("Conv", "auto_pad VALID", (PLANE, floats(5, 4, 3, 2)), {"auto_pad": "VALID", "strides": [1, 2]}, CONVOLVED),
    OpCase("Conv", "opset 11", (PLANE, floats(5, 4, 3, 2), floats(5)), {"strides": [1, 3]}, CONVOLVED, opset=11),
    OpCase("ConvTranspose", "defaults, bias", (PLANE, floats(4, 5, 3, 2), floats(5)), {}, CONVOLVED),
    OpCase("ConvTranspose", "stride per axis", (PLANE, floats(4, 5, 3, 2)), {"strides": [2, 1]}, CONVOLVED),
    OpCase("ConvTranspose", "pad per axis", (PLANE, floats(4, 5, 5, 6)), {"pads": [1, 2, 1, 2]}, WIDE),
    OpCase("ConvTranspose", "dilation per axis", (PLANE, floats(4, 5, 3, 2)), {"dilations": [1, 2]}, CONVOLVED),
    OpCase(
        "ConvTranspose",
        "all at once",
        (PLANE, floats(4, 6, 3, 4), floats(6)),
        {
            "kernel_shape": [3, 4],
            "strides": [3, 2],
            "pads": [1, 2, 1, 2],
            "dilations": [2, 1],
            "output_padding": [0, 0],
            "group": 1,
        },
        CONVOLVED,
    ),
    OpCase("ConvTranspose", "as many channels out as in", (PLANE, floats(4, 4, 3, 3)), {}, CONVOLVED),
    OpCase("ConvTranspose", "auto_pad VALID", (PLANE, floats(4, 5, 3, 2)), {"auto_pad": "VALID"}, CONVOLVED),
    OpCase("ConvTranspose", "4x4, stride 2", (PLANE, floats(4, 5, 4, 4), floats(5)), {"strides": [2, 2]}, CONVOLVED),
    OpCase("Conv", "sides padded apart", (PLANE, floats(5, 4, 3, 2)), {"pads": [1, 2, 3, 0]}, CONVOLVED),
    OpCase("Conv", "two groups", (PLANE, floats(6, 2, 3, 2), floats(6)), {"group": 2}, CONVOLVED),
    OpCase("Conv", "a group for each channel", (PLANE, floats(8, 1, 3, 3)), {"group": 4}, CONVOLVED),
    OpCase("ConvTranspose", "two groups", (PLANE, floats(4, 3, 3, 2), floats(6)), {"group": 2}, CONVOLVED),
    OpCase("ConvTranspose", "sides cut apart", (PLANE, floats(4, 5, 5, 6)), {"pads": [1, 2, 3, 0]}, WIDE),
    OpCase(
        "ConvTranspose",
        "output_padding, 3x3, stride 2",
        (PLANE, floats(4, 5, 3, 3), floats(5)),
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        CONVOLVED,
    ),
    OpCase(
        "ConvTranspose",
        "output_padding per axis",
        (PLANE, floats(4, 5, 4, 5)),
        {"strides": [3, 3], "pads": [0, 1, 2, 2], "output_padding": [2, 1]},
        CONVOLVED,
    ),
    *(
        case
        for op, tolerance in (("Add", EXACT), ("Sub", EXACT), ("Mul", EXACT), ("Div", DIVIDED))
        for case in (
            OpCase(op, "tensors of one shape", (PLANE, PLANE)),
            OpCase(op, "one channel on the right", (PLANE, MASK)),
            OpCase(op, "one channel on the left", (MASK, PLANE)),
            OpCase(op, "one channel each", (MASK, MASK)),
            OpCase(op, "number on the right", (PLANE, number(0.3)), {}, tolerance),
            OpCase(op, "number on the left", (number(0.3), PLANE), {}, tolerance),
            OpCase(op, "negative number on the right", (PLANE, number(-1.7)), {}, tolerance),
            OpCase(op, "negative number on the left", (number(-1.7), PLANE), {}, tolerance),
            OpCase(op, "one row and one column", ((2, 4, 1, 12), (2, 4, 9, 1))),
            OpCase(op, "one pixel of one channel", (PLANE, (2, 1, 1, 1))),
            OpCase(op, "three axes", ((2, 7, 5), (2, 7, 1))),
            OpCase(op, "numbers per channel on the right", (PLANE, floats(1, 4, 1, 1)), {}, tolerance),
            OpCase(op, "numbers per channel on the left", (floats(4, 1, 1), PLANE), {}, tolerance),
            OpCase(op, "constant plane", (PLANE, floats(9, 12))),
            OpCase(op, "constant row on the left", (floats(1, 1, 1, 12), PLANE)),
            OpCase(op, "one-element vector", (PLANE, floats(1)), {}, tolerance),
            OpCase(op, "one element of full rank", (floats(1, 1, 1, 1), PLANE), {}, tolerance),
        )
    ),
    OpCase("Mul", "numbers for one channel", (MASK, floats(1, 1, 9, 1))),
    OpCase("Mul", "very small number", (PLANE, number(3e-7))),
    OpCase("Add", "opset 7", (PLANE, MASK), opset=7),
    OpCase("Relu", "plane", (PLANE,)),
    OpCase("Identity", "plane", (PLANE,)),
    OpCase("Neg", "plane", (PLANE,)),
    OpCase("Sigmoid", "plane", (PLANE,), {}, TRANSCENDENTAL),
    OpCase("Tanh", "plane", (PLANE,), {}, TRANSCENDENTAL),
    OpCase("Sqrt", "plane", (POSITIVE,), {}, TRANSCENDENTAL),
    OpCase("LeakyRelu", "alpha left out", (PLANE,)),
    OpCase("LeakyRelu", "alpha", (PLANE,), {"alpha": 0.2}),
    OpCase("Elu", "plane", (PLANE,), {}, TRANSCENDENTAL),
    OpCase("Clip", "both limits", (PLANE, number(-0.3), number(0.8))),
    OpCase("Clip", "lower limit", (PLANE, number(1e-4))),
    OpCase("Clip", "upper limit", (PLANE, None, number(0.5)), opset=11),
    OpCase("Slice", "channels", (PLANE, ints(1), ints(3), ints(1))),
    OpCase("Slice", "to the end, from the end", (PLANE, ints(2, -5), ints(2**63 - 1, -1), ints(2, 3))),
    OpCase("Slice", "steps", (PLANE, ints(0, 0), ints(99, 99), ints(2, 3), ints(2, 5))),
    OpCase("Slice", "part, then steps", (PLANE, ints(2, 1, 3), ints(4, 8, 12), ints(1, 2, -1), ints(1, 3, 4))),
    OpCase("Slice", "axes left out", (PLANE, ints(0, 1), ints(2, 4)), opset=10),
    OpCase("Slice", "three axes", ((2, 7, 5), ints(1), ints(6), ints(1))),
    OpCase("Split", "two halves", (PLANE,), {"axis": 1, "num_outputs": 2}, outputs=2),
    OpCase("Split", "sizes", (PLANE, ints(5, 3, 4)), {"axis": -1}, outputs=3),
    OpCase("Split", "a rest", (PLANE,), {"axis": 2, "num_outputs": 2}, outputs=2),
    OpCase("Transpose", "two axes", ((2, 7, 5),), {"perm": [0, 2, 1]}),
    OpCase("Transpose", "a cycle", (PLANE,), {"perm": [0, 2, 3, 1]}),
    OpCase("Transpose", "five axes", ((2, 3, 4, 5, 6),), {"perm": [0, 2, 1, 4, 3]}),
    OpCase("Reshape", "fewer axes", (PLANE, ints(2, 4, -1))),
    OpCase("Reshape", "more axes", ((2, 12, 6), ints(0, 3, 4, 2, 3))),
    OpCase("Reshape", "allowzero", (PLANE, ints(-1, 9, 48)), {"allowzero": 1}),
    OpCase("Unsqueeze", "two axes", ((2, 7, 5), ints(1, -1))),
    OpCase("Squeeze", "one axis", (MASK, ints(1))),
    OpCase("MatMul", "matrices", ((2, 7, 12), (2, 12, 5)), {}, MULTIPLIED),
    OpCase("MatMul", "constant on the right", (PLANE, floats(12, 5)), {}, MULTIPLIED),
    OpCase("MatMul", "constant on the left", (floats(5, 9), PLANE), {}, MULTIPLIED),
    OpCase("Softmax", "last axis", ((2, 7, 5),), {"axis": 2}, TRANSCENDENTAL),
    OpCase("Softmax", "channels", (PLANE,), {"axis": 1}, TRANSCENDENTAL),
    *(
        case
        for op in ("ReduceSum", "ReduceMean")
        for case in (
            OpCase(op, "channels", (PLANE, ints(1)), {}, SUMMED),
            OpCase(op, "plane", (PLANE, ints(-1, 2)), {}, SUMMED),
            OpCase(op, "dropped", (PLANE, ints(2)), {"keepdims": 0}, SUMMED),
        )
    ),
    *(
        OpCase("Resize", f"nearest, {what}", (PLANE, None, number_list, sizes), attributes)
        for what, number_list, sizes, attributes in (
            ("asymmetric", np.array([1, 1, 2, 3], np.float32), None, ASYMMETRIC),
            ("half pixel", np.array([1, 1, 3, 2], np.float32), None, {"mode": "nearest"}),
            ("sizes", None, ints(2, 4, 18, 48), ASYMMETRIC),
        )
    ),
    *(
        OpCase(
            "Resize",
            f"linear, {mode}",
            (PLANE, None, np.array([1, 1, 2, 3], np.float32)),
            {"mode": "linear", "coordinate_transformation_mode": mode},
            FOLDED,
        )
        for mode in ("align_corners", "half_pixel", "pytorch_half_pixel")
    ),
    OpCase(
        "BatchNormalization",
        "epsilon",
        (PLANE, floats(4), floats(4, seed=2), floats(4, seed=3), np.abs(floats(4, seed=4)) + np.float32(0.1)),
        {"epsilon": 0.01},
        FOLDED,
    ),
    OpCase("Concat", "channels of three tensors", (MASK, (2, 3, 9, 12), (2, 2, 9, 12)), {"axis": 1}),
    OpCase("Concat", "negative axis", ((2, 4, 9, 3), (2, 4, 9, 5)), {"axis": -1}),
    OpCase("Concat", "height", ((2, 4, 2, 3), (2, 4, 5, 3)), {"axis": 2}),
    *(
        OpCase("Pad", f"{mode}, four sides apart", (PLANE, ints(0, 0, 1, 2, 0, 0, 3, 4)), {"mode": mode})
        for mode in ("constant", "reflect", "edge")
    ),
    OpCase("Pad", "reflect, channels too", (PLANE, ints(0, 2, 1, 0, 0, 3, 4, 5)), {"mode": "reflect"}),
    OpCase("Pad", "the mode left out", (PLANE, ints(0, 0, 1, 2, 0, 0, 3, 4))),
    OpCase("Pad", "constant value", (PLANE, ints(0, 0, 1, 2, 0, 0, 3, 4), number(-2.5))),
    OpCase("Pad", "axes", (PLANE, ints(1, 2, 3, 4), None, ints(2, 3)), {"mode": "reflect"}),
    OpCase("Pad", "axes out of order, negative", (PLANE, ints(1, 2, 3, 4), None, ints(-1, -2)), {"mode": "edge"}),
    OpCase("Pad", "axes and a value", (PLANE, ints(3, 1), number(0.7), ints(3))),
    OpCase("Pad", "opset 11", (PLANE, ints(0, 0, 1, 2, 0, 0, 3, 4)), {"mode": "reflect"}, opset=11),
    *(
        OpCase("InstanceNormalization", what, (PLANE, scale, bias), attributes, NORMALIZED)
        for what, scale, bias, attributes in (
            ("ones and zeros", np.ones(4, np.float32), np.zeros(4, np.float32), {"epsilon": 1e-5}),
            ("scale", floats(4), np.zeros(4, np.float32), {"epsilon": 1e-5}),
            ("bias", np.ones(4, np.float32), floats(4), {"epsilon": 1e-5}),
            ("scale and bias, large epsilon", floats(4), floats(4, seed=2), {"epsilon": 0.25}),
            ("epsilon left out", floats(4), floats(4, seed=2), {}),
        )
    ),
)
