"""Rows of the table of MXNet op cases: arithmetic, activations, comparisons, reductions, products of matrices."""

from __future__ import annotations

import numpy as np

from parity_tests.support.mxnet_op_cases import PLANE, TRANSCENDENTAL, GraphInput, OpCase, floats, ints, number

# Both runtimes err by a few units in the last place of values up to 50.
POWERS = 2e-5
# Sums of up to 108 numbers of magnitude 3 or, squared, 9, added in another order: 2.3e-5 was measured.
SUMMED = 1e-4
# Sums of 8 products of magnitude 1, up to 10 in size.
MULTIPLIED = 1e-5
TRUTH = GraphInput(PLANE, "bool", 0, 1)
WHOLE = GraphInput(PLANE, "int64")

MATH = (
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
    *(
        OpCase(op, f"plane, from {low} to {high}", (GraphInput(PLANE, low=low, high=high),), {}, tolerance, opset=13)
        for op, low, high, tolerance in (
            ("Abs", -3, 3, 0.0),
            ("Acos", -1, 1, POWERS),
            ("Acosh", 1, 9, POWERS),
            ("Asin", -1, 1, POWERS),
            ("Asinh", -9, 9, POWERS),
            ("Atan", -9, 9, POWERS),
            ("Atanh", -0.9, 0.9, POWERS),
            ("Ceil", -3, 3, 0.0),
            ("Cos", -9, 9, POWERS),
            ("Cosh", -3, 3, POWERS),
            ("Elu", -3, 3, TRANSCENDENTAL),
            ("Erf", -3, 3, TRANSCENDENTAL),
            ("Exp", -3, 3, POWERS),
            ("Floor", -3, 3, 0.0),
            ("HardSigmoid", -3, 3, TRANSCENDENTAL),
            ("LeakyRelu", -3, 3, TRANSCENDENTAL),
            ("Log", 0.01, 9, POWERS),
            ("Neg", -3, 3, 0.0),
            ("Reciprocal", 0.1, 3, POWERS),
            ("Selu", -3, 3, POWERS),
            ("Sign", -3, 3, 0.0),
            ("Sin", -9, 9, POWERS),
            ("Sinh", -3, 3, POWERS),
            ("Softplus", -20, 3, POWERS),
            ("Softsign", -9, 9, TRANSCENDENTAL),
            ("Sqrt", 0, 9, POWERS),
            ("Tan", -1, 1, POWERS),
        )
    ),
    OpCase("Abs", "whole numbers", (WHOLE,)),
    OpCase("Relu", "whole numbers", (GraphInput(PLANE, "int32"),), opset=14),
    OpCase("Elu", "alpha", (PLANE,), {"alpha": 0.3}, TRANSCENDENTAL),
    OpCase("Selu", "alpha and gamma", (PLANE,), {"alpha": 0.3, "gamma": 1.7}, POWERS),
    OpCase("LeakyRelu", "alpha", (PLANE,), {"alpha": 0.3}, TRANSCENDENTAL),
    OpCase("HardSigmoid", "alpha and beta", (PLANE,), {"alpha": 0.3, "beta": 0.1}, TRANSCENDENTAL),
    OpCase("PRelu", "a slope for each channel", (PLANE, floats(4, 1, 1))),
    OpCase("PRelu", "computed", (PLANE, (9, 1))),
    *(
        OpCase(op, "whole numbers, a constant", (WHOLE, ints(2)))
        for op in ("Add", "Sub", "Mul", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    ),
    OpCase("Div", "whole numbers go to 0", (WHOLE, ints(2))),
    OpCase("Div", "whole numbers, both", (WHOLE, GraphInput((9, 1), "int64", 1, 4))),
    OpCase("Pow", "of numbers", (GraphInput(PLANE, low=0.1), (4, 1, 1)), {}, POWERS),
    OpCase("Pow", "squared", (PLANE, number(2)), {}, POWERS),
    OpCase("Pow", "whole numbers", (WHOLE, GraphInput((12,), "int64", 0, 4))),
    OpCase("Mod", "whole numbers", (WHOLE, ints(4))),
    OpCase("Mod", "whole numbers, fmod", (WHOLE, ints(-4)), {"fmod": 1}),
    OpCase("Mod", "fmod", (PLANE, number(0.75)), {"fmod": 1}, TRANSCENDENTAL),
    *(
        OpCase(op, what, inputs, {}, TRANSCENDENTAL)
        for op in ("Max", "Min", "Sum", "Mean")
        for what, inputs in (
            ("one tensor", (PLANE,)),
            ("three, broadcast", (PLANE, floats(4, 1, 1), (9, 1))),
        )
    ),
    OpCase("Round", "any", (PLANE,)),
    OpCase("Clip", "both", (PLANE, number(-0.5), number(0.7))),
    OpCase("Clip", "at least", (PLANE, number(-0.5))),
    OpCase("Clip", "at most", (PLANE, None, number(0.5))),
    OpCase("Clip", "computed", (PLANE, GraphInput((), low=-1, high=-1), GraphInput((), low=1, high=1))),
    OpCase("Clip", "whole numbers", (WHOLE, ints(-1).reshape(()), ints(2).reshape(()))),
    OpCase("Clip", "opset 7", (PLANE,), {"min": -0.5, "max": 0.7}, opset=7),
    *(
        OpCase(op, what, inputs)
        for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
        for what, inputs in (
            ("broadcast", (GraphInput(PLANE, "int32"), GraphInput((4, 1, 12), "int32"))),
            ("number on the right", (GraphInput(PLANE, "int32"), np.array(1, np.int32))),
            ("number on the left", (np.array(1, np.int32), GraphInput(PLANE, "int32"))),
            ("floats", (PLANE, floats(9, 1))),
        )
    ),
    *(
        OpCase(op, "broadcast truth", (TRUTH, GraphInput((4, 1, 12), "bool", 0, 1)))
        for op in ("And", "Or", "Xor", "Equal")
    ),
    OpCase("Not", "plane", (TRUTH,)),
    OpCase("IsNaN", "plane", (PLANE,)),
    OpCase("Where", "one shape", (TRUTH, PLANE, PLANE)),
    OpCase("Where", "broadcast", (GraphInput((2, 1, 9, 1), "bool", 0, 1), (4, 1, 12), number(2))),
    OpCase("Where", "whole numbers", (TRUTH, WHOLE, ints(5))),
    *(
        OpCase(op, what, (GraphInput(PLANE, low=0.5, high=1.5), *axes), attributes, SUMMED, opset=opset)
        for op in (
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceMax",
            "ReduceMean",
            "ReduceMin",
            "ReduceProd",
            "ReduceSum",
            "ReduceSumSquare",
        )
        for what, opset, axes, attributes in (
            ("opset 11", 11, (), {"axes": [1, -1]}),
            ("opset 11, dropped", 11, (), {"axes": [2], "keepdims": 0}),
            ("axes as input", 18, (ints(-2, 1),), {}),
            ("dropped", 18, (ints(0),), {"keepdims": 0}),
            ("none are none", 18, (), {"noop_with_empty_axes": 1}),
        )
        if not (op == "ReduceLogSumExp" and what == "none are none")
    ),
    OpCase("ReduceMean", "all", (PLANE,), {"keepdims": 0}, SUMMED),
    OpCase("ReduceSum", "whole numbers", (WHOLE, ints(1)), {"keepdims": 0}),
    OpCase("ReduceMax", "whole numbers", (WHOLE, ints(1))),
    *(
        OpCase(op, what, (GraphInput(PLANE, "int32"),), attributes, opset=opset)
        for op in ("ArgMax", "ArgMin")
        for what, opset, attributes in (
            ("first of several", 18, {"axis": 1}),
            ("last of several, dropped", 18, {"axis": -1, "select_last_index": 1, "keepdims": 0}),
            ("opset 11", 11, {"axis": 2, "keepdims": 0}),
        )
    ),
    *(
        OpCase("CumSum", what, (PLANE, ints(axis).reshape(())), attributes, SUMMED)
        for what, axis, attributes in (
            ("rows", -1, {}),
            ("from the end", 1, {"reverse": 1}),
            ("without itself", 2, {"exclusive": 1}),
            ("without itself, from the end", 2, {"exclusive": 1, "reverse": 1}),
        )
    ),
    *(
        OpCase("MatMul", what, inputs, {}, MULTIPLIED)
        for what, inputs in (
            ("matrices", ((5, 8), (8, 3))),
            ("a constant on the right", ((2, 4, 5, 8), floats(8, 3))),
            ("batches", ((2, 5, 8), (2, 8, 3))),
            ("batches of batches", ((2, 4, 5, 8), (2, 4, 8, 3))),
            ("broadcast batches", ((4, 1, 5, 8), (2, 8, 3))),
            ("matrix and batches", ((5, 8), (2, 4, 8, 3))),
            ("vector on the left", ((8,), (2, 8, 3))),
            ("vector on the right", ((2, 5, 8), (8,))),
            ("vectors", ((8,), (8,))),
        )
    ),
    OpCase("Gemm", "plain", ((5, 8), floats(8, 3)), {}, MULTIPLIED),
    OpCase("Gemm", "all", ((8, 5), (3, 8), (3,)), {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}, MULTIPLIED),
    OpCase("Gemm", "a constant offset", ((5, 8), (3, 8), floats(5, 1)), {"transB": 1, "beta": 2.0}, MULTIPLIED),
    OpCase("Einsum", "attention", ((2, 3, 4, 8), (2, 3, 5, 8)), {"equation": "bhid,bhjd->bhij"}, MULTIPLIED),
)
