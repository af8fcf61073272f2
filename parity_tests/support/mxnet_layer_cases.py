"""Rows of the table of MXNet op cases: convolutions, pools, norms, pads, resampling.

Attributes differ from each other and from axis to axis, so that a swapped pair shows.
"""

from __future__ import annotations

import numpy as np

from parity_tests.support.mxnet_op_cases import (
    CONVOLVED,
    NORMALIZED,
    PLANE,
    TRANSCENDENTAL,
    GraphInput,
    OpCase,
    floats,
    ints,
    number,
)

ROW, VOLUME = (2, 4, 9), (2, 4, 5, 6, 7)
# Means of up to 108 numbers of magnitude 3, added in another order: 4.8e-7 was measured.
AVERAGED = 2e-6
# Weights in float64 against ONNX Runtime's in float32, on values up to 3: 1.4e-6 was measured.
RESAMPLED = 5e-6
# float16 has ten bits behind the first.
HALF = 2e-2

LAYERS = (
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
    OpCase("Conv", "weight and bias are inputs", (PLANE, (5, 4, 3, 2), (5,)), {"strides": [2, 1]}, CONVOLVED),
    OpCase(
        "Conv", "weight of groups is an input", (PLANE, (6, 2, 3, 2)), {"group": 2, "pads": [1, 2, 3, 0]}, CONVOLVED
    ),
    OpCase("Conv", "weight of rows is an input", (ROW, (5, 4, 3)), {"strides": [2], "pads": [1, 1]}, CONVOLVED),
    OpCase("ConvTranspose", "weight is an input", (PLANE, (4, 5, 3, 2)), {"strides": [2, 1]}, CONVOLVED),
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
    OpCase("Conv", "asymmetric pads", (PLANE, floats(5, 4, 3, 2)), {"pads": [1, 2, 3, 0]}, CONVOLVED),
    OpCase(
        "Conv",
        "asymmetric pads, stride",
        (PLANE, floats(5, 4, 3, 2)),
        {"pads": [0, 2, 1, 3], "strides": [2, 3]},
        CONVOLVED,
    ),
    *(
        OpCase(
            "Conv",
            f"auto_pad {where}, stride {stride}",
            (PLANE, floats(5, 4, 4, 3)),
            {"auto_pad": where, "strides": stride},
            CONVOLVED,
        )
        for where in ("SAME_UPPER", "SAME_LOWER")
        for stride in ([1, 1], [2, 3])
    ),
    OpCase("Conv", "row", (ROW, floats(6, 2, 3), floats(6)), {"pads": [1, 2], "strides": [2], "group": 2}, CONVOLVED),
    OpCase(
        "Conv",
        "volume",
        (VOLUME, floats(3, 4, 2, 3, 4), floats(3)),
        {"pads": [1, 2, 0, 1, 2, 0], "strides": [1, 2, 3], "dilations": [2, 1, 1]},
        CONVOLVED,
    ),
    OpCase("Conv", "computed weight", (PLANE, (5, 4, 3, 2)), {"pads": [1, 0, 1, 0]}, CONVOLVED),
    OpCase("ConvTranspose", "row", (ROW, floats(4, 3, 3)), {"strides": [2], "pads": [1, 1]}, CONVOLVED),
    OpCase("ConvTranspose", "asymmetric pads", (PLANE, floats(4, 5, 4, 3)), {"pads": [2, 0, 1, 1]}, CONVOLVED),
    OpCase(
        "ConvTranspose",
        "output_shape",
        (PLANE, floats(4, 5, 3, 2)),
        {"output_shape": [20, 25], "strides": [2, 2]},
        CONVOLVED,
    ),
    OpCase(
        "ConvTranspose",
        "auto_pad SAME_UPPER",
        (PLANE, floats(4, 5, 4, 3)),
        {"auto_pad": "SAME_UPPER", "strides": [3, 2]},
        CONVOLVED,
    ),
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
    OpCase("Pad", "opset 7", (PLANE,), {"pads": [0, 0, 1, 2, 0, 0, 3, 4], "value": 1.5}, opset=7),
    OpCase("Pad", "batch and channels", (PLANE, ints(1, 2, 0, 3, 4, 0, 5, 1), number(0.5))),
    OpCase("Pad", "row, edge", (ROW, ints(0, 1, 2, 1, 0, 3)), {"mode": "edge"}),
    OpCase("Pad", "matrix, reflect", ((6, 7), ints(1, 2, 3, 4)), {"mode": "reflect"}),
    OpCase("Pad", "negative", (PLANE, ints(0, 0, 1, -1, 0, 0, -2, 3))),
    OpCase("Pad", "whole numbers", (GraphInput(PLANE, "int64"), ints(0, 0, 1, 2, 0, 0, 3, 4), ints(7).reshape(()))),
    *(
        OpCase(
            "InstanceNormalization",
            what,
            (PLANE, scale, bias),
            {"epsilon": epsilon},
            NORMALIZED,
        )
        for what, scale, bias, epsilon in (
            ("ones and zeros", np.ones(4, np.float32), np.zeros(4, np.float32), 1e-5),
            ("scale", floats(4), np.zeros(4, np.float32), 1e-5),
            ("bias", np.ones(4, np.float32), floats(4), 1e-5),
            ("scale and bias, large epsilon", floats(4), floats(4, seed=2), 0.25),
            ("computed scale and bias", (4,), (4,), 1e-5),
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
    *(
        OpCase("BatchNormalization", what, inputs, {"epsilon": 0.01}, NORMALIZED, opset=opset)
        for what, opset, inputs in (
            ("constants", 18, (PLANE, floats(4), floats(4, seed=2), floats(4, seed=3), np.abs(floats(4, seed=4)))),
            ("opset 9", 9, (ROW, floats(4), floats(4, seed=2), floats(4, seed=3), np.abs(floats(4, seed=4)))),
            ("computed", 18, (PLANE, (4,), (4,), (4,), GraphInput((4,), low=0.1))),
        )
    ),
    *(
        OpCase(op, what, (PLANE,), {"axis": axis}, TRANSCENDENTAL * scale, opset=opset)
        for op, scale in (("Softmax", 1), ("LogSoftmax", 4))
        for what, axis, opset in (
            ("channels", 1, 18),
            ("last", -1, 18),
            ("opset 11, the plane as one", 2, 11),
            ("opset 11, last", 3, 11),
        )
    ),
    OpCase("Softmax", "float16", (GraphInput(PLANE, "float16"),), {"axis": 2}, HALF),
    OpCase("Hardmax", "height", (PLANE,), {"axis": 2}),
    OpCase("LRN", "all", ((2, 7, 4, 3),), {"size": 3, "alpha": 0.2, "beta": 0.6, "bias": 1.5}, NORMALIZED),
    OpCase("LpNormalization", "1-norm of rows", (PLANE,), {"axis": 2, "p": 1}, NORMALIZED),
    OpCase("LpNormalization", "2-norm", (PLANE,), {}, NORMALIZED),
    *(
        OpCase(op, what, inputs, attributes, AVERAGED)
        for op in ("MaxPool", "AveragePool", "LpPool")
        for what, inputs, attributes in (
            ("stride per axis", (PLANE,), {"kernel_shape": [3, 2], "strides": [1, 2]}),
            ("pads", (PLANE,), {"kernel_shape": [3, 4], "pads": [1, 2, 1, 2], "strides": [2, 1]}),
            ("asymmetric pads", (PLANE,), {"kernel_shape": [3, 4], "pads": [1, 0, 2, 3], "strides": [2, 1]}),
            ("SAME_LOWER", (PLANE,), {"kernel_shape": [3, 4], "auto_pad": "SAME_LOWER", "strides": [2, 3]}),
            ("row", (ROW,), {"kernel_shape": [3], "strides": [2]}),
            ("volume", (VOLUME,), {"kernel_shape": [2, 3, 1], "strides": [1, 2, 3]}),
        )
    ),
    *(
        OpCase(op, "ceil_mode", (PLANE,), {"kernel_shape": [2, 5], "ceil_mode": 1, "strides": [2, 3]}, AVERAGED)
        for op in ("MaxPool", "AveragePool")
    ),
    OpCase("MaxPool", "dilations", (PLANE,), {"kernel_shape": [3, 2], "dilations": [2, 3]}),
    OpCase("MaxPool", "bytes", (GraphInput(PLANE, "uint8", 0, 255),), {"kernel_shape": [3, 2], "pads": [1, 0, 1, 0]}),
    OpCase(
        "AveragePool",
        "padding counts",
        (PLANE,),
        {"kernel_shape": [3, 4], "pads": [1, 2, 1, 2], "count_include_pad": 1},
        AVERAGED,
    ),
    OpCase(
        "AveragePool",
        "asymmetric padding counts",
        (PLANE,),
        {"kernel_shape": [3, 4], "pads": [1, 0, 2, 3], "count_include_pad": 1},
        AVERAGED,
    ),
    OpCase("GlobalMaxPool", "plane", (PLANE,)),
    OpCase("GlobalAveragePool", "plane", (PLANE,), {}, AVERAGED),
    OpCase("Upsample", "nearest", (PLANE, np.array([1, 1, 2, 3], np.float32)), {"mode": "nearest"}, opset=9),
    OpCase("Resize", "opset 10, nearest", (PLANE, np.array([1, 1, 2, 3], np.float32)), opset=10),
    OpCase(
        "Resize",
        "opset 10, linear",
        (PLANE, np.array([1, 1, 2, 3], np.float32)),
        {"mode": "linear"},
        RESAMPLED,
        opset=10,
    ),
    *(
        OpCase(
            "Resize",
            f"{mode}, {coordinates}, {what}",
            (PLANE, None, scales, sizes),
            {"mode": mode, "coordinate_transformation_mode": coordinates},
            RESAMPLED,
            opset=opset,
        )
        for mode in ("nearest", "linear", "cubic")
        for coordinates in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
        for what, scales, sizes, opset in (
            ("factors", np.array([1, 1, 2, 3], np.float32), None, 13),
            ("smaller", np.array([1, 1, 0.62, 0.71], np.float32), None, 18),
            ("to a size", None, ints(2, 4, 13, 7), 18),
        )
        # ONNX Runtime rounds the length before it places the corners, onnx's reference, which we follow, does not.
        if not (coordinates == "align_corners" and (mode == "nearest" or what == "smaller"))
    ),
    *(
        OpCase(
            "Resize",
            f"nearest_mode {how}",
            (PLANE, None, None, ints(2, 4, 14, 17)),
            {"nearest_mode": how, "coordinate_transformation_mode": "asymmetric"},
        )
        for how in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    ),
    OpCase("Resize", "axes", (PLANE, None, number(2.0).reshape(1)), {"axes": [3], "mode": "linear"}, RESAMPLED),
    OpCase(
        "Resize",
        "antialias",
        (PLANE, None, None, ints(2, 4, 4, 5)),
        {"mode": "linear", "antialias": 1},
        RESAMPLED,
    ),
)
