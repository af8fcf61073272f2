"""Any ONNX file through the real command: what is written computes what ONNX Runtime gives for the file itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from click.testing import Result
from onnx import TensorProto, helper

from converters.onnx_graph.traversal import list_graphs
from converters.targets.onnx.write import IR_VERSION
from parity_tests.support.command import run_ganport
from parity_tests.support.foreign_bundles import CONV, convert, draw, read_manifest, require_same
from parity_tests.support.foreign_models import (
    IR_VERSIONS,
    PLANE,
    TABLE,
    make_model,
    make_version,
    rename,
)


@pytest.mark.parametrize("opset", [opset for opset in IR_VERSIONS if opset > 6])
def test_model_of_any_opset_becomes_one_of_opset_18_that_gives_the_same_on_new_inputs(
    opset: int, tmp_path: Path
) -> None:
    bundle = convert(tmp_path, make_version(opset))
    shipped = onnx.load(bundle / "net.onnx")
    assert [(entry.domain, entry.version) for entry in shipped.opset_import] == [("", 18)]
    assert shipped.ir_version == IR_VERSION == 8
    for shape in ((1, 3, 20, 28), (3, 3, 9, 8)):
        require_same(bundle, draw(*shape))


NAMES = {
    "tensorflow's": ({"x": "input:0", "y": "a/b"}, {"input_0": "input:0", "a_b": "a/b"}),
    "a number": ({"x": "0", "y": "17"}, {"x_0": "0", "x_17": "17"}),
    "clash with an inner tensor": ({"x": "in/0", "c": "in_0"}, {"in_0": "in/0", "y": None}),
    "clash with a weight": ({"y": "w.", "x": "x"}, {"x": None, "w": "w."}),
    "nothing but signs": ({"x": ":", "y": "ä"}, {"tensor": ":", "tensor_2": "ä"}),
}


@pytest.mark.parametrize("case", NAMES)
def test_ends_get_names_that_every_target_takes_and_the_manifest_tells_the_old_ones(case: str, tmp_path: Path) -> None:
    old, said = NAMES[case]
    bundle = convert(tmp_path, rename(make_model(17, "c = Conv(x, w) y = Relu(c)", CONV), old), to="onnx,mxnet")
    contract = read_manifest(bundle)["contract"]
    told = {spec["name"]: spec["meaning"] for spec in [*contract["inputs"], *contract["outputs"]]}
    assert told == {name: f"'{was}' in net.onnx" if was else "" for name, was in said.items()}
    assert all(f"`{name}`" in (bundle / "README.md").read_text() for name in told)
    shipped = onnx.load(bundle / "net.onnx").graph
    assert [value.name for value in [*shipped.input, *shipped.output]] == list(told)
    require_same(bundle, draw(2, 3, 8, 9))


def test_two_inputs_whose_plain_names_are_the_same_are_told_apart(tmp_path: Path) -> None:
    both = make_model(17, "y = Sub(p, q)", signature="(float[N, 3] p, float[N, 3] q) => (float[N, 3] y)")
    bundle = convert(tmp_path, rename(both, {"p": "a:b", "q": "a/b"}))
    given = read_manifest(bundle)["contract"]["inputs"]
    assert [(spec["name"], spec["meaning"]) for spec in given] == [
        ("a_b", "'a:b' in net.onnx"),
        ("a_b_2", "'a/b' in net.onnx"),
    ]
    require_same(bundle, draw(2, 3), draw(2, 3, seed=8))


def test_names_inside_branches_are_renamed_and_their_own_make_way(tmp_path: Path) -> None:
    """`in_0` is the input's new name, and that of a tensor of one branch."""
    branches = """
        s = ReduceSum<keepdims = 0>(x)
        c = Greater(s, zero)
        y = If(c) <
            then_branch = one () => (float[N, 3] t) { t = Add(x, w) },
            else_branch = other () => (float[N, 3] e) { in_0 = Neg(x) e = Mul(in_0, w) }
        >
    """
    model = make_model(17, branches, {"zero": np.array(0, np.float32), "w": (3,)}, TABLE)
    bundle = convert(tmp_path, rename(model, {"x": "in/0", "y": "out:0"}))
    for sign in (1, -1):
        require_same(bundle, sign * np.abs(draw(2, 3)))


