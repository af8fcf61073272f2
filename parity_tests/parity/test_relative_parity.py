"""Outputs whose range is not known: errors in units of their largest value, and a file that was altered is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from onnx import ModelProto, numpy_helper

from converters.parity.compare import MAX_NEGLIGIBLE_MAGNITUDE, ComparedCase, compare
from converters.parity.gates import GATES
from converters.parity.judge import Verdict
from converters.parity.metrics import MIN_UNIT, error_unit
from converters.sources import onnx_source, source
from converters.tensors import Array
from parity_tests.support.command import rewrite_hashes, run_ganport
from parity_tests.support.cpp_build import require_refusal, run
from parity_tests.support.foreign_models import make_model, write_model

ALLOWED = GATES["onnx"].max_abs or 0
# A vintage of image nets: pixels of 0 to 255 out of a sigmoid.
LEVELS = make_model(
    17, "c = Conv(x, w) s = Sigmoid(c) y = Mul(s, k)", {"w": (4, 3, 3, 3), "k": np.array(255, np.float32)}
)


def judge(actual: Array, expected: Array, *, relative: bool = True) -> list[str]:
    """Why the pair does not pass; nothing if it does."""
    report = compare("y", GATES["onnx"], [ComparedCase("", {"y": actual}, {"y": expected}, None, relative=relative)])
    assert report.passed == (not report.tensors[0].failures)
    return list(report.tensors[0].failures)


def plane(largest: float, dtype: type = np.float32) -> Array:
    """(1, 1, 32, 32), from 0 to `largest`."""
    return np.linspace(0, largest, 1024).astype(dtype).reshape(1, 1, 32, 32)


@pytest.mark.parametrize("largest", [0.05, 0.3, 1.5, 255, 1e6])
def test_error_is_judged_in_units_of_the_largest_value(largest: float) -> None:
    expected = plane(largest, np.float64)
    assert judge(expected + 0.4 * ALLOWED * largest, expected) == []
    assert bool(judge(expected + 0.4 * ALLOWED * largest, expected, relative=False)) == (largest > 1)
    too_large = expected.copy()
    too_large[0, 0, 5, 7] += 1.1 * ALLOWED * largest
    assert judge(too_large, expected) == ["max abs error 2.2e-05, allowed 2e-05"]
    assert judge(-expected + 1.1 * ALLOWED * largest, -expected)


def test_small_output_that_the_file_gives_as_zeros_is_a_miss() -> None:
    expected = plane(2e-6)
    assert judge(np.zeros_like(expected), expected)
    assert judge(expected, expected) == []


@pytest.mark.parametrize("largest", [0, 1e-8, 1e-4, 0.04])
def test_small_output_may_be_off_by_the_rounding_of_what_it_is_computed_from(largest: float) -> None:
    expected = plane(largest)
    assert error_unit(expected) == MIN_UNIT
    assert judge(expected + np.float32(0.4 * ALLOWED * MIN_UNIT), expected) == []
    assert judge(expected + np.float32(1.1 * ALLOWED * MIN_UNIT), expected)


def test_output_that_no_gate_sees_is_told_of() -> None:
    def flat_of(expected: Array, *, relative: bool = True) -> tuple[str, ...]:
        case = ComparedCase("", {"y": expected}, {"y": expected}, None, relative=relative)
        return compare("y", GATES["onnx"], [case]).flat

    assert flat_of(plane(MAX_NEGLIGIBLE_MAGNITUDE)) == ("y",)
    assert flat_of(plane(2 * MAX_NEGLIGIBLE_MAGNITUDE)) == ()
    assert flat_of(plane(MAX_NEGLIGIBLE_MAGNITUDE), relative=False) == ()


@pytest.mark.parametrize(("bright", "dark", "unit"), [(255, 1e-3, 1), (0.5, 1e-3, 0.5), (255, 2, 2), (0, 0, 0.05)])
def test_unit_of_a_dark_item_is_one_or_its_neighbours_largest_if_below(bright: float, dark: float, unit: float) -> None:
    """Else the rounding of what is nearly black in one item, and is not in others, would be a miss."""
    assert error_unit(plane(dark), np.concatenate([plane(bright), plane(dark)])) == unit


def test_unit_is_of_finite_floats() -> None:
    assert error_unit(np.array([3, np.inf, np.nan, -7], np.float32)) == 7
    assert error_unit(np.array([np.nan], np.float32)) == MIN_UNIT
    assert error_unit(np.array([200], np.uint8)) == error_unit(np.array([200], np.int64)) == 1
    assert error_unit(np.array(-9, np.float32)) == 9


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_fails(value: float) -> None:
    expected = plane(255)
    actual = expected.copy()
    actual[0, 0, 3, 3] = value
    assert "1 values are NaN or infinite" in judge(actual, expected)
    assert judge(expected, actual)
    assert judge(actual, actual)


def test_each_item_has_a_unit_of_its_own() -> None:
    """A dark item of a batch is not judged by its bright neighbour."""
    expected = np.concatenate([plane(255), plane(1)])
    assert judge(expected + np.float32(0.4 * ALLOWED), expected) == []
    report = compare(
        "y",
        GATES["onnx"],
        [ComparedCase("", {"y": expected + np.float32(1e-3)}, {"y": expected}, None, relative=True)],
    )
    assert [tensor.verdict for tensor in report.tensors] == [Verdict.PASSED, Verdict.FAILED]


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.bool_])
def test_integers_are_equal_or_fail(kind: type) -> None:
    expected = (plane(1) > 0.5).astype(kind)
    other = expected.copy()
    other[0, 0, 0, 0] = not other[0, 0, 0, 0]
    assert judge(expected, expected) == []
    assert judge(other, expected)


def test_number_without_axes_is_judged() -> None:
    expected = np.array(255, np.float32)
    assert judge(np.array(255 + 1e-3, np.float32), expected) == []
    assert judge(np.array(256, np.float32), expected)
    assert judge(np.array(np.nan, np.float32), expected)


def test_output_without_elements_is_no_proof() -> None:
    empty = np.empty((1, 0), np.float32)
    report = compare("y", GATES["onnx"], [ComparedCase("", {"y": empty}, {"y": empty}, None, relative=True)])
    assert not report.passed
    assert [tensor.failures for tensor in report.tensors] == [()]


def convert(folder: Path, *, to: str = "onnx") -> Result:
    return run_ganport("convert", write_model(folder, LEVELS), "--to", to, "-o", folder / "out")


def test_output_in_levels_is_judged_in_units_of_its_largest_value(tmp_path: Path) -> None:
    assert convert(tmp_path, to="onnx,mxnet").exit_code == 0
    manifest = json.loads((tmp_path / "out" / "net" / "manifest.json").read_text())
    assert manifest["judging"] == {"y": {"gate": None, "known": None, "relative": True}}
    assert all(artifact["parity"]["max_abs"] < ALLOWED for artifact in manifest["artifacts"])


def test_scores_that_are_all_small_are_no_miss(tmp_path: Path) -> None:
    """A detector of which nothing is found: ONNX Runtime's sigmoid is off by 1e-7 there, MXNet's by less."""
    weights = {"w": (4, 3, 3, 3), "b": np.full(4, -14, np.float32)}
    path = write_model(tmp_path, make_model(17, "c = Conv(x, w, b) y = Sigmoid(c)", weights))
    done = run_ganport("convert", path, "--to", "onnx,mxnet", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr


def alter_weight(model: ModelProto) -> ModelProto:
    """One weight of 108, a thousandth larger."""
    altered = ModelProto()
    altered.CopyFrom(model)
    tensor = next(tensor for tensor in altered.graph.initializer if tensor.dims[:] == [4, 3, 3, 3])
    weights = numpy_helper.to_array(tensor).copy()
    weights[1, 2, 0, 1] += 1e-3
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    return altered


@pytest.mark.parametrize(("step", "rung"), [("build_waist", "import"), ("simplify", "simplify")])
def test_step_that_alters_a_weight_is_refused_under_its_rung(
    step: str, rung: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = onnx_source if step == "build_waist" else source
    real: Callable[..., ModelProto] = getattr(module, step)
    monkeypatch.setattr(module, step, lambda *given: alter_weight(real(*given)))
    done = convert(tmp_path)
    assert done.exit_code == 3
    assert f"ganport: net, rung '{rung}', output 'y'" in done.stderr
    assert "The file is not what its source computes: do not use it" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["net.failed"]
    written = json.loads((tmp_path / "out" / "net.failed" / "parity.json").read_text())["rungs"]
    assert [(report["rung"], report["passed"]) for report in written][-1] == (rung, False)


def test_rewrite_that_alters_a_weight_is_refused_under_its_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from converters.targets.onnx import write as to_onnx

    real = to_onnx.rewrite_accurate_norm
    monkeypatch.setattr(to_onnx, "rewrite_accurate_norm", lambda model: alter_weight(real(model)))
    done = convert(tmp_path)
    assert done.exit_code == 3
    assert "ganport: net, rung 'onnx', output 'y'" in done.stderr


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    assert convert(tmp_path).exit_code == 0
    return tmp_path / "out" / "net"


def shift_golden(bundle: Path, by: float, judging: dict[str, Any] | None = None) -> float:
    """Add to the golden output, hashes made to fit; the largest value of it."""
    path = bundle / "golden" / "output_y.npy"
    golden = np.load(path)
    np.save(path, golden + np.float32(by))
    if judging is not None:
        manifest = json.loads((bundle / "manifest.json").read_text())
        manifest["judging"]["y"] = judging
        (bundle / "manifest.json").write_text(json.dumps(manifest))
    rewrite_hashes(bundle)
    return float(golden.max())


# In levels: within the gate times 255, and beyond the gate itself.
SMALL, LARGE = 1e-3, 1e-2


def test_golden_case_is_replayed_in_the_same_unit(bundle: Path) -> None:
    assert 100 < shift_golden(bundle, SMALL) < 255
    assert run_ganport("verify", bundle).exit_code == 0
    shift_golden(bundle, LARGE)
    done = run_ganport("verify", bundle)
    assert done.exit_code == 3
    assert "rung 'onnx', output 'y', input 'golden' item 0: max abs error" in done.stderr


def test_golden_case_of_an_output_of_known_range_is_replayed_in_units_of_one(bundle: Path) -> None:
    shift_golden(bundle, SMALL, {"gate": None, "known": None, "relative": False})
    assert run_ganport("verify", bundle).exit_code == 3


def test_selftest_in_cpp_judges_in_the_same_unit(bundle: Path, tmp_path: Path) -> None:
    def selftest(folder: Path) -> Any:
        return run("onnxruntime", "ganport-selftest", "--threads", 1, folder)

    shift_golden(bundle, SMALL)
    done = selftest(bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert "gate 'onnx' passed" in done.stdout
    for name, by, judging, said in (
        ("beyond", LARGE, None, "output 'y': max abs error "),
        ("absolute", 0, {"gate": None, "relative": False}, "output 'y': max abs error 1.0e-03, allowed 2.0e-05"),
        ("older", 0, {"gate": None}, "output 'y': max abs error 1.0e-03, allowed 2.0e-05"),
        ("no truth", 0, {"gate": None, "relative": 1}, "judging.y.relative is not true or false"),
    ):
        other = shutil.copytree(bundle, tmp_path / name / "net")
        shift_golden(other, by, judging)
        require_refusal(selftest(other), said)
