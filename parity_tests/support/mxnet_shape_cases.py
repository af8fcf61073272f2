"""Rows of the table of MXNet op cases: what moves, joins, cuts, repeats and picks elements, and changes their type."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from parity_tests.support.mxnet_op_cases import PLANE, GraphInput, OpCase, floats, ints, number

ROWS = (6, 7)
MAX_INT = 2**63 - 1

SHAPES = (
    OpCase("Concat", "channels of three tensors", ((2, 1, 9, 12), (2, 3, 9, 12), (2, 2, 9, 12)), {"axis": 1}),
    OpCase("Concat", "negative axis", ((2, 4, 9, 3), (2, 4, 9, 5)), {"axis": -1}),
    OpCase("Concat", "height, a constant in between", ((2, 4, 2, 3), floats(2, 4, 1, 3), (2, 4, 5, 3)), {"axis": -2}),
    OpCase("Concat", "one tensor", (PLANE,), {"axis": 2}),
    OpCase("Transpose", "channels last", (PLANE,), {"perm": [0, 2, 3, 1]}),
    OpCase("Transpose", "all reversed", ((2, 3, 4),)),
    *(
        OpCase("Reshape", what, (PLANE, ints(*shape)), attributes, opset=opset)
        for what, shape, attributes, opset in (
            ("to a vector", (-1,), {}, 18),
            ("rows joined", (0, 0, -1), {}, 18),
            ("batch and channels joined", (-1, 9, 12), {}, 18),
            ("channels apart", (2, 2, 2, 9, 12), {}, 18),
            ("a new order", (12, 9, 8), {"allowzero": 1}, 18),
            ("opset 7", (0, -1, 12), {}, 7),
        )
    ),
    *(OpCase("Flatten", f"axis {axis}", (PLANE,), {"axis": axis}) for axis in (0, 1, 2, -1, 4)),
    OpCase("Squeeze", "some", ((2, 1, 9, 1), ints(3))),
    OpCase("Squeeze", "all", ((2, 1, 9, 1),)),
    OpCase("Squeeze", "opset 11", ((2, 1, 9, 1),), {"axes": [-3]}, opset=11),
    OpCase("Unsqueeze", "several", ((2, 9), ints(0, -1, 2))),
    OpCase("Unsqueeze", "opset 11", ((2, 9),), {"axes": [1, 3]}, opset=11),
    OpCase("Expand", "longer axes", ((2, 1, 9, 1), ints(2, 4, 1, 12))),
    OpCase("Expand", "more axes", ((9, 1), ints(2, 4, 1, 12))),
    OpCase("Tile", "all axes", (PLANE, ints(2, 1, 3, 2))),
    OpCase("Shape", "as a tensor", (PLANE,)),
    OpCase("Shape", "a part", (PLANE,), {"start": 1, "end": -1}),
    OpCase("Shape", "opset 11", (PLANE,), opset=11),
    OpCase("Size", "as a tensor", (PLANE,)),
    *(OpCase("DepthToSpace", mode, ((2, 12, 3, 5),), {"blocksize": 2, "mode": mode}) for mode in ("DCR", "CRD")),
    OpCase("SpaceToDepth", "blocks", ((2, 3, 4, 6),), {"blocksize": 2}),
    *(
        OpCase("Slice", what, (PLANE, *(ints(*part) for part in bounds)))
        for what, bounds in (
            ("from the beginning", ((0, 0), (3, 5), (2, 3))),
            ("to the end", ((2, 4), (MAX_INT, MAX_INT), (2, 3))),
            ("from the end", ((-5, -4), (-1, MAX_INT), (2, 3))),
            ("in steps", ((1, 0), (9, 12), (2, 3), (2, 5))),
            ("reversed", ((-1,), (-MAX_INT,), (3,), (-1,))),
            ("backwards in steps", ((8, -2), (0, -11), (2, 3), (-2, -3))),
            ("the first axes", ((0, 1), (1, 3))),
        )
    ),
    OpCase("Slice", "opset 9", (PLANE,), {"starts": [1, -5], "ends": [8, 2**31 - 1], "axes": [2, 3]}, opset=9),
    OpCase("Split", "two outputs", (PLANE,), {"num_outputs": 2, "axis": 1}, outputs=2),
    OpCase("Split", "the last is smaller", (PLANE,), {"num_outputs": 2, "axis": 2}, outputs=2),
    OpCase("Split", "sizes", (PLANE, ints(2, 3, 4)), {"axis": -2}, outputs=3),
    OpCase("Split", "opset 13", (PLANE, ints(7, 5)), {"axis": 3}, opset=13, outputs=2),
    OpCase("Split", "opset 13, equal", (PLANE,), {"axis": 3}, opset=13, outputs=3),
    OpCase("Split", "opset 11", (PLANE,), {"axis": 1, "split": [1, 3]}, opset=11, outputs=2),
    *(
        OpCase("Gather", what, (PLANE, indices), {"axis": axis})
        for what, indices, axis in (
            ("one of the channels", ints(2).reshape(()), 1),
            ("the last of the columns", ints(-1).reshape(()), -1),
            ("a list of one", ints(1), 0),
            ("a matrix of rows", ints(3, -1, 0, 8, 2, 3).reshape(2, 3), 2),
            ("computed", GraphInput((3,), "int64", -9, 8), 2),
            ("one that is computed", GraphInput((), "int64", -9, 8), 2),
        )
    ),
    OpCase("GatherElements", "columns", (PLANE, GraphInput((2, 4, 9, 5), "int64", -12, 11)), {"axis": 3}),
    OpCase("GatherElements", "rows, constants", (ROWS, ints(*range(-3, 4), *range(-2, 5)).reshape(2, 7)), {"axis": 0}),
    OpCase("GatherND", "elements", (ROWS, GraphInput((5, 2), "int64", -6, 5))),
    OpCase("GatherND", "rows of batches", ((3, 4, 5), GraphInput((3, 2, 1), "int64", -4, 3)), {"batch_dims": 1}),
    OpCase("OneHot", "last axis", (GraphInput((2, 3), "int64", -5, 4), ints(5), floats(2))),
    OpCase("OneHot", "first axis", (GraphInput((2, 3), "int64", 0, 4), ints(5), floats(2)), {"axis": 0}),
    OpCase("TopK", "largest", (PLANE, ints(4)), {"axis": 2}, outputs=2),
    OpCase("TopK", "smallest", (PLANE, ints(4)), {"axis": -1, "largest": 0}, outputs=2),
    *(
        OpCase(
            "TopK",
            f"the first of many equals, {largest}",
            (GraphInput((2, 300), "int64"), ints(5)),
            {"largest": largest},
            outputs=2,
        )
        for largest in (0, 1)
    ),
    OpCase("TopK", "opset 10", (PLANE, ints(3)), {"axis": 1}, opset=10, outputs=2),
    OpCase("Trilu", "upper", (PLANE, ints(1).reshape(()))),
    OpCase("Trilu", "lower", (PLANE, ints(-2).reshape(())), {"upper": 0}),
    *(
        OpCase("Cast", f"{dtype} to {TensorProto.DataType.Name(to)}", (GraphInput(PLANE, dtype),), {"to": to})
        for dtype in ("float32", "int64", "float16", "bool")
        for to in (
            TensorProto.FLOAT,
            TensorProto.INT64,
            TensorProto.INT32,
            TensorProto.FLOAT16,
            TensorProto.DOUBLE,
            TensorProto.BOOL,
        )
    ),
    OpCase("CastLike", "whole numbers", (PLANE, GraphInput((1,), "int64"))),
    OpCase("Identity", "plane", (PLANE,)),
    OpCase("Dropout", "inference", (PLANE,)),
    OpCase("Dropout", "inference, said", (PLANE, number(0.3), np.array(False))),
    OpCase("Dropout", "opset 7", (PLANE,), {"ratio": 0.3}, opset=7),
)
