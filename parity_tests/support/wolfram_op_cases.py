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
            OpCase(op, "one-element vector", (PLANE, floats(1)), {}, tolerance),
            OpCase(op, "one element of full rank", (floats(1, 1, 1, 1), PLANE), {}, tolerance),
        )
    ),
    OpCase("Mul", "very small number", (PLANE, number(3e-7))),
    OpCase("Add", "opset 7", (PLANE, MASK), opset=7),
    OpCase("Relu", "plane", (PLANE,)),
    OpCase("Sigmoid", "plane", (PLANE,), {}, TRANSCENDENTAL),
    OpCase("Tanh", "plane", (PLANE,), {}, TRANSCENDENTAL),
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
