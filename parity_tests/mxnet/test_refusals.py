"""What the MXNet writer refuses: each with the node, the reason and what to do, and before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from converters.errors import UnsupportedOpError
from converters.targets.mxnet.target import MxnetTarget
from converters.targets.mxnet.write import NEWEST_MXNET_OPSET, convert_to_mxnet
from converters.targets.profile import DEFAULT_PROFILE
from converters.targets.target import TargetInput
from converters.tensors import Signature
from parity_tests.support.mxnet_cases import CASES
from parity_tests.support.mxnet_op_cases import NODE, PLANE, GraphInput, OpCase, build_model, floats, ints, number

WEIGHTS = floats(5, 4, 3, 2)
ROW = (2, 4, 9)

# (the case, words of the message)
REFUSED = (
    (
        OpCase("NonZero", "unknown operator", (PLANE,)),
        "MXNet has no translation of NonZero",
        "Write it with other operators",
    ),
    (
        OpCase("Sigmoid", "attribute not declared", (PLANE,), {"alpha": 0.5}),
        "the attribute alpha=0.5 has no translation",
        "Export without it",
    ),
    *(
        (OpCase(op, f"{op} {what}", inputs, attributes), met, remedy)
        for op, weights in (("Conv", floats(4, 4, 3, 2)), ("ConvTranspose", floats(4, 4, 3, 2)))
        for what, inputs, attributes, met, remedy in (
            ("auto_pad unknown", (PLANE, weights), {"auto_pad": "SAME"}, "auto_pad is SAME", "explicit pads"),
            (
                "kernel_shape unlike the weight's",
                (PLANE, weights),
                {"kernel_shape": [2, 3]},
                "kernel_shape is (2, 3), the weight's (3, 2)",
                "Check the model",
            ),
            ("rank unlike the weight's", (ROW, weights), {}, "its input has rank 3", "Only convolutions of rows"),
        )
    ),
    (
        OpCase("Conv", "volumes, computed weight", ((2, 4, 5, 6, 7), (5, 4, 3, 2, 2))),
        "it is of volumes, and its weight is computed in the graph",
        "Export the weight as a constant",
    ),
    (
        OpCase("ConvTranspose", "large output_padding", (PLANE, floats(4, 5, 3, 2)), {"output_padding": [0, 1]}),
        "output_padding (0, 1) is not below the strides (1, 1)",
        "Export without it",
    ),
    (
        OpCase("MaxPool", "places", (PLANE,), {"kernel_shape": [2, 3]}, outputs=2),
        "its output 'out1' has no translation",
        "Export without it",
    ),
    (
        OpCase("BatchNormalization", "training", (PLANE, *[floats(4)] * 4), {"training_mode": 1}, outputs=3),
        "it is in training mode",
        "Export the model for inference",
    ),
    (
        OpCase("Dropout", "training", (PLANE, number(0.5), np.array(True))),
        "it is in training mode",
        "Export the model for inference",
    ),
    (
        OpCase("Slice", "nothing left", (PLANE, ints(3), ints(3), ints(2))),
        "it gives nothing",
        "MXNet has no empty tensors",
    ),
    (
        OpCase("Add", "a type that MXNet has not", (PLANE, np.ones(12, np.uint16))),
        "its constant 'in1' is uint16",
        "MXNet computes with float32, float64, float16, uint8, int8, int32, int64, bool only",
    ),
    (
        OpCase("Cast", "to a type that MXNet has not", (PLANE,), {"to": TensorProto.UINT16}),
        "it makes uint16",
        "MXNet computes with float32,",
    ),
    (OpCase("Concat", "axis left out", (PLANE, PLANE)), "do not fit Concat: missing a required", "Check the model"),
    (OpCase("Relu", "one input too many", (PLANE, PLANE)), "do not fit Relu: too many", "Check the model"),
    (OpCase("Add", "an input left out", (PLANE, None, PLANE)), "do not fit Add: too many", "Check the model"),
    (OpCase("Sub", "an input left out", (None, PLANE)), "its input a is left out", "Check the model"),
    (OpCase("Pad", "mode", (PLANE, ints(*[0, 0, 1, 1] * 2)), {"mode": "mirror"}), "its mode is 'mirror'", "reflect"),
    (
        OpCase("Pad", "computed pads", (PLANE, GraphInput((8,), "int64"))),
        "its pads 'in1' is an input of the model",
        "pads",
    ),
    (
        OpCase("Pad", "computed axes", (PLANE, ints(1, 1), None, GraphInput((1,), "int64"))),
        "its axes 'in3' is an input of the model",
        "Export the axes",
    ),
    (
        OpCase("Pad", "six axes", ((1, 2, 3, 4, 5, 6), ints(*[0, 0, 1, 1, 0, 0] * 2))),
        "its input has rank 6",
        "MXNet pads tensors of up to 5 axes",
    ),
    (
        OpCase("Pad", "computed value", (PLANE, ints(*[0, 0, 1, 1] * 2), ())),
        "its constant 'in2' is an input of the model",
        "constant",
    ),
    (
        OpCase("Reshape", "computed shape", (PLANE, GraphInput((2,), "int64"))),
        "its shape 'in1' is an input of the model",
        "Export the shape as a constant",
    ),
    (
        OpCase("Add", "opset too old", (PLANE, PLANE), opset=6),
        "Add of opset 6 has no translation",
        "Convert the model to opset 7 or later",
    ),
    (
        OpCase("Relu", "foreign domain", (PLANE,), domain="com.example"),
        "its domain is 'com.example'",
        "Use ONNX's own operators",
    ),
)


@pytest.mark.parametrize(("case", "met", "remedy"), REFUSED, ids=[str(case) for case, *_ in REFUSED])
def test_refusal_names_node_and_reason_and_nothing_is_written(
    case: OpCase, met: str, remedy: str, tmp_path: Path
) -> None:
    source = TargetInput("m", build_model(case), Signature((), ()), {}, DEFAULT_PROFILE)
    with pytest.raises(UnsupportedOpError) as caught:
        MxnetTarget().write(source, tmp_path)
    assert caught.value.where == f"node '{NODE}' ({case.op})"
    assert met in caught.value.met
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("op", sorted({case.op for case in CASES}))
def test_attribute_that_would_change_the_result_is_refused(op: str) -> None:
    """On an operator whose row converts without it: one that skipped it would compute something else."""
    plain = next(case for case in CASES if case.op == op)
    convert_to_mxnet(build_model(plain))
    with pytest.raises(UnsupportedOpError, match=r"the attribute wave=0\.5 has no translation"):
        convert_to_mxnet(build_model(replace(plain, attributes={**plain.attributes, "wave": 0.5})))


def _opset(version: int) -> Callable[[ModelProto], None]:
    def edit(model: ModelProto) -> None:
        model.opset_import[0].version = version

    return edit


def _foreign_opset_only(model: ModelProto) -> None:
    model.opset_import[0].domain = "com.example"


def _free_rank(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]


def _uint16(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT16


def _empty_input(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 0


def _input_as_output(model: ModelProto) -> None:
    model.graph.output.append(model.graph.input[0])


def _missing_output(model: ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("nowhere", TensorProto.FLOAT, (1,)))


def _unnamed(model: ModelProto) -> None:
    model.graph.node[0].name = ""
    model.graph.node[0].op_type = "NonZero"


@pytest.mark.parametrize(
    ("edit", "where", "met"),
    [
        (_opset(NEWEST_MXNET_OPSET + 1), "the model", f"its opset is {NEWEST_MXNET_OPSET + 1}"),
        (_foreign_opset_only, "the model", "it names no opset of ONNX's own operators"),
        (_free_rank, f"node '{NODE}' (Conv)", "the rank of its input 'in0' is not known"),
        (_uint16, "input 'in0'", "it is uint16"),
        (_empty_input, "input 'in0'", "its shape is (0, 4, 9, 12)"),
        (_input_as_output, "output 'in0'", "it is an input too"),
        (_missing_output, "output 'nowhere'", "no node gives it"),
        (_unnamed, "node 'out0' (NonZero)", "MXNet has no translation of NonZero"),
    ],
)
def test_model_that_cannot_be_translated_is_refused(edit: Callable[[ModelProto], None], where: str, met: str) -> None:
    model = build_model(OpCase("Conv", "any", (PLANE, WEIGHTS)))
    convert_to_mxnet(model)
    edit(model)
    with pytest.raises(UnsupportedOpError) as caught:
        convert_to_mxnet(model)
    assert caught.value.where == where
    assert met in caught.value.met
