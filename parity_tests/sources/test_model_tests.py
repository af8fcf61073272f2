"""onnx's own model tests: the record, and a part of them run again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.onnx_model_tests import TARGETS, collect_tests, run_test
from converters.targets.mxnet.runtime import missing_mxnet
from parity_tests.support.places import ROOT

RECORDED = json.loads((ROOT / "benchmarks" / "results" / "onnx_model_tests.json").read_text())
# Of opset 6, 9 and 10; one that holds a norm, one with weights made of constants, one that is refused.
AGAIN = (
    "test_BatchNorm2d_eval",
    "test_operator_addmm",
    "test_Linear",
    "test_expand_shape_model1",
    "test_gradient_of_add",
)


def test_record_has_none_wrong_and_the_docs_tell_its_counts() -> None:
    onnx, mxnet = (RECORDED[target] for target in TARGETS)
    assert onnx["wrong"] == mxnet["wrong"] == 0
    assert onnx["passed"] >= 125
    said = (
        f"Of onnx's {onnx['files']} model tests {onnx['passed']} become ONNX files and {mxnet['passed']} MXNet symbols"
    )
    assert said in " ".join((ROOT / "docs" / "any_onnx.md").read_text().split())


@pytest.mark.skipif(missing_mxnet() is not None, reason=str(missing_mxnet()))
@pytest.mark.parametrize("name", AGAIN)
def test_file_comes_out_as_recorded(name: str, tmp_path: Path) -> None:
    (test,) = (test for test in collect_tests() if test.path.parent.name == name)
    for outcome in run_test(test, tmp_path):
        recorded = RECORDED[outcome.target]["not_passed"].get(test.name, "passed")
        assert recorded.startswith(outcome.verdict), outcome.reason
