"""Any ONNX file through the real command: what is written computes what ONNX Runtime gives for the file itself."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from click.testing import Result
from onnx import ModelProto, TensorProto, helper
from torch import nn

from converters.bundle.folder import read_bundle
from converters.onnx_graph.traversal import list_graphs
from converters.targets.onnx.write import IR_VERSION
from converters.targets.registry import TARGETS
from converters.tensors import Array
from parity_tests.support.command import list_tree, run_ganport
from parity_tests.support.foreign_models import (
    IR_VERSIONS,
    PLANE,
    TABLE,
    make_model,
    make_version,
    rename,
    run_model,
    write_model,
)

# Outputs are of size 1 or so; both run in ONNX Runtime, which may fuse other sets of nodes: a few float32 steps.
SAME = 1e-6
# Another library's order of sums, over 144 products of size 1.
SUMMED = 1e-5
CONV: Mapping[str, tuple[int, ...]] = {"w": (4, 3, 3, 3)}
RELU = make_model(17, "c = Conv(x, w) y = Relu(c)", CONV)


def convert(folder: Path, model: ModelProto, *options: str, to: str = "onnx") -> Path:
    """The bundle that the command makes of it; it must succeed."""
    path = write_model(folder, model)
    done = run_ganport("convert", path, "--to", to, "-o", folder / "out", *options)
    assert done.exit_code == 0, done.stderr
    return folder / "out" / "net"


def read_manifest(bundle: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    return manifest


def draw(*shape: int, seed: int = 7) -> Array:
    """Numbers that no conversion is judged on: beyond [0, 1], of another seed."""
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


def require_same(bundle: Path, *arrays: Array) -> None:
    """The bundle's file and the model that it was made from give the same for these inputs."""
    for ours, theirs in zip(
        run_model(bundle / "net.onnx", *arrays), run_model(bundle.parents[1] / "net.onnx", *arrays), strict=True
    ):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(ours, theirs, atol=SAME, rtol=SAME)


@pytest.mark.parametrize("opset", IR_VERSIONS)
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


KINDS = {
    "int64": ("(int64[N, 3] x) => (int64[N, 3] y)", "y = Neg(x)", np.array([[1, -2, 3]])),
    "bool": ("(bool[N, 3] x) => (bool[N, 3] y)", "y = Not(x)", np.array([[True, False, True]])),
    "uint8 to float": ("(uint8[N, 3] x) => (float[N, 3] y)", "y = Cast<to = 1>(x)", np.array([[0, 7, 255]], np.uint8)),
    "number out": ("(float[N, 3] x) => (float y)", "y = ReduceMean<keepdims = 0>(x)", draw(2, 3)),
    "number in": ("(float x) => (float y)", "y = Neg(x)", np.array(3, np.float32)),
    "float16": ("(float16[N, 3] x) => (float16[N, 3] y)", "y = Sigmoid(x)", draw(2, 3).astype(np.float16)),
    "float64": ("(double[N, 3] x) => (double[N, 3] y)", "y = Sigmoid(x)", draw(2, 3).astype(np.float64)),
    "input returned": ("(float[N, 3] x) => (float[N, 3] x, float[N, 3] y)", "y = Neg(x)", draw(2, 3)),
}


@pytest.mark.parametrize("case", KINDS)
def test_inputs_and_outputs_of_any_number_type_and_rank_go_to_onnx(case: str, tmp_path: Path) -> None:
    signature, body, array = KINDS[case]
    bundle = convert(tmp_path, make_model(17, body, signature=signature))
    require_same(bundle, array)
    (artifact,) = read_manifest(bundle)["artifacts"]
    assert artifact["precision"] == array.dtype.name
    assert run_ganport("verify", bundle).exit_code == 0


@pytest.mark.parametrize("kind", ["float16", "double", "int64"])
def test_numbers_of_other_types_go_to_mxnet(kind: str, tmp_path: Path) -> None:
    model = make_model(17, "y = Neg(x)", signature=f"({kind}[N, 3] x) => ({kind}[N, 3] y)")
    (artifact,) = read_manifest(convert(tmp_path, model, to="mxnet"))["artifacts"]
    assert artifact["verified"] is True
    assert artifact["precision"] == {"float16": "float16", "double": "float64", "int64": "int64"}[kind]


def test_input_that_nothing_is_computed_from_is_left_out_of_the_symbol(tmp_path: Path) -> None:
    model = make_model(17, "y = Relu(x)", signature="(float[N, 3] x, float[N] z) => (float[N, 3] y)")
    bundle = convert(tmp_path, model, to="onnx,mxnet")
    assert [artifact["verified"] for artifact in read_manifest(bundle)["artifacts"]] == [True, True]
    symbol = json.loads(next(bundle.glob("*-symbol.json")).read_text())
    assert [node["name"] for node in symbol["nodes"] if node["op"] == "null"] == ["x"]


