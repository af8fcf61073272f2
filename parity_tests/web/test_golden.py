"""Golden cases in ONNX Runtime's plain WebAssembly build, in node, judged by the bundle's own gates."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from converters.bundle.folder import Bundle
from converters.convert import Conversion, Settings, convert
from converters.parity.compare import ParityReport
from converters.parity.expected import ReferenceOutputs
from converters.tensors import Array
from converters.verify import GoldenCase
from parity_tests.support.architecture_cases import CASES
from parity_tests.support.seeded_checkpoints import NETS, write_checkpoint
from parity_tests.support.web_page import NODE_MODULES, require_node

REPLAY, JUDGE = (Path(__file__).with_name(name) for name in ("replay.mjs", "judge.mjs"))
# Seconds; a run takes a few.
PATIENCE = 300


def run_in_node(bundle: Path, out: Path) -> dict[str, Array]:
    """A bundle's outputs for its golden case."""
    node = require_node()
    ort = NODE_MODULES / "onnxruntime-web" / "dist"
    command = [node, REPLAY, ort, bundle, out]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    shapes = json.loads((out / "shapes.json").read_text())
    return {name: np.fromfile(out / f"{name}.bin", fact["type"]).reshape(fact["dims"]) for name, fact in shapes.items()}


def judge(bundle: Bundle, actual: dict[str, Array]) -> list[ParityReport]:
    """As `ganport verify` judges the same outputs of a runtime that it runs itself."""
    feeds, outputs = bundle.golden()
    named, policies = (GoldenCase(""),), bundle.manifest.judging
    golden = ReferenceOutputs(bundle.signature.outputs, named, (feeds,), (outputs,), None, policies=policies)
    artifact = bundle.manifest.find_artifact("onnx")
    assert artifact is not None
    return golden.compare_outputs("onnx", artifact.gate, [(0, actual)])


def require_same(bundle: Bundle, folder: Path) -> None:
    actual = run_in_node(bundle.folder, folder)
    reports = judge(bundle, actual)
    assert reports
    assert [report.rung for report in reports if not report.passed] == []
    spoiled = {name: array + np.ones((), array.dtype) for name, array in actual.items()}
    assert any(not report.passed for report in judge(bundle, spoiled))


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_every_architecture_gives_its_golden_outputs(
    name: str, convert_case: Callable[[str], Bundle], tmp_path: Path
) -> None:
    require_node()
    require_same(convert_case(name), tmp_path)


def test_shipped_pipeline_gives_its_golden_outputs(shipped_pipeline: Conversion, tmp_path: Path) -> None:
    require_same(shipped_pipeline.bundle, tmp_path)


@pytest.mark.parametrize("small", [False, True])
def test_net_tuned_for_a_cpu_gives_its_golden_outputs(small: bool, tmp_path: Path) -> None:
    """With enough channels that tiles pay in the middle of the net."""
    require_node()
    settings = Settings(("onnx",), tmp_path / "out", tune=True, small=small)
    (made,) = convert([write_checkpoint(tmp_path, "inpaint", 32, 1)], settings, lambda step: None)
    operators = {node.op_type for node in onnx.load(made.bundle.folder / "edgeconnect-inpaint.onnx").graph.node}
    assert {"Gather", "MatMul"} <= operators  # tiles
    require_same(made.bundle, tmp_path)


def test_tuned_pipeline_gives_its_golden_outputs(tmp_path: Path) -> None:
    require_node()
    pair = [write_checkpoint(tmp_path, net, 32, 1) for net in NETS]
    settings = Settings(("onnx",), tmp_path / "out", pipeline=True, tune=True, small=True)
    (made,) = convert(pair, settings, lambda step: None)
    assert made.bundle.manifest.artifacts[0].details["small"] is True
    require_same(made.bundle, tmp_path)


def damage(golden: Array, hole: Array, unit: float) -> dict[str, Array]:
    """Outputs on both sides of each limit of the gate "onnx", by errors in units of `unit`."""
    noise = np.random.default_rng(0).choice([-1, 1], golden.shape).astype(np.float32)
    place = tuple(axis[0] for axis in np.nonzero(hole))
    outside = place if hole.all() else tuple(axis[0] for axis in np.nonzero(~hole))
    damaged = {"as it is": golden.copy(), "rounded": np.where(hole, golden + noise * np.float32(3e-6 * unit), golden)}
    damaged["PSNR"] = np.where(hole, golden + noise * np.float32(1.5e-5 * unit), golden)
    for name, at, value in (
        ("below", place, golden[place] + np.float32(1.8e-5 * unit)),
        ("above", place, golden[place] + np.float32(2.2e-5 * unit)),
        ("NaN", place, np.nan),
        ("beside the hole", outside, np.nextafter(golden[outside], np.float32(2))),
    ):
        damaged[name] = golden.copy()
        damaged[name][at] = value
    damaged["cut"] = golden[..., 1:]
    return damaged


@pytest.mark.parametrize("name", ["partial-conv", "deepfill-v2", "cyclegan-resnet"])
def test_page_judges_the_golden_case_as_verify_does(
    name: str, convert_case: Callable[[str], Bundle], tmp_path: Path
) -> None:
    node = require_node()
    whole = convert_case(name)
    # A quarter of every value, so that the unit of relative errors is not near 1.
    bundle = Bundle(Path(shutil.copytree(whole.folder, tmp_path / whole.folder.name)), whole.manifest)
    for file in ("input_image.npy", "output_result.npy"):
        np.save(bundle.folder / "golden" / file, np.load(whole.folder / "golden" / file) * np.float32(0.25))
    feeds, outputs = bundle.golden()
    golden = outputs["result"]
    hole = np.broadcast_to(feeds["mask"] > 0 if "mask" in feeds else np.True_, golden.shape)
    relative = "result" in bundle.manifest.judging and bundle.manifest.judging["result"].relative
    unit = max(float(np.abs(golden).max()), 0.05) if relative else 1.0
    damaged = damage(golden, hole, unit)
    for key, array in damaged.items():
        (tmp_path / key).mkdir()
        np.save(tmp_path / key / "result.npy", np.ascontiguousarray(array))
    command = [node, JUDGE, bundle.folder, *(tmp_path / key for key in damaged)]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    said = dict(zip(damaged, json.loads(done.stdout), strict=True))
    verdicts = {
        key: all(report.passed for report in judge(bundle, {"result": array})) for key, array in damaged.items()
    }
    assert {key: miss is None for key, miss in said.items()} == verdicts
    passed = {key for key, verdict in verdicts.items() if verdict}
    assert passed == {"as it is", "rounded", "below"} | (set() if "mask" in feeds else {"beside the hole"})
