"""What the Wolfram writer refuses: each with the node, the reason and what to do, and before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from converters.errors import UnsupportedOpError
from converters.onnx_graph.nodes import WAIST_OPSET
from converters.targets.profile import DEFAULT_PROFILE
from converters.targets.target import TargetInput
from converters.targets.wolfram.ops import OPS
from converters.targets.wolfram.target import WolframTarget
from converters.targets.wolfram.write import convert_to_wolfram
from converters.tensors import Signature
from parity_tests.support.mxnet_op_cases import NODE, PLANE, OpCase, build_model, floats, ints, number
from parity_tests.support.wolfram_op_cases import CASES, MASK

WEIGHTS = floats(4, 4, 3, 2)
ROW = (2, 4, 9)
CONVOLUTIONS = ("Conv", "ConvTranspose")

# (the case, words of the message)
REFUSED = (
    (
        OpCase("Softplus", "unknown operator", (PLANE,)),
        "The Wolfram builder has no translation of Soft",
        "Use only Add,",
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
            (
                "asymmetric pads",
                (PLANE, WEIGHTS),
                {"pads": [1, 2, 3, 2]},
                "(1, 2, 3, 2) are not symmetric",
                "Put a Pad",
            ),
            ("auto_pad", (PLANE, WEIGHTS), {"auto_pad": "SAME_LOWER"}, "auto_pad is SAME_LOWER", "explicit pads"),
            (
                "kernel_shape unlike the weight's",
                (PLANE, WEIGHTS),
                {"kernel_shape": [2, 3]},
                "kernel_shape is (2, 3), the weight's (3, 2)",
                "Check the model",
            ),
            ("groups", (PLANE, floats(4, 2, 3, 2)), {"group": 2}, "it has 2 groups", "Only convolutions of one group"),
            ("computed weight", (PLANE, (4, 4, 3, 2)), {}, "its weight 'in1' is an input of the model", "a constant"),
            ("computed bias", (PLANE, WEIGHTS, PLANE), {}, "its bias 'in2' is an input of the model", "a constant"),
        )
    ),
    (
        OpCase("ConvTranspose", "output padding", (PLANE, WEIGHTS), {"strides": [2, 2], "output_padding": [0, 1]}),
        "its output_padding is (0, 1)",
        "use 0",
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
    (OpCase("Add", "nothing but numbers", (number(1), number(2))), "its input has rank 0", "Only planes"),
    (OpCase("Add", "constants only", (floats(1, 1, 1, 1), number(2))), "its input 'in0' is a constant", "Fold"),
    (
        OpCase("Mul", "constant per channel", (PLANE, floats(4, 1, 1))),
        "its constant 'in1' is (4, 1, 1)",
        "Only numbers",
    ),
    (OpCase("Div", "infinity", (PLANE, number(float("inf")))), "its constant 'in1' is inf", "Use finite numbers"),
    (OpCase("Add", "one column", (PLANE, (2, 4, 9, 1))), "it broadcasts axis 3", "Only a single channel"),
    (OpCase("Add", "one row", ((2, 4, 1, 12), PLANE)), "it broadcasts axis 2", "Only a single channel"),
    (OpCase("Add", "one item", (PLANE, (1, 4, 9, 12))), "it broadcasts axis 0", "Only a single channel"),
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
    (OpCase("Split", "two outputs", (PLANE,), outputs=2), "it has 2 outputs", "Use operators of one output"),
)


@pytest.mark.parametrize(("case", "met", "remedy"), REFUSED, ids=[case.id for case, *_ in REFUSED])
def test_refusal_names_node_and_reason_and_nothing_is_written(
    case: OpCase, met: str, remedy: str, tmp_path: Path
) -> None:
    source = TargetInput("m", build_model(case), Signature((), ()), {}, DEFAULT_PROFILE)
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
    convert_to_wolfram(build_model(plain))
    with pytest.raises(UnsupportedOpError, match=r"the attribute alpha=0\.5 has no translation"):
        convert_to_wolfram(build_model(replace(plain, attributes={**plain.attributes, "alpha": 0.5})))


def _opset(model: ModelProto) -> None:
    model.opset_import[0].version = WAIST_OPSET + 1


def _row(model: ModelProto) -> None:
    del model.graph.input[0].type.tensor_type.shape.dim[3]
    model.graph.output[0].type.tensor_type.ClearField("shape")


def _free_channels(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "C"


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
        (_row, "input 'in0'", "its shape is (2, 4, 9)"),
        (_free_channels, "input 'in0'", "its shape is (2, 'C', 9, 12)"),
        (_unknown_rank, "input 'in0'", "its shape is None"),
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


def test_tensor_taken_twice_by_one_layer_is_refused() -> None:
    model = build_model(OpCase("Mul", "square", (MASK, MASK)))
    model.graph.node[0].input[1] = "in0"
    with pytest.raises(UnsupportedOpError, match=rf"node '{NODE}' \(Mul\): it takes one tensor twice"):
        convert_to_wolfram(model)