@pytest.mark.parametrize("scale", [2.5, 0.4])
@pytest.mark.parametrize("place", ["branch", "graph"])
def test_resize_of_opset_10_inside_a_branch_rounds_as_before(place: str, scale: float, tmp_path: Path) -> None:
    """Its scales are a Constant node of the branch, or a weight of the graph."""
    scales = np.array([1, 1, scale, scale], np.float32)
    constant = f"s = Constant<value = float[4] {{1, 1, {scale}, {scale}}}>()" if place == "branch" else ""
    branches = f"""
        t = ReduceSum<keepdims = 0>(x)
        c = Greater(t, zero)
        y = If(c) <
            then_branch = one () => (float[N, 3, ?, ?] p) {{ {constant} p = Resize<mode = "nearest">(x, s) }},
            else_branch = other () => (float[N, 3, ?, ?] q) {{ q = Neg(x) }}
        >
    """
    weights = {"zero": np.array(0, np.float32)} | ({"s": scales} if place == "graph" else {})
    model = make_model(10, branches, weights, "(float[N, 3, H, W] x) => (float[N, 3, H2, W2] y)", IR_VERSIONS[10])
    bundle = convert(tmp_path, model)
    for sign in (1, -1):
        require_same(bundle, sign * np.abs(draw(2, 3, 7, 9)))


def test_constants_inside_branches_and_loops_become_weights_there(tmp_path: Path) -> None:
    """One is a branch's only node and its output, one is returned by every turn of a loop."""
    body = """
        s = ReduceSum<keepdims = 0>(x)
        c = Greater(s, zero)
        i = If(c) <
            then_branch = one () => (float[3] t) { t = Constant<value = float[3] {1, 2, 3}>() },
            else_branch = other () => (float[3] e) { k = Constant<value_float = 0.5>() e = Mul(w, k) }
        >
        turns = Constant<value_int = 3>()
        z, scan = Loop(turns, , x) <
            body = turn (int64 index, bool before, float[N, 3] state) =>
                (bool after, float[N, 3] next, float[3] constant) {
                after = Constant<value = bool {1}>()
                next = Add(state, i)
                constant = Constant<value_floats = [7., 8., 9.]>()
            }
        >
        row = ReduceSum<keepdims = 0>(scan, first)
        y = Add(z, row)
    """
    weights = {"zero": np.array(0, np.float32), "w": (3,), "first": np.array([0])}
    bundle = convert(tmp_path, make_model(17, body, weights, TABLE))
    for graph in list_graphs(onnx.load(bundle / "net.onnx").graph):
        assert "Constant" not in {node.op_type for node in graph.node}
    for sign in (1, -1):
        require_same(bundle, sign * np.abs(draw(2, 3)))


def test_weights_that_are_inputs_too_are_weights(tmp_path: Path) -> None:
    model = make_model(9, "c = Conv(x, w) y = Relu(c)", CONV, ir_version=3)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, CONV["w"]))
    bundle = convert(tmp_path, model)
    assert [spec["name"] for spec in read_manifest(bundle)["contract"]["inputs"]] == ["x"]
    assert [value.name for value in onnx.load(bundle / "net.onnx").graph.input] == ["x"]


