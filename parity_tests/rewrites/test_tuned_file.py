"""`--tune cpu`: the same answers at every size, in an old runtime too, a rung for each rewrite, no more memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from converters.convert import Conversion, Settings, convert
from converters.errors import ParityError
from converters.files import hash_file
from converters.onnx_graph.traversal import list_graphs
from converters.parity.inputs import make_input
from converters.rewrites import tiled_conv, tune_cpu
from converters.rewrites.choices import ConvolutionChoice
from converters.rewrites.tiling import Convolution, Tiling, combine_axes, transform_weights
from converters.runners import OnnxRunner, TorchRunner
from converters.tensors import Array, Tensors
from parity_tests.support.command import remembered_exports, run_ganport
from parity_tests.support.convolution_cases import IN_CHANNELS, make_model
from parity_tests.support.runtimes import run_in_oldest_runtime
from parity_tests.support.seeded_checkpoints import NETS, write_checkpoint
from reference.checkpoint import read_checkpoint
from reference.registry import identify

# Enough channels that tiles pay in the middle of the net.
BASE, BLOCKS = 32, 1
LARGEST_ERROR = 1e-4
BOTH = pytest.mark.parametrize("net", NETS)
RUNGS = {
    "edge": ["cancelled bias", "block convolution", "winograd"],
    "inpaint": ["cancelled bias", "sigmoid of tanh", "block convolution", "winograd"],
}


@pytest.fixture(scope="module", autouse=True)
def _export_once() -> Iterator[None]:
    with remembered_exports():
        yield


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {net: write_checkpoint(folder, net, BASE, BLOCKS) for net in NETS}


def tune(checkpoints: Mapping[str, Path], out: Path, *, small: bool = False) -> Mapping[str, Conversion]:
    made = convert(list(checkpoints.values()), Settings(("onnx",), out, tune=True, small=small), lambda step: None)
    return dict(zip(checkpoints, made, strict=True))


@pytest.fixture(scope="module")
def tuned(checkpoints: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Conversion]:
    return tune(checkpoints, tmp_path_factory.mktemp("tuned"))


def file_of(conversion: Conversion) -> Path:
    bundle = conversion.bundle
    return bundle.folder / f"{bundle.folder.name}.onnx"


@BOTH
def test_every_rewrite_has_a_rung_and_the_file_its_gate(net: str, tuned: Mapping[str, Conversion]) -> None:
    rungs = [report.rung for report in tuned[net].reports]
    assert rungs == ["fold", "export", "simplify", "accurate norm", *RUNGS[net], "onnx"]
    (artifact,) = tuned[net].bundle.manifest.artifacts
    assert artifact.gate == "winograd"
    assert artifact.details["tuned_for"] == "cpu"
    assert {"Conv", "MatMul", "Gather"} <= {node.op_type for node in onnx.load(file_of(tuned[net])).graph.node}


def test_pipeline_is_tuned_keeps_every_accurate_norm_and_is_measured(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    settings = Settings(("onnx",), tmp_path, pipeline=True, tune=True)
    (conversion,) = convert(list(checkpoints.values()), settings, lambda step: None)
    rungs = [report.rung for report in conversion.reports]
    assert {"block convolution", "winograd", "onnx"} <= set(rungs)
    assert all(report.passed for report in conversion.reports)
    used = {node.op_type for graph in list_graphs(onnx.load(file_of(conversion)).graph) for node in graph.node}
    assert {"MatMul", "Sqrt"} <= used
    assert "InstanceNormalization" not in used
    done = run_ganport("bench", conversion.bundle.folder, "--size", "32x48", "--runs", "1")
    assert done.exit_code == 0, done.stderr


@BOTH
@pytest.mark.parametrize("size", [(12, 12), (64, 96), (320, 480), (256, 256), (512, 512), (28, 44)])
def test_one_file_gives_torchs_answers_at_every_size(
    net: str, size: tuple[int, int], checkpoints: Mapping[str, Path], tuned: Mapping[str, Conversion]
) -> None:
    checkpoint = read_checkpoint(checkpoints[net])
    model = identify(checkpoint).build(checkpoint)
    given = make_input([("coffee", "large"), ("chelsea", "small")], size)
    feeds = model.make_feeds(given.photo, given.edges, given.mask)
    (output,) = (spec.name for spec in model.outputs)
    expected = TorchRunner(model.module, model.inputs, model.outputs).run(feeds)[output]
    runner = OnnxRunner(file_of(tuned[net]), model.inputs, model.outputs)
    both = runner.run(feeds)[output]
    assert np.abs(both - expected).max() <= LARGEST_ERROR
    for item in (0, 1):
        one: Tensors = {name: array[item : item + 1] for name, array in feeds.items()}
        assert np.abs(runner.run(one)[output] - both[item : item + 1]).max() <= LARGEST_ERROR


@BOTH
def test_onnx_runtime_of_2023_runs_the_tuned_file(net: str, tuned: Mapping[str, Conversion], tmp_path: Path) -> None:
    file = file_of(tuned[net])
    ((name, array),) = run_in_oldest_runtime(file, tmp_path).items()
    assert np.abs(array - np.load(file.parent / "golden" / f"output_{name}.npy")).max() <= LARGEST_ERROR


@BOTH
def test_inspect_says_what_was_chosen_for_each_convolution_and_why(net: str, tuned: Mapping[str, Conversion]) -> None:
    done = run_ganport("inspect", file_of(tuned[net]), "--json")
    facts = json.loads(done.stdout)["claims"]["tuning"]
    assert facts["tuned_for"] == "cpu"
    chosen = [convolution["chosen"] for convolution in facts["convolutions"]]
    # encoder: 7x7 and two of 4x4; two 3x3; two transposed; the last is written as blocks
    assert len(chosen) == 3 + 2 + 2 + 1
    assert chosen.count("blocks") == 1
    assert chosen.count("tiles") >= 2
    for convolution in facts["convolutions"]:
        assert convolution["reason"]
        assert convolution["before"] >= convolution["after"] or convolution["chosen"] == "blocks"


def test_small_file_has_the_source_weights_and_gives_the_same_answers(
    checkpoints: Mapping[str, Path], tuned: Mapping[str, Conversion], tmp_path: Path
) -> None:
    (small,) = tune({"inpaint": checkpoints["inpaint"]}, tmp_path, small=True).values()
    given, large = file_of(small), file_of(tuned["inpaint"])
    weights = sum(tensor.numel() for tensor in read_checkpoint(checkpoints["inpaint"]).tensors.values()) * 4
    # Beside the weights: the indices, the matrices of the tiles, names. The last convolution's blocks stay as they are.
    assert weights < given.stat().st_size < 1.2 * weights < large.stat().st_size / 2
    assert json.loads(run_ganport("inspect", given, "--json").stdout)["claims"]["tuning"]["small"] is True
    assert tuned["inpaint"].bundle.manifest.artifacts[0].details["small"] is False
    feeds, outputs = small.bundle.golden()
    ((name, expected),) = outputs.items()
    spec = small.bundle.signature
    for file in (given, large):
        assert np.abs(OnnxRunner(file, spec.inputs, spec.outputs).run(feeds)[name] - expected).max() <= LARGEST_ERROR
    in_oldest = run_in_oldest_runtime(given, tmp_path)[name]
    assert np.abs(in_oldest - expected).max() <= LARGEST_ERROR


def test_same_checkpoint_gives_the_same_tuned_bytes(
    checkpoints: Mapping[str, Path], tuned: Mapping[str, Conversion], tmp_path: Path
) -> None:
    again = tune({"inpaint": checkpoints["inpaint"]}, tmp_path)
    assert hash_file(file_of(again["inpaint"])) == hash_file(file_of(tuned["inpaint"]))


def test_graph_in_which_no_tiles_pay_keeps_the_gate_of_its_target(tmp_path: Path) -> None:
    small = write_checkpoint(tmp_path, "edge")
    (conversion,) = tune({"edge": small}, tmp_path / "out").values()
    (artifact,) = conversion.bundle.manifest.artifacts
    assert artifact.gate == "onnx"
    assert "winograd" not in [report.rung for report in conversion.reports]
    assert {choice["chosen"] for choice in artifact.details["convolutions"]} == {"as it is"}
    assert all(choice["reason"] for choice in artifact.details["convolutions"])


def test_graph_in_which_nothing_pays_is_said_to_be_as_it_was() -> None:
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)
    model = make_model([node], {"w": np.ones((8, IN_CHANNELS, 3, 3), np.float32)})
    (step,) = tune_cpu.tune_for_cpu(model)
    assert step.planned is model
    assert [choice.chosen for choice in step.choices] == ["as it is"]


# ---- a rewrite that is wrong is refused under its own name


def require_refused(rung: str, checkpoints: Mapping[str, Path], out: Path) -> None:
    with pytest.raises(ParityError, match=f"rung '{rung}'"):
        tune({"inpaint": checkpoints["inpaint"]}, out)
    assert not (out / "edgeconnect-inpaint").exists()


def test_wrong_tile_weights_miss_the_winograd_rung(
    checkpoints: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(conv: Convolution, tiling: Tiling) -> Array:
        weights = transform_weights(conv, tiling).copy()
        weights[7] *= np.float32(1.001)
        return weights

    monkeypatch.setattr(tiled_conv, "transform_weights", wrong)
    require_refused("winograd", checkpoints, tmp_path)


def test_wrong_weights_of_a_small_file_miss_the_winograd_rung(
    checkpoints: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(tiling: Tiling) -> Array:
        matrix = combine_axes(tiling).copy()
        matrix[7] *= 1.001
        return matrix

    monkeypatch.setattr(tiled_conv, "combine_axes", wrong)
    with pytest.raises(ParityError, match="rung 'winograd'"):
        tune({"inpaint": checkpoints["inpaint"]}, tmp_path, small=True)


def without_last_bias(model: ModelProto) -> ModelProto:
    changed = ModelProto()
    changed.CopyFrom(model)
    last = [node for node in changed.graph.node if node.op_type == "Conv"][-1]
    del last.input[2]
    return changed


def test_bias_dropped_where_no_norm_follows_misses_its_rung(
    checkpoints: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_cpu, "rewrite_cancelled_bias", without_last_bias)
    require_refused("cancelled bias", checkpoints, tmp_path)


def test_wrong_blocks_miss_their_rung(
    checkpoints: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: ModelProto) -> tuple[ModelProto, tuple[ConvolutionChoice, ...]]:
        return without_last_bias(model), ()

    monkeypatch.setattr(tune_cpu, "rewrite_block_convolution", wrong)
    require_refused("block convolution", checkpoints, tmp_path)