def test_norm_of_rank_3_as_group_norms_are_exported_goes_to_every_target(tmp_path: Path) -> None:
    weights = {"s": (4,), "b": (4,)}
    model = make_model(
        17, "y = InstanceNormalization(x, s, b)", weights, signature="(float[N, 4, 50] x) => (float[N, 4, 50] y)"
    )
    artifacts = read_manifest(convert(tmp_path, model, to="onnx,mxnet,trt"))["artifacts"]
    assert [artifact["verified"] for artifact in artifacts[:2]] == [True, True]
    assert artifacts[2]["details"]["compared_with_the_graph"]["InstanceNormalization"] == 1


def test_float16_norm_runs_as_the_file_says(tmp_path: Path) -> None:
    weights = {"a": draw(3).astype(np.float16), "b": draw(3).astype(np.float16)}
    signature = "(float16[N, 3, H, W] x) => (float16[N, 3, H, W] y)"
    bundle = convert(tmp_path, make_model(17, "y = InstanceNormalization(x, a, b)", weights, signature))
    require_same(bundle, draw(2, 3, 8, 8).astype(np.float16))


class Padded(nn.Module):
    """A piece of a generator: a reflected border, a convolution, a norm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, 4, 7), nn.InstanceNorm2d(4), nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(x)
        return out


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.filterwarnings("ignore")
def test_chains_that_torchscript_makes_of_a_reflected_border_disappear(opset: int, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    free = {0: "N", 2: "H", 3: "W"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Padded().eval(),
            (torch.rand(1, 3, 32, 32),),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": free, "y": free},
        )
    exported = {node.op_type for node in onnx.load(path).graph.node}
    assert len(exported) > len({"Pad", "Conv", "InstanceNormalization", "Tanh"})
    bundle = convert(tmp_path, onnx.load(path), to="onnx,mxnet")
    manifest = read_manifest(bundle)
    assert manifest["not_verified"] == {}
    assert [row["parity"]["passed"] for row in manifest["artifacts"]] == [True, True]
    kept = {node.op_type for node in onnx.load(bundle / "net.onnx").graph.node}
    assert kept == {"Pad", "Conv", "Tanh", "ReduceMean", "Sub", "Mul", "Add", "Sqrt", "Div"}  # the norm spelled out
    x = draw(2, 3, 20, 24)
    (theirs,) = run_model(path, x)
    with torch.inference_mode():
        np.testing.assert_allclose(Padded().eval()(torch.from_numpy(x)).numpy(), theirs, atol=1e-5)


def test_mxnet_runs_a_transposed_convolution_at_one_size_after_another(tmp_path: Path) -> None:
    """MXNet's kernels reorder weights in place; those of another size then refuse them."""
    signature = "(float[N, 16, H, W] x) => (float[N, 16, ?, ?] y)"
    body = "y = ConvTranspose<strides = [2, 2], output_padding = [1, 1]>(x, w)"
    bundle = read_bundle(convert(tmp_path, make_model(17, body, {"w": (16, 16, 3, 3)}, signature), to="mxnet"))
    files = [bundle.folder / file for file in bundle.manifest.artifacts[0].files]
    with TARGETS["mxnet"].open(files, bundle.signature) as runner:
        for shape in ((1, 16, 64, 64), (2, 16, 64, 96), (1, 16, 8, 8)):
            x = draw(*shape)
            np.testing.assert_allclose(runner.run({"x": x})["y"], *run_model(tmp_path / "net.onnx", x), atol=SUMMED)


TUNED = {
    "convolutions": ('p = Pad<mode = "reflect">(x, pads) c = Conv(p, w) d = Relu(c) y = Conv(d, v)', PLANE),
    "of one axis": ("y = Conv(x, u)", "(float[N, 3, L] x) => (float[N, 4, L2] y)"),
    "of groups": (
        'y = Conv<group = 3, auto_pad = "SAME_UPPER">(x, g)',
        "(float[N, 3, H, W] x) => (float[N, 6, H, W] y)",
    ),
    "none": ("y = Relu(x)", TABLE),
}


