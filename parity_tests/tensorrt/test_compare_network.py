"""compare_network: the parser's network against graphs in which exactly one thing was changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from converters.errors import ConversionError
from parity_tests.support.mxnet_op_cases import IR_VERSION, OPSET, floats, ints
from parity_tests.support.parsed_network import Parsed

Edit = Callable[[ModelProto], None]


def make_graph() -> ModelProto:
    """Each operator that is compared, attributes all different; H and W free."""
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"], name="border", mode="reflect"),
        helper.make_node(
            "Conv",
            ["padded", "first.weight", "first.bias"],
            ["c1"],
            name="first",
            kernel_shape=[5, 3],
            strides=[2, 1],
            pads=[3, 2, 3, 2],
            dilations=[1, 2],
        ),
        helper.make_node("InstanceNormalization", ["c1", "ones", "zeros"], ["n1"], name="norm", epsilon=1e-5),
        helper.make_node("Relu", ["n1"], ["r1"], name="relu"),
        helper.make_node("Conv", ["r1", "grouped.weight"], ["c2"], name="grouped", group=2, pads=[1, 1, 1, 1]),
        helper.make_node(
            "ConvTranspose",
            ["c2", "last.weight", "last.bias"],
            ["y"],
            name="last",
            kernel_shape=[4, 3],
            strides=[2, 1],
            pads=[1, 2, 1, 2],
        ),
    ]
    arrays = {
        "pads": ints(0, 0, 2, 1, 0, 0, 2, 1),
        "first.weight": floats(4, 3, 5, 3),
        "first.bias": floats(4),
        "ones": np.ones(4, np.float32),
        "zeros": np.zeros(4, np.float32),
        "grouped.weight": floats(6, 2, 3, 3),
        "last.weight": floats(6, 2, 4, 3),
        "last.bias": floats(2),
    }
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 3, "H", "W"))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return onnx.shape_inference.infer_shapes(model)


def find(model: ModelProto, name: str) -> NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def attribute(node: NodeProto, name: str) -> AttributeProto:
    return next(attribute for attribute in node.attribute if attribute.name == name)


def flip_bit(tensor: str) -> Edit:
    """In the last byte but three: the lowest bit of the last number."""

    def edit(model: ModelProto) -> None:
        (constant,) = (constant for constant in model.graph.initializer if constant.name == tensor)
        data = bytearray(constant.raw_data)
        data[-4] ^= 1
        constant.raw_data = bytes(data)

    return edit


def swap(node: str, name: str) -> Edit:
    """The two axes' values."""

    def edit(model: ModelProto) -> None:
        values = attribute(find(model, node), name).ints
        values[:] = [value for pair in zip(values[1::2], values[::2], strict=True) for value in pair]

    return edit


def put(node: str, name: str, value: object) -> Edit:
    def edit(model: ModelProto) -> None:
        found = find(model, node)
        kept = [attribute for attribute in found.attribute if attribute.name != name]
        del found.attribute[:]
        found.attribute.extend([*kept, helper.make_attribute(name, value)])

    return edit


def turn_kernel(model: ModelProto) -> None:
    """The same bytes as a kernel of 3 x 5."""
    (constant,) = (constant for constant in model.graph.initializer if constant.name == "first.weight")
    constant.dims[2], constant.dims[3] = constant.dims[3], constant.dims[2]


def drop_bias(model: ModelProto) -> None:
    del find(model, "first").input[2]


def add_bias(model: ModelProto) -> None:
    find(model, "grouped").input.append("ones")


def compute_kernel(model: ModelProto) -> None:
    find(model, "first").input[1] = "r1"


def rename_node(model: ModelProto) -> None:
    find(model, "last").name = "another"


def swap_names(model: ModelProto) -> None:
    find(model, "relu").name, find(model, "norm").name = "norm", "relu"