def test_weights_beside_the_file_go_into_it_and_count_in_its_hash(tmp_path: Path) -> None:
    def convert_saved(seed: int) -> Result:
        model = make_model(17, "c = Conv(x, w) y = Relu(c)", {"w": draw(4, 3, 3, 3, seed=seed)})
        onnx.save_model(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
        return run_ganport("convert", tmp_path / "net.onnx", "--to", "onnx", "-o", tmp_path / "out", "--overwrite")

    hashes = set()
    for seed in (1, 2):
        (tmp_path / "net.data").unlink(missing_ok=True)
        assert convert_saved(seed).exit_code == 0
        assert not list((tmp_path / "out").glob("**/*.data"))
        require_same(tmp_path / "out" / "net", draw(1, 3, 8, 8))
        hashes.add(read_manifest(tmp_path / "out" / "net")["sources"][0]["sha256"])
    assert len(hashes) == 2


@pytest.mark.parametrize("opset", [13, 17])
def test_local_functions_are_inlined_those_of_an_older_opset_too(opset: int, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17, "own": 1]> net {PLANE.replace("4", "3")} {{ y = own.outer(x) }}
        <domain: "own", opset_import: ["": {opset}, "own": 1]> outer (a) => (b) {{ c = Relu(a) b = own.inner(c) }}
        <domain: "own", opset_import: ["": {opset}]> inner (a) => (b) {{ b = Sigmoid(a) }}"""
    )
    bundle = convert(tmp_path, model)
    assert [node.op_type for node in onnx.load(bundle / "net.onnx").graph.node] == ["Relu", "Sigmoid"]
    require_same(bundle, draw(1, 3, 8, 8))


def read_shapes(bundle: Path) -> list[list[int | str]]:
    graph = onnx.load(bundle / "net.onnx").graph
    return [[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in graph.input]


SIZES: dict[str, tuple[str, tuple[str, ...], list[list[int | str]]]] = {
    "unnamed": ("(float[?, 3, ?, ?] x) => (float[?, 4, ?, ?] y)", (), [["x_axis_0", 3, "x_axis_2", "x_axis_3"]]),
    "named": ("(float[batch, 3, H, W] x) => (float[batch, 4, H2, W2] y)", (), [["batch", 3, "H", "W"]]),
    "sized": ("(float[batch, 3, H, W] x) => (float[batch, 4, H2, W2] y)", ("--size", "16x24"), [[1, 3, 16, 24]]),
    "sized as it is": ("(float[2, 3, 16, W] x) => (float[2, 4, ?, ?] y)", ("--size", "16x24"), [[2, 3, 16, 24]]),
    "fixed": ("(float[2, 3, 16, 24] x) => (float[2, 4, 14, 22] y)", (), [[2, 3, 16, 24]]),
}


@pytest.mark.parametrize("case", SIZES)
def test_sizes_stay_free_under_their_names_or_become_static(case: str, tmp_path: Path) -> None:
    signature, options, shapes = SIZES[case]
    model = make_model(17, "c = Conv(x, w) y = Relu(c)", CONV, signature)
    bundle = convert(tmp_path, model, *options, to="onnx,mxnet")
    assert read_shapes(bundle) == shapes
    assert [spec["shape"] for spec in read_manifest(bundle)["contract"]["inputs"]] == shapes
    require_same(bundle, draw(1 if options and shapes[0][0] == 1 else 2, 3, 16, 24))


def test_inputs_of_one_symbol_are_judged_and_fixed_together(tmp_path: Path) -> None:
    signature = "(float[B, 1, H, W] m, float[B, 3, H, W] x, float[B, K] k) => (float[B, 3, H, W] y)"
    model = make_model(17, "y = Mul(m, x)", signature=signature)
    bundle = convert(tmp_path, model)
    assert read_shapes(bundle) == [["B", 1, "H", "W"], ["B", 3, "H", "W"], ["B", "K"]]
    judged = [given["name"] for given in json.loads((bundle / "parity.json").read_text())["inputs"]]
    assert judged[0] == "seed 0, 1x1x64x64, 1x3x64x64, 1x64"
    assert judged[2] == "seed 2, 2x1x128x96, 2x3x128x96, 2x96"


def test_output_that_is_not_of_the_size_it_names_gets_names_of_its_own(tmp_path: Path) -> None:
    """Exporters are told names for axes and do not check them; a consumer does."""
    model = make_model(17, "y = Conv(x, w)", CONV, "(float[N, 3, H, W] x) => (float[N, 4, H, 64] y)")
    contract = read_manifest(convert(tmp_path, model))["contract"]
    assert contract["outputs"][0]["shape"] == ["N", 4, "y_axis_2", "y_axis_3"]
