"""What the Wolfram writer refuses: each with the node, the reason and what to do, and before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from converters.errors import UnsupportedOpError
from converters.onnx_graph.nodes import WAIST_OPSET
from converters.targets.profile import DEFAULT_PROFILE
from converters.targets.target import TargetInput
from converters.targets.wolfram.fix_size import translate
from converters.targets.wolfram.ops import OPS
from converters.targets.wolfram.target import WolframTarget
from converters.targets.wolfram.write import convert_to_wolfram
from converters.tensors import Signature, TensorSpec
from parity_tests.support.mxnet_op_cases import NODE, PLANE, OpCase, build_model, floats, ints, number
from parity_tests.support.wolfram_op_cases import CASES, MASK

WEIGHTS = floats(4, 4, 3, 2)
CONVOLUTIONS = ("Conv", "ConvTranspose")

# (the case, words of the message)
REFUSED = (
    (
        OpCase("Softplus", "unknown operator", (PLANE,)),
        "The Wolfram builder has no translation of Soft",
        "Write it with other operators",
    ),
    (
        OpCase("Sigmoid", "attribute not declared", (PLANE,), {"alpha": 0.5}),
        "the attribute alpha=0.5",
        "without",
    ),
    *(
        (OpCase(op, f"{op} {what}", inputs, attributes), met, remedy)
        for op in CONVOLUTIONS
        for what, inputs, attributes, met, remedy in (
            ("auto_pad", (PLANE, WEIGHTS), {"auto_pad": "SAME_LOWER"}, "auto_pad is SAME_LOWER", "explicit pads"),
            (
                "kernel_shape unlike the weight's",
                (PLANE, WEIGHTS),
                {"kernel_shape": [2, 3]},
                "kernel_shape is (2, 3), the weight's (3, 2)",
                "Check the model",
            ),
            ("computed weight", (PLANE, (4, 4, 3, 2)), {}, "its weight 'in1' is an input of the model", "a constant"),
            ("computed bias", (PLANE, WEIGHTS, PLANE), {}, "its bias 'in2' is an input of the model", "a constant"),
        )
    ),
    (
        OpCase("ConvTranspose", "output padding", (PLANE, WEIGHTS), {"strides": [2, 2], "output_padding": [0, 1]}),
        "its output_padding is (0, 1), its pads (0, 0, 0, 0)",
        "pad as much or more",
    ),
    (
        OpCase("ConvTranspose", "output_shape", (PLANE, WEIGHTS), {"output_shape": [12, 13]}),
        "output_shape",
        "without it",
    ),
    (
        OpCase("InstanceNormalization", "computed scale", (PLANE, PLANE, floats(4))),
        "its scale 'in1' is an input of the model",
        "Export the scale as a constant",
    ),
    (
        OpCase("InstanceNormalization", "computed offset", (PLANE, floats(4), PLANE)),
        "its bias 'in2' is an input of the model",
        "Export the bias as a constant",
    ),
    (OpCase("Add", "nothing but numbers", (number(1), number(2))), "'in0' is a constant, and so is 'in1'", "Fold"),
    (OpCase("Add", "constants only", (floats(1, 1, 1, 1), number(2))), "its input 'in0' is a constant", "Fold"),
    (OpCase("Add", "constant batch", (PLANE, floats(2, 4, 9, 12))), "'in1' is (2, 4, 9, 12)", "no batch axis"),
    (OpCase("Add", "another rank", (PLANE, (9, 12))), "whose ranks differ", "Expand before"),
    (OpCase("Sub", "a tensor from itself", (PLANE, PLANE)), "it takes one tensor twice", "of one input"),
    (OpCase("Div", "infinity", (PLANE, number(float("inf")))), "its constant 'in1' is inf", "Use finite numbers"),
    (OpCase("Add", "one item", (PLANE, (1, 4, 9, 12))), "it broadcasts axis 0", "no batch axis"),
    (OpCase("Concat", "batches", (PLANE, PLANE), {"axis": 0}), "it joins batches", "no batch axis"),
    (OpCase("Concat", "batches, from the end", (PLANE, PLANE), {"axis": -4}), "it joins batches", "no batch axis"),
    (OpCase("Concat", "one tensor", (PLANE,), {"axis": 1}), "it joins one tensor", "Leave it out"),
    (OpCase("Concat", "a constant", (PLANE, floats(2, 4, 9, 12)), {"axis": 1}), "'in1' is a constant", "Fold"),
    (OpCase("Concat", "axis left out", (PLANE, PLANE)), "do not fit Concat: missing a required", "Check the model"),
    (OpCase("Relu", "one input too many", (PLANE, PLANE)), "do not fit Relu: too many", "Check the model"),
    (OpCase("Pad", "mode wrap", (PLANE, ints(*[0, 0, 1, 1] * 2)), {"mode": "wrap"}), "its mode is 'wrap'", "reflect"),
    (OpCase("Pad", "negative", (PLANE, ints(0, 0, 1, -1, 0, 0, 0, 0))), "-1, 0, 0, 0, 0] are negative", "Crop"),
    (OpCase("Pad", "batch", (PLANE, ints(1, 0, 1, 1, 0, 0, 1, 1))), "enlarge the batch", "no batch axis"),
    (OpCase("Pad", "computed pads", (PLANE, PLANE)), "its pads 'in1' is an input of the model", "Export the pads"),
    (
        OpCase("Pad", "infinite", (PLANE, ints(*[0, 0, 1, 1] * 2), number(float("-inf")))),
        "its constant is -inf",
        "Use finite numbers",
    ),
    (OpCase("Add", "opset too old", (PLANE, PLANE), opset=6), "Add of opset 6 has no", "to opset 7 or later"),
    (OpCase("Relu", "foreign domain", (PLANE,), domain="com.example"), "its domain is 'com.example'", "ONNX's own"),
    (
        OpCase("BatchNormalization", "training", (PLANE, *[floats(4)] * 4), {"training_mode": 1}, outputs=3),
        "it is in training mode",
        "eval mode",
    ),
    (OpCase("LeakyRelu", "alpha", (PLANE,), {"alpha": 1.5}), "its alpha is 1.5", "from 0 to 1"),
    (OpCase("Elu", "alpha", (PLANE,), {"alpha": 0.5}), "its alpha is 0.5", "has alpha 1"),
    (OpCase("Clip", "no limits", (PLANE,)), "it has no limits", "Leave it out"),
    (OpCase("Slice", "batch", (PLANE, ints(1), ints(2), ints(0))), "a part of the batch", "no batch axis"),
    (OpCase("Slice", "backwards", (PLANE, ints(8), ints(0), ints(2), ints(-1))), "nothing of axis 2", "Leave"),
    (OpCase("Slice", "channels in steps", (PLANE, ints(0), ints(4), ints(1), ints(2))), "its step", "Only planes"),
    (OpCase("Slice", "everything", (PLANE, ints(0), ints(9), ints(2))), "it takes everything", "Leave it out"),
    (OpCase("Split", "batch", (PLANE,), {"num_outputs": 2}, outputs=2), "it splits the batch", "no batch axis"),
    (OpCase("Transpose", "batch", (PLANE,), {"perm": [1, 0, 2, 3]}), "moves the batch", "no batch axis"),
    (OpCase("Transpose", "nothing", (PLANE,), {"perm": [0, 1, 2, 3]}), "moves nothing", "Leave it out"),
    (OpCase("Reshape", "batch", (PLANE, ints(8, 9, 12))), "it makes (8, 9, 12) of (2, 4, 9, 12)", "keep the first"),
    (OpCase("Unsqueeze", "batch", (PLANE, ints(0))), "an axis before the batch", "no batch axis"),
    (OpCase("Squeeze", "batch", ((1, 4, 9), ints(0))), "it drops the batch", "no batch axis"),
    (OpCase("MatMul", "planes", (PLANE, (2, 4, 12, 5))), "have the ranks (4, 4)", "one pair of matrices"),
    (OpCase("Softmax", "batch", (PLANE,), {"axis": 0}), "it runs over the batch", "no batch axis"),
    (OpCase("ReduceSum", "batch", (PLANE, ints(0, 1))), "it runs over the batch", "no batch axis"),
    (OpCase("ReduceMean", "no axes", (PLANE,)), "it runs over the batch", "Name the axes"),
    *(
        (OpCase("Resize", what, (PLANE, None, np.array(scales, np.float32)), attributes), met, remedy)
        for what, scales, attributes, met, remedy in (
            ("half as large", [1, 1, 0.5, 0.5], {}, "its factors are (0.5, 0.5)", "whole factors"),
            ("channels", [1, 2, 1, 1], {}, "its factors are [1.0, 2.0", "the plane only"),
            (
                "other nearest",
                [1, 1, 2, 2],
                {"coordinate_transformation_mode": "asymmetric"},
                "its modes are 'asymmetric' and 'round_prefer_floor'",
                "block of each pixel",
            ),
            ("cubic", [1, 1, 2, 2], {"mode": "cubic"}, "its mode is 'cubic'", "nearest and linear"),
            (
                "other linear",
                [1, 1, 2, 2],
                {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
                "its coordinate_transformation_mode is 'asymmetric'",
                "ResizeLayer knows align_corners",
            ),
        )
    ),
)


@pytest.mark.parametrize(("case", "met", "remedy"), REFUSED, ids=[case.id for case, *_ in REFUSED])
def test_refusal_names_node_and_reason_and_nothing_is_written(
    case: OpCase, met: str, remedy: str, tmp_path: Path
) -> None:
    model = build_model(case)
    if case.id == "a tensor from itself":
        model.graph.node[0].input[1] = "in0"
    source = TargetInput("m", model, Signature((), ()), {}, DEFAULT_PROFILE)
    with pytest.raises(UnsupportedOpError) as caught:
        WolframTarget().write(source, tmp_path)
    assert caught.value.where == f"node '{NODE}' ({case.op})"
    assert met in caught.value.met
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("op", sorted({name for name, _ in OPS.names()}))
def test_attribute_that_would_change_the_result_is_refused(op: str) -> None:
    """On an operator whose row converts without it: one that skipped it would compute something else."""
    plain = next(case for case in CASES if case.op == op)
    foreign = {**plain.attributes, "foreign": 0.5}
    convert_to_wolfram(build_model(plain))
    with pytest.raises(UnsupportedOpError, match=r"the attribute foreign=0\.5 has no translation"):
        convert_to_wolfram(build_model(replace(plain, attributes=foreign)))


def _opset(model: ModelProto) -> None:
    model.opset_import[0].version = WAIST_OPSET + 1


def _float16(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def _float64_weights(model: ModelProto) -> None:
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(WEIGHTS.astype(float), "in1"))


def _constant_output(model: ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(floats(1), "fixed"))
    model.graph.output.append(helper.make_tensor_value_info("fixed", TensorProto.FLOAT, (1,)))


def _input_as_output(model: ModelProto) -> None:
    model.graph.output.append(model.graph.input[0])


def _unknown_rank(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]


@pytest.mark.parametrize(
    ("edit", "where", "met"),
    [
        (_opset, "the model", f"its opset is {WAIST_OPSET + 1}"),
        (_unknown_rank, f"node '{NODE}' (Conv)", "the rank of its input 'in0' is not known"),
        (_float16, "input 'in0'", "it is FLOAT16"),
        (_float64_weights, f"node '{NODE}' (Conv)", "its constant 'in1' is float64"),
        (_constant_output, "output 'fixed'", "no node gives it"),
        (_input_as_output, "output 'in0'", "no node gives it"),
    ],
)
def test_model_that_cannot_be_translated_is_refused(edit: Callable[[ModelProto], None], where: str, met: str) -> None:
    model = build_model(OpCase("Conv", "any", (PLANE, WEIGHTS)))
    convert_to_wolfram(model)
    edit(model)
    with pytest.raises(UnsupportedOpError) as caught:
        convert_to_wolfram(model)
    assert caught.value.where == where
    assert met in caught.value.met


@pytest.mark.parametrize("shape", [(2, 4, 9), (2, "C", 9, 12), (2, 4)], ids=str)
def test_input_that_is_no_plane_of_known_channels_is_refused(shape: tuple[int | str, ...]) -> None:
    spec = TensorSpec("in0", shape, layout="")
    with pytest.raises(UnsupportedOpError, match=r"input 'in0': its shape is .*Only planes"):
        translate(build_model(OpCase("Relu", "any", (PLANE,))), Signature((spec,), ()))


@pytest.mark.parametrize(("op", "text"), [("Mul", "#^2"), ("Add", "2. * #")])
def test_tensor_taken_twice_becomes_a_layer_of_one_input(op: str, text: str) -> None:
    model = build_model(OpCase(op, "twice", (MASK, MASK)))
    model.graph.node[0].input[1] = "in0"
    assert list(convert_to_wolfram(model).layers.values()) == [f"ElementwiseLayer[{text} &]"]