# (what is changed, in which node, what the message says of it)
TAMPERED = (
    (flip_bit("first.weight"), "node 'first' (Conv)", "kernel: others instead of the graph's"),
    (flip_bit("grouped.weight"), "node 'grouped' (Conv)", "kernel: others instead of the graph's"),
    (flip_bit("last.weight"), "node 'last' (ConvTranspose)", "kernel: others instead of the graph's"),
    (flip_bit("first.bias"), "node 'first' (Conv)", "bias: others instead of the graph's"),
    (flip_bit("last.bias"), "node 'last' (ConvTranspose)", "bias: others instead of the graph's"),
    (drop_bias, "node 'first' (Conv)", "bias: others instead of the graph's"),
    (add_bias, "node 'grouped' (Conv)", "bias: others instead of the graph's"),
    (turn_kernel, "node 'first' (Conv)", "kernel size: (5, 3) instead of (3, 5)"),
    (compute_kernel, "node 'first' (Conv)", "kernel: constants instead of r1"),
    (swap("first", "strides"), "node 'first' (Conv)", "stride: [2, 1] instead of [1, 2]"),
    (swap("last", "strides"), "node 'last' (ConvTranspose)", "stride: [2, 1] instead of [1, 2]"),
    (swap("first", "pads"), "node 'first' (Conv)", "pads: [3, 2, 3, 2] instead of [2, 3, 2, 3]"),
    (put("first", "pads", [3, 2, 3, 1]), "node 'first' (Conv)", "pads: [3, 2, 3, 2] instead of [3, 2, 3, 1]"),
    (swap("last", "pads"), "node 'last' (ConvTranspose)", "pads: [1, 2, 1, 2] instead of [2, 1, 2, 1]"),
    (swap("first", "dilations"), "node 'first' (Conv)", "dilation: [1, 2] instead of [2, 1]"),
    (put("last", "dilations", [1, 2]), "node 'last' (ConvTranspose)", "dilation: [1, 1] instead of [1, 2]"),
    (put("grouped", "group", 1), "node 'grouped' (Conv)", "groups: 2 instead of 1"),
    (put("norm", "epsilon", 1.1e-5), "node 'norm' (InstanceNormalization)", "epsilon: 1e-05 instead of 1.1e-05"),
    (put("border", "mode", "edge"), "node 'border' (Pad)", "mode: REFLECT instead of CLAMP"),
    (put("border", "mode", "constant"), "node 'border' (Pad)", "mode: REFLECT instead of FILL"),
    (rename_node, "node 'another' (ConvTranspose)", "layer: missing instead of present"),
    (swap_names, "node 'relu' (InstanceNormalization)", "layer: ACTIVATION instead of NORMALIZATION"),
)


def test_untouched_graph_is_found_equal_and_counted() -> None:
    model = make_graph()
    counts = {"Conv": 2, "ConvTranspose": 1, "InstanceNormalization": 1, "Pad": 1}
    assert Parsed(model).compare(model) == counts


def test_attributes_left_out_stand_for_their_defaults() -> None:
    model = make_graph()
    parsed = Parsed(model)
    for node in ("first", "last"):
        found = find(model, node)
        kept = [attribute for attribute in found.attribute if attribute.name != "kernel_shape"]
        del found.attribute[:]
        found.attribute.extend(kept)
    del find(model, "norm").attribute[:]
    parsed.compare(model)


@pytest.mark.parametrize(("edit", "where", "met"), TAMPERED, ids=[f"{where}: {met}" for _, where, met in TAMPERED])
def test_one_changed_fact_is_found_and_its_node_named(edit: Edit, where: str, met: str) -> None:
    model = make_graph()
    parsed = Parsed(model)
    edit(model)
    with pytest.raises(ConversionError) as caught:
        parsed.compare(model)
    assert caught.value.where == where
    assert caught.value.met.endswith(met)


@pytest.mark.parametrize(
    ("name", "layer_class", "fact", "value", "met"),
    [
        ("norm", "INormalizationLayer", "axes", 1 << 3, "axes: 8 instead of 12"),
        ("norm", "INormalizationLayer", "epsilon", 1e-3, "epsilon: 0.001 instead of 1e-05"),
        ("first", "IConvolutionLayer", "post_padding", (3, 1), "pads: [3, 2, 3, 1] instead of [3, 2, 3, 2]"),
        ("last", "IDeconvolutionLayer", "num_groups", 2, "groups: 2 instead of 1"),
    ],
)
def test_what_the_parser_changes_is_found_and_its_node_named(
    name: str, layer_class: str, fact: str, value: object, met: str
) -> None:
    model = make_graph()
    parsed = Parsed(model)
    setattr(parsed.layer(name, layer_class), fact, value)
    with pytest.raises(ConversionError, match="node ") as caught:
        parsed.compare(model)
    assert f"'{name}'" in caught.value.where
    assert caught.value.met.endswith(met)


def rename_input(model: ModelProto) -> None:
    model.graph.input[0].name = "image"


def rename_output(model: ModelProto) -> None:
    model.graph.output[0].name = "result"


def fix_height(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64


def more_channels(model: ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3


def one_more_output(model: ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("r1", TensorProto.FLOAT, None))


@pytest.mark.parametrize(
    ("edit", "side"),
    [
        (rename_input, "inputs"),
        (fix_height, "inputs"),
        (rename_output, "outputs"),
        (more_channels, "outputs"),
        (one_more_output, "outputs"),
    ],
)
def test_inputs_and_outputs_must_be_the_graphs(edit: Edit, side: str) -> None:
    model = make_graph()
    parsed = Parsed(model)
    edit(model)
    with pytest.raises(ConversionError, match=f"TensorRT's parser: its {side} are "):
        parsed.compare(model)


def test_free_axis_without_a_name_is_free_as_well() -> None:
    model = make_graph()
    parsed = Parsed(model)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[2].Clear()
    parsed.compare(model)
