"""onnx's own node tests through the MXNet writer: each passes, or is refused with a reason; none is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.mxnet_conformance import compare
from converters.targets.mxnet.runtime import missing_mxnet
from parity_tests.support.places import ROOT

pytestmark = pytest.mark.skipif(missing_mxnet() is not None, reason=str(missing_mxnet()))
RUN = ROOT / "benchmarks" / "mxnet_conformance.py"
RECORDED = ROOT / "benchmarks" / "results" / "mxnet_conformance.json"

# Run in a process of its own, as the runs below: forks of one in which MXNet is loaded hang.
WITH_A_CRASH = """
import os
import signal
from onnx import helper
from benchmarks.mxnet_conformance import collect_cases, run_all

parent = os.getpid()

class Dying:
    name = "test_dying"

    @property
    def model(self):
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGSEGV)
        return helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], []))

good = [case for case in collect_cases() if case.name in ("test_relu", "test_abs", "test_exp")]
for outcome in run_all([good[0], Dying(), *good[1:]], 1, show=False):
    print(outcome.verdict, outcome.reason)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], check=False, capture_output=True, text=True, cwd=ROOT)


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("conformance") / "results.json"
    run(str(RUN), "--json", str(path))
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def test_no_case_is_wrong(summary: dict[str, Any]) -> None:
    assert summary["wrong"] == {}
    assert summary["counts"]["wrong"] == 0


def test_results_are_those_recorded(summary: dict[str, Any]) -> None:
    recorded = json.loads(RECORDED.read_text())
    assert {**summary, "environment": None} == {**recorded, "environment": None}


@pytest.mark.parametrize(
    ("actual", "fault"),
    [
        (np.array([1.0, 2.0], np.float32), ""),
        (np.array([1.0, 2.1], np.float32), "1 of 2 differ, first at (1,)"),
        (np.array([np.nan, 2.0], np.float32), "1 of 2 differ, first at (0,)"),
        (np.array([[1.0, 2.0]], np.float32), "its shape is (1, 2), not (2,)"),
        (np.array([1.0, 2.0]), "it is float64, not float32"),
    ],
)
def test_comparison_sees_what_differs(actual: NDArray[Any], fault: str) -> None:
    said = compare(actual, np.array([1.0, 2.0], np.float32), 1e-3, 1e-7)
    assert said.startswith(fault)
    assert bool(said) == bool(fault)


def test_crash_is_a_wrong_case_and_the_others_go_on() -> None:
    done = run("-c", WITH_A_CRASH)
    first, second, *others = done.stdout.splitlines()
    assert second.startswith("wrong the process died")
    assert [first, *others] == ["passed "] * 3
