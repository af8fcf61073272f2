"""What the MXNet writer refuses: each with the node, the reason and what to do, and before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from converters.errors import UnsupportedOpError
from converters.mxnet_ops import OPS
from converters.onnx_nodes import NEWEST_OPSET
from converters.targets import MxnetTarget, Source
from converters.to_mxnet import convert_to_mxnet
from converters.to_tensorrt import DEFAULT_PROFILE
from parity_tests.mxnet_op_cases import CASES, IR_VERSION, NODE, OPSET, PLANE, OpCase, build_model, floats, ints, number

WEIGHTS = floats(5, 4, 3, 2)
ROW, VOLUME = (2, 4, 9), (2, 4, 5, 6, 7)

# (the case, words of the message)
REFUSED = (
    (OpCase("Softplus", "unknown operator", (PLANE,)), "MXNet has no translation of Softplus", "Use only Add,"),
    (
        OpCase("Sigmoid", "attribute not declared", (PLANE,), {"alpha": 0.5}),
        "the attribute alpha=0.5 has no translation",
        "Export without it",
    ),
    (
        OpCase("ConvTranspose", "output_shape", (PLANE, floats(4, 5, 3, 2)), {"output_shape": [12, 13]}),
        "the attribute output_shape=[12, 13] has no translation",
        "Export without it",
    ),
    *(
        (OpCase(op, f"{op} {what}", inputs, attributes), met, remedy)
        for op, weights in (("Conv", floats(4, 4, 3, 2)), ("ConvTranspose", floats(4, 4, 3, 2)))
        for what, inputs, attributes, met, remedy in (
            (
                "asymmetric pads",
                (PLANE, weights),
                {"pads": [1, 2, 3, 2]},
                "its pads (1, 2, 3, 2) are not symmetric",
                "Put a Pad before it",
            ),
            ("auto_pad SAME", (PLANE, weights), {"auto_pad": "SAME_UPPER"}, "auto_pad is SAME_UPPER", "explicit pads"),
            (
                "kernel_shape unlike the weight's",
                (PLANE, weights),
                {"kernel_shape": [2, 3]},
                "kernel_shape is (2, 3), the weight's (3, 2)",
                "Check the model",
            ),
            ("computed weight", (PLANE, (4, 4, 3, 2)), {}, "its weight 'in1' is computed in the graph", "a constant"),
            ("1-D", (ROW, floats(4, 4, 3)), {"pads": [1, 1]}, "its input has rank 3", "Only 2-D convolutions"),
            ("3-D", (VOLUME, floats(4, 4, 3, 3, 3)), {}, "its input has rank 5", "Only 2-D convolutions"),
        )
    ),
    (
        OpCase("InstanceNormalization", "computed scale", (PLANE, (4,), floats(4))),
        "its scale 'in1' is computed in the graph",
        "Export the scale as a constant",
    ),
    (
        OpCase("InstanceNormalization", "computed bias", (PLANE, floats(4), (4,))),
        "its bias 'in2' is computed in the graph",
        "Export the bias as a constant",
    ),
    (OpCase("Add", "nothing but numbers", (number(1), number(2))), "the shape of its constant 'in0' is ()", "Fold"),
    (
        OpCase("Add", "constants of another type", (ints(1, 2), ints(3, 4))),
        "its constant 'in0' is int64",
        "Only float32",
    ),
    (OpCase("Concat", "axis left out", (PLANE, PLANE)), "do not fit Concat: missing a required", "Check the model"),
    (OpCase("Relu", "one input too many", (PLANE, PLANE)), "do not fit Relu: too many", "Check the model"),
    (OpCase("Pad", "mode wrap", (PLANE, ints(*[0, 0, 1, 1] * 2)), {"mode": "wrap"}), "its mode is 'wrap'", "reflect"),
    (
        OpCase("Pad", "negative", (PLANE, ints(0, 0, 1, -1, 0, 0, 0, 0))),
        "its pads [0, 0, 1, -1, 0, 0, 0, 0] are negative",
        "Crop with Slice",
    ),
    (
        OpCase("Pad", "channels", (PLANE, ints(0, 0, 1, 1, 0, 1, 1, 1))),
        "enlarge the batch or the channels",
        "MXNet pads the plane only",
    ),
    (OpCase("Pad", "computed pads", (PLANE, (8,))), "its pads 'in1' is computed in the graph", "Export the pads"),
    (
        OpCase("Pad", "computed axes", (PLANE, ints(1, 1), None, (1,))),
        "its axes 'in3' is computed in the graph",
        "Export the axes",
    ),
    (OpCase("Pad", "row", (ROW, ints(0, 0, 1, 0, 0, 1))), "its input has rank 3", "MXNet pads ranks 4 and 5 only"),
    (
        OpCase("Pad", "computed value", (PLANE, ints(*[0, 0, 1, 1] * 2), ())),
        "its constant 'in2' is computed",
        "constant",
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
    (OpCase("Split", "two outputs", (PLANE,), outputs=2), "it has 2 outputs", "Use operators of one output"),
)


@pytest.mark.parametrize(("case", "met", "remedy"), REFUSED, ids=[case.id for case, *_ in REFUSED])
def test_refusal_names_node_and_reason_and_nothing_is_written(
    case: OpCase, met: str, remedy: str, tmp_path: Path
) -> None:
    source = Source("m", build_model(case), (), (), {}, DEFAULT_PROFILE)
    with pytest.raises(UnsupportedOpError) as caught:
        MxnetTarget().write(source, tmp_path)
    assert caught.value.where == f"node '{NODE}' ({case.op})"
    assert met in caught.value.met
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("op", sorted({name for name, _ in OPS.names()}))
def test_attribute_that_would_change_the_result_is_refused(op: str) -> None:
    """On an operator whose row converts without it: one that skipped it would compute something else."""
    plain = next(case for case in CASES if case.op == op)
    convert_to_mxnet(build_model(plain))
    with pytest.raises(UnsupportedOpError, match=r"the attribute alpha=0\.5 has no translation"):
        convert_to_mxnet(build_model(replace(plain, attributes={**plain.attributes, "alpha": 0.5})))


def _opset(version: int) -> Callable[[ModelProto], None]:
    def edit(model: ModelProto) -> None:
        model.opset_import[0].version = version

    return edit


def _foreign_opset_only(model: ModelProto) -> None:
    model.opset_import[0].domain = "com.example"


def _free_rank(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]


def _float16(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def _constant_output(model: ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(floats(1), "fixed"))
    model.graph.output.append(helper.make_tensor_value_info("fixed", TensorProto.FLOAT, (1,)))


def _unnamed(model: ModelProto) -> None:
    model.graph.node[0].name = ""
    model.graph.node[0].op_type = "Softplus"


@pytest.mark.parametrize(
    ("edit", "where", "met"),
    [
        (_opset(NEWEST_OPSET + 1), "the model", f"its opset is {NEWEST_OPSET + 1}"),
        (_foreign_opset_only, "the model", "it names no opset of ONNX's own operators"),
        (_free_rank, f"node '{NODE}' (Conv)", "the rank of its input 'in0' is not known"),
        (_float16, "input 'in0'", "it is FLOAT16"),
        (_constant_output, "output 'fixed'", "it is a constant"),
        (_unnamed, "node 'out0' (Softplus)", "MXNet has no translation of Softplus"),
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


def test_constant_of_another_type_is_refused_by_name() -> None:
    node = helper.make_node("Concat", ["x", "whole"], ["y"], name="joined", axis=1)
    graph = helper.make_graph(
        [node],
        "types",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4))],
        [numpy_helper.from_array(np.ones((1, 2)), "whole")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    with pytest.raises(UnsupportedOpError, match=r"node 'joined' \(Concat\): its constant 'whole' is float64"):
        convert_to_mxnet(model)
