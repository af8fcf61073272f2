"""compare_network on kernels, biases, pads and sizes that are computed: by the graph, or from other attributes."""

from __future__ import annotations

import pytest
from onnx import ModelProto, helper

from converters.errors import ConversionError
from converters.targets.profile import DEFAULT_PROFILE
from converters.targets.tensorrt.build import build_engine
from parity_tests.support.foreign_models import Weights, make_model
from parity_tests.support.mxnet_op_cases import ints
from parity_tests.support.parsed_network import Parsed

PLANES = "(float[1, 3, 16, 18] x, float[1] s, float[6] given) => (float[N, C, H, W] y)"
FREE_PLANES = "(float[N, 3, H, W] x) => (float[A, B, C, D] y)"
SIZE = "shape = Shape(x) hw = Slice(shape, two, four, zero) minus = Neg(hw) more = Mod(minus, eights) "
PADDED = SIZE + "pads = Concat<axis = 0>(no_pads, more) y = Pad{how}(x, pads)"
WEIGHTS: Weights = {
    "v": (6, 3, 4, 5),
    "t": (3, 6, 4, 5),
    "tall": (3, 6, 9, 5),
    "own": (6,),
    "zero": ints(0),
    "two": ints(2),
    "four": ints(4),
    "eights": ints(8, 8),
    "no_pads": ints(*[0] * 6),
}


def make_named(body: str, signature: str = PLANES) -> ModelProto:
    """A model whose nodes are named after their operators; constants that no node reads are left out."""
    model = make_model(13, body, WEIGHTS, signature)
    used = {name for node in model.graph.node for name in node.input}
    kept = [constant for constant in model.graph.initializer if constant.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for node in model.graph.node:
        node.name = node.op_type
    return model


# Each is translated as it stands: body and signature.
EQUAL = {
    "a kernel that is computed": ("k = Mul(v, s) y = Conv<strides = [2, 1], pads = [1, 2, 3, 0]>(x, k)", PLANES),
    "a kernel that is computed, a constant bias": ("k = Mul(v, s) y = Conv(x, k, own)", PLANES),
    "a kernel and a bias that are computed": ("k = Mul(v, s) b = Mul(given, s) y = Conv(x, k, b)", PLANES),
    "a bias that is given": ("y = Conv<dilations = [2, 1]>(x, v, given)", PLANES),
    "a transposed kernel that is computed": ("k = Mul(t, s) y = ConvTranspose<strides = [2, 3]>(x, k)", PLANES),
    "the wanted size of a transposed convolution": (
        "y = ConvTranspose<output_shape = [32, 35], strides = [2, 2]>(x, t, own)",
        PLANES,
    ),
    "the wanted size, without pads along one axis": (
        "y = ConvTranspose<output_shape = [34, 37], strides = [2, 2]>(x, t)",
        PLANES,
    ),
    "the wanted size and output_padding": (
        "y = ConvTranspose<output_shape = [33, 37], strides = [2, 2], output_padding = [1, 0]>(x, t)",
        PLANES,
    ),
    "SAME pads": ('y = ConvTranspose<auto_pad = "SAME_LOWER", strides = [2, 3]>(x, t)', FREE_PLANES),
    "pads that follow from the size": (PADDED.format(how=""), FREE_PLANES),
    "pads that follow from the size, reflected": (PADDED.format(how='<mode = "reflect">'), FREE_PLANES),
}
# What the parser changes, or what is changed after it read the graph: body, edit of a node or None, what is said.
CHANGED = {
    "the odd pad, which ONNX has at the beginning": (
        "y = ConvTranspose<output_shape = [33, 38], strides = [2, 2]>(x, t)",
        None,
        "pads: [0, 0, 1, 1] instead of [1, 1, 0, 0]",
    ),
    "a wanted size that no pads give": (
        "y = ConvTranspose<output_shape = [35, 40], strides = [2, 2]>(x, t)",
        None,
        "pads: [0, 0, 0, 0] instead of [0, 0, -1, -1]",
    ),
    "a wanted size beside SAME pads": (
        'y = ConvTranspose<output_shape = [33, 37], auto_pad = "SAME_UPPER", strides = [2, 2]>(x, t)',
        None,
        "padding mode: SAME_UPPER instead of EXPLICIT_ROUND_DOWN",
    ),
    "the SAME that is meant": (
        'y = ConvTranspose<auto_pad = "SAME_LOWER", strides = [2, 2]>(x, t)',
        lambda node: node.attribute[0].CopyFrom(helper.make_attribute("auto_pad", "SAME_UPPER")),
        "padding mode: SAME_LOWER instead of SAME_UPPER",
    ),
    "the tensor that is the kernel": (
        "k = Mul(v, s) l = Mul(k, s) y = Conv(x, l)",
        lambda node: node.input.__setitem__(1, "k"),
        "kernel: l instead of k",
    ),
    "the tensor that is the bias": (
        "b = Mul(given, s) y = Conv(x, v, b)",
        lambda node: node.input.__setitem__(2, "given"),
        "bias: b instead of given",
    ),
    "a bias that is left out": (
        "b = Mul(given, s) y = Conv(x, v, b)",
        lambda node: node.input.pop(),
        "bias: b instead of constants",
    ),
    "the tensor that is padded": (
        SIZE + "z = Relu(x) pads = Concat<axis = 0>(no_pads, more) y = Pad(z, pads)",
        lambda node: node.input.__setitem__(0, "x"),
        "data: z instead of x",
    ),
    "the mode of pads that follow from the size": (
        PADDED.format(how='<mode = "edge">'),
        lambda node: node.ClearField("attribute"),
        "mode: CLAMP instead of FILL",
    ),
}


@pytest.mark.parametrize("name", EQUAL)
def test_what_the_parser_keeps_is_found_equal(name: str) -> None:
    model = make_named(*EQUAL[name])
    counts = Parsed(model).compare(model)
    assert sum(counts.values()) == 1


@pytest.mark.parametrize("name", CHANGED)
def test_what_the_parser_makes_of_it_is_found(name: str) -> None:
    body, edit, met = CHANGED[name]
    model = make_named(body, FREE_PLANES if "shape = Shape" in body else PLANES)
    parsed = Parsed(model)
    if edit is not None:
        edit(model.graph.node[-1])
    with pytest.raises(ConversionError, match="node ") as caught:
        parsed.compare(model)
    assert caught.value.met.endswith(met)


def test_size_that_the_graph_leaves_open_is_the_parsers_but_not_one_of_an_input() -> None:
    model = make_named(PADDED.format(how=""), FREE_PLANES)
    parsed = Parsed(model)  # it knows that there are three channels, and nothing of height and width
    parsed.compare(model)
    for name in ("H", "2*H", "W + 3"):
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = name
        with pytest.raises(ConversionError, match="TensorRT's parser: its outputs are "):
            parsed.compare(model)


def test_wanted_size_of_a_free_size_is_refused() -> None:
    """The parser takes the free size for -1."""
    signature = "(float[1, 3, H, 18] x) => (float[N, C, H2, W2] y)"
    model = make_named("y = ConvTranspose<output_shape = [3, 37], strides = [2, 2]>(x, tall)", signature)
    parsed = Parsed(model)
    with pytest.raises(ConversionError, match="its output_shape is fixed, and axis 2 of its input is free"):
        parsed.compare(model)


@pytest.mark.parametrize("name", [name for name in EQUAL if "computed" in name])
def test_engine_is_built_of_what_is_computed(name: str) -> None:
    build = build_engine(make_named(*EQUAL[name]), DEFAULT_PROFILE)
    assert build.engine
    assert sum(build.compared.values()) == 1
