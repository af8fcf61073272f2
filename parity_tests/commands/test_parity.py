"""`ganport parity` on a bundle that somebody tampered with, hashes and all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import numpy_helper

from cli import main
from converters.bundle import checksums
from converters.convert import Conversion
from parity_tests.support.command import rewrite_hashes, run_ganport
from parity_tests.support.foreign_models import make_model, write_model

SQUARE = "(float[3, 3] x) => (float[3, 3] y, float z)"
WRONG_EPSILON = 1e-3


def run_parity(folder: Path, checkpoint: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["parity", str(folder), "--checkpoint", str(checkpoint), *options])


@pytest.fixture
def tampered(conversions: Mapping[str, Conversion], tmp_path: Path) -> Path:
    """A copy of the edge net's bundle in which the ONNX file's first norm has another epsilon."""
    folder = Path(shutil.copytree(conversions["edge"].bundle.folder, tmp_path / "bundle"))
    (path,) = folder.glob("*.onnx")
    model = onnx.load(path)
    first = next(node for node in model.graph.node if "epsilon" in node.input)
    first.input[1] = "wrong_epsilon"
    model.graph.initializer.append(numpy_helper.from_array(np.array(WRONG_EPSILON, np.float32), "wrong_epsilon"))
    onnx.save(model, path)
    rewrite_hashes(folder)
    return folder


def test_wrong_epsilon_under_right_hashes_exits_3_and_names_the_rung(
    tampered: Path, checkpoints: Mapping[str, Path]
) -> None:
    checksums.verify_hashes(tampered)
    result = run_parity(tampered, checkpoints["edge"])
    assert result.exit_code == 3
    last = result.stderr.splitlines()[-1]
    assert last.startswith("ganport: ")
    assert "rung onnx misses its gate" in last
    assert "| onnx | **FAILED** |" in result.stdout
    assert "| mxnet | passed" in result.stdout


def test_untouched_bundle_exits_0(conversions: Mapping[str, Conversion], checkpoints: Mapping[str, Path]) -> None:
    result = run_parity(conversions["edge"].bundle.folder, checkpoints["edge"], "--json")
    assert result.exit_code == 0
    passed = {report["rung"]: report["passed"] for report in json.loads(result.stdout)["reports"]}
    assert {rung: passed[rung] for rung in ("onnx", "mxnet")} == {"onnx": True, "mxnet": True}


def test_target_that_refuses_a_net_is_told_of_and_the_others_are_proven(tmp_path: Path) -> None:
    path = write_model(tmp_path, make_model(17, "y = ThresholdedRelu <alpha = 0.5> (x) z = Det(y)", signature=SQUARE))
    result = run_ganport("parity", path)
    assert result.exit_code == 0, result.stderr
    assert "| onnx | passed |" in result.stdout
    for target, said in (("mxnet", "refused: node 'Det_1' (Det): "), ("trt", "refused: "), ("wolfram", "refused: ")):
        assert f"| {target} | {said}" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_another_checkpoint_than_the_bundles_is_refused(
    conversions: Mapping[str, Conversion], checkpoints: Mapping[str, Path]
) -> None:
    result = run_parity(conversions["edge"].bundle.folder, checkpoints["inpaint"])
    assert result.exit_code == 1
    assert "it was made from another file than InpaintingModel_gen.pth (sha256 differs)" in result.stderr


def test_bundle_with_a_gate_that_is_not_known_exits_1(
    conversions: Mapping[str, Conversion], checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(conversions["edge"].bundle.folder, tmp_path / "bundle"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["artifacts"][0]["gate"] = "of tomorrow"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rewrite_hashes(folder)
    for result in (run_parity(folder, checkpoints["edge"]), run_ganport("verify", folder)):
        assert result.exit_code == 1
        last = result.stderr.splitlines()[-1]
        assert "its gate 'of tomorrow' is not known. Update ganport" in last
