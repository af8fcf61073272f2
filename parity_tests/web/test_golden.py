"""Golden cases in ONNX Runtime's plain WebAssembly build, in node, judged by the bundle's own gates."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from converters.bundle.folder import Bundle
from converters.convert import Conversion
from converters.parity.compare import ParityReport
from converters.parity.expected import ReferenceOutputs
from converters.tensors import Array
from converters.verify import GoldenCase
from parity_tests.support.architecture_cases import CASES
from parity_tests.support.web_page import NODE_MODULES, require_node

REPLAY = Path(__file__).with_name("replay.mjs")
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
    return golden.compare_outputs("onnx", "onnx", [(0, actual)])


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
