"""Bundles of ONNX files that somebody made: element types, tuning, names, and what the other commands say of them."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from torch import nn

from converters.bundle.folder import read_bundle
from converters.targets.registry import TARGETS
from parity_tests.support.command import list_tree, run_ganport
from parity_tests.support.foreign_bundles import CONV, RELU, SUMMED, convert, draw, read_manifest, require_same
from parity_tests.support.foreign_models import (
    PLANE,
    TABLE,
    make_model,
    make_version,
    run_model,
    write_model,
)

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
    chosen = [convolution["chosen"] for convolution in artifact["details"]["convolutions"]]
    assert chosen == {"convolutions": ["blocks", "as it is"], "none": []}.get(case, ["as it is"])


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
        ("onnx", True, 6),
        ("mxnet", True, 6),
    ]
    np.savez(tmp_path / "given.npz", x=draw(3, 3, 11, 8))
    done = run_ganport("parity", bundle, "--checkpoint", source, "--inputs", tmp_path / "given.npz")
    assert done.exit_code == 0
    assert "given.npz" in done.stdout
    assert json.loads(run_ganport("inspect", bundle, "--json").stdout)["claims"]["architecture"] == "onnx"
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


NON_ZERO = make_model(
    17, "i = NonZero(x) f = Cast<to = 1>(i) s = ReduceSum<keepdims = 0>(f) y = Add(x, s)", signature=TABLE
)


def test_target_that_refuses_leaves_the_others_what_was_proven(tmp_path: Path) -> None:
    """MXNet and Mathematica have no arrays whose shape depends on numbers; ONNX has."""
    path = write_model(tmp_path, NON_ZERO)
    done = run_ganport("convert", path, "--to", "wolfram", "-o", tmp_path / "out")
    assert done.exit_code == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("ganport: ")]
    assert said == done.stderr.splitlines()[-2:]
    assert said[0].startswith("ganport: net, --to mxnet, ")
    assert said[0].endswith(", or leave mxnet out of --to.")
    assert said[1].startswith("ganport: net, --to wolfram, ")
    table = [line.split() for line in done.stdout.splitlines()]
    assert [row[1:3] for row in table[1:4]] == [["onnx", "passed"], ["mxnet", "refused:"], ["wolfram", "refused:"]]
    bundle = tmp_path / "out" / "net"
    manifest = read_manifest(bundle)
    assert [artifact["target"] for artifact in manifest["artifacts"]] == ["onnx"]
    assert list(manifest["not_verified"]) == ["mxnet", "wolfram"]
    assert all(why.startswith("refused: ") for why in manifest["not_verified"].values())
    for page in ("README.md", "parity.md"):
        assert len(re.findall(r"^\| (mxnet|wolfram) \| refused: ", (bundle / page).read_text(), re.MULTILINE)) == 2
    assert not list(bundle.glob("*.params"))
    assert run_ganport("verify", bundle).stdout.splitlines()[0] == "hashes verified"
    done = run_ganport("convert", path, "--to", "onnx,mxnet", "-o", tmp_path / "other", "--json")
    assert done.exit_code == 1
    (described,) = json.loads(done.stdout)["bundles"]
    assert described["not_verified"]["mxnet"].startswith("refused: ")


def test_nothing_is_written_if_every_target_refuses(tmp_path: Path) -> None:
    path = write_model(tmp_path, NON_ZERO)
    before = list_tree(tmp_path)
    done = run_ganport("convert", path, "--to", "mxnet", "-o", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (1, "")
    assert list_tree(tmp_path) == before


def test_inspect_of_a_file_that_lists_its_weights_as_inputs_shows_the_real_ones(tmp_path: Path) -> None:
    model = make_model(17, "y = Add(x, w)", {"w": (3,)}, TABLE, ir_version=3)
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [3]))
    facts = json.loads(run_ganport("inspect", write_model(tmp_path, model), "--json").stdout)
    assert facts["inputs"] == {"x": ["N", 3]}


def test_file_that_gives_nothing_to_compare_is_refused_and_names_the_option(tmp_path: Path) -> None:
    weights = {"at": np.array([1], np.int64), "axis": np.array([1], np.int64)}
    model = make_model(17, "y = Slice(x, at, at, axis)", weights, "(float[N, 3] x) => (float[N, 0] y)")
    done = run_ganport("convert", write_model(tmp_path, model), "--to", "onnx", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "no input says anything about it. Give others, an ONNX file's with --inputs FILE.npz." in done.stderr


def test_bundle_that_holds_the_source_is_not_replaced(tmp_path: Path) -> None:
    source = convert(tmp_path, make_model(17, "y = Relu(x)")) / "net.onnx"
    before = source.read_bytes()
    done = run_ganport("convert", source, "--to", "onnx", "--overwrite", "-o", source.parents[1])
    assert done.exit_code == 1
    assert f"it would be replaced, and '{source}' lies in it. Convert it from elsewhere" in done.stderr
    assert source.read_bytes() == before
    assert run_ganport("convert", source, "--to", "onnx", "--name", "other", "-o", source.parents[1]).exit_code == 0