@pytest.mark.parametrize("case", TUNED)
def test_foreign_file_is_tuned_for_a_cpu(case: str, tmp_path: Path) -> None:
    body, signature = TUNED[case]
    weights = {"w": (64, 3, 3, 3), "v": (4, 64, 3, 3), "u": (4, 3, 3), "g": (6, 1, 3, 3)}
    used = {name: shape for name, shape in weights.items() if f", {name})" in body}
    pads = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])} if "Pad" in body else {}
    bundle = convert(tmp_path, make_model(17, body, {**used, **pads}, signature), "--tune", "cpu")
    (artifact,) = read_manifest(bundle)["artifacts"]
    assert artifact["parity"]["passed"]
    assert bool(artifact["details"].get("convolutions")) == (case == "convolutions")


@pytest.mark.parametrize(
    ("file", "bundle"), [("..onnx", "model"), ("...onnx", "model"), ("a b\\c.onnx", "a b_c"), (".net.onnx", ".net")]
)
def test_bundle_is_named_after_the_file_where_that_can_be_a_folders_name(
    file: str, bundle: str, tmp_path: Path
) -> None:
    (tmp_path / file).write_bytes(RELU.SerializeToString())
    assert run_ganport("convert", tmp_path / file, "--to", "onnx", "-o", tmp_path / "out").exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [bundle]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["out"]


def test_file_that_takes_other_sizes_than_the_seeded_ones_is_proven_on_the_users(tmp_path: Path) -> None:
    path = write_model(tmp_path, make_model(17, "y = Conv(x, w)", {"w": (1, 3, 65, 65)}))
    np.savez(tmp_path / "given.npz", x=draw(1, 3, 66, 67))
    assert run_ganport("parity", path).exit_code == 1
    done = run_ganport("parity", path, "--inputs", tmp_path / "given.npz")
    assert done.exit_code == 0, done.stderr


def test_same_file_gives_the_same_bytes_twice(tmp_path: Path) -> None:
    trees = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        trees.append(list_tree(convert(tmp_path / place, make_version(11), to="onnx")))
    assert trees[0] == trees[1]


def test_bundle_of_a_foreign_file_is_verified_proven_and_inspected(tmp_path: Path) -> None:
    bundle, source = convert(tmp_path, RELU, to="onnx,mxnet"), tmp_path / "net.onnx"
    assert "golden case reproduced" in run_ganport("verify", bundle).stdout
    done = run_ganport("parity", bundle, "--checkpoint", source, "--json")
    reports = json.loads(done.stdout)["reports"]
    assert [(report["rung"], report["passed"], report["items"]) for report in reports] == [
        ("onnx", True, 5),
        ("mxnet", True, 5),
    ]
    np.savez(tmp_path / "given.npz", x=draw(3, 3, 11, 8))
    done = run_ganport("parity", bundle, "--checkpoint", source, "--inputs", tmp_path / "given.npz")
    assert done.exit_code == 0
    assert "given.npz" in done.stdout
    assert json.loads(run_ganport("inspect", bundle, "--json").stdout)["architecture"] == "onnx"
    assert json.loads(run_ganport("inspect", source, "--json").stdout)["kind"] == "onnx"


def test_readme_and_report_say_what_the_files_were_held_to(tmp_path: Path) -> None:
    bundle = convert(tmp_path, RELU)
    readme = (bundle / "README.md").read_text()
    assert readme.count("ONNX Runtime on `net.onnx` itself") == 2
    assert "Held to ONNX Runtime on `net.onnx` itself, errors in units of an output's largest value:" in readme
    assert "\nAn ONNX file's graph, ported from `net.onnx` (sha256 `" in readme
    for untrue in ("torch", "hole", "checkpoint", "N, H and W are free"):
        assert untrue not in readme
    assert "An ONNX file: ONNX Runtime on that file itself" in (bundle / "parity.md").read_text()


def test_bundle_is_not_proven_against_another_file_of_the_same_name(tmp_path: Path) -> None:
    bundle = convert(tmp_path, RELU)
    (tmp_path / "other").mkdir()
    other = write_model(tmp_path / "other", make_model(17, "c = Conv(x, w) y = Tanh(c)", CONV))
    done = run_ganport("parity", bundle, "--checkpoint", other)
    assert done.exit_code == 1
    assert "it was made from another file than net.onnx (sha256 differs)" in done.stderr


def test_bench_runs_a_foreign_bundle_beside_its_source(tmp_path: Path) -> None:
    model = make_model(17, "y = Add(z, x)", signature="(float z, float[N, 3, H, W] x) => (float[N, 3, H, W] y)")
    bundle = convert(tmp_path, model)
    done = run_ganport("bench", bundle, tmp_path / "net.onnx", "--size", "8x12", "--runs", "1", "--json")
    assert done.exit_code == 0, done.stderr
    assert [row["max_abs"] for row in json.loads(done.stdout)["measurements"]] == [0, 0]
