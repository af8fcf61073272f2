"""Files of opset 6 to 8: brought to 18 by onnx's converter where that is exact, with the rung named; else refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from parity_tests.support.command import run_ganport
from parity_tests.support.foreign_bundles import SAME, convert, draw
from parity_tests.support.foreign_models import PLANE, TABLE, make_model, run_model, write_model

FOUR = np.array([1, 2, 4, 8], np.float32)
THREE = FOUR[:3]
TO_SAME = "(float[2, 3, 8, 9] x) => (float[2, 3, 8, 9] y)"
FREE = PLANE.replace("4, H2, W2", "3, H, W")
ROWS = TABLE.replace("N", "2")
STATISTICS = {"s": THREE, "b": THREE - 2, "m": THREE / 8, "v": THREE / 2}
# ONNX Runtime has none of these; each means something else or is written otherwise later.
OPSET_6 = {
    "sum along rows": make_model(6, "y = Add<broadcast = 1>(x, b)", {"b": np.arange(9, dtype=np.float32)}, TO_SAME, 3),
    "product of numbers": make_model(6, "y = Mul<broadcast = 1>(x, k)", {"k": np.array([2.5], np.float32)}, TO_SAME, 3),
    "norm": make_model(6, "y = BatchNormalization<is_test = 1, epsilon = 0.1>(x, s, b, m, v)", STATISTICS, TO_SAME, 3),
    "pool": make_model(6, "y = AveragePool<kernel_shape = [2, 3]>(x)", None, PLANE, 3),
    "slope for all": make_model(6, "y = PRelu(x, a)", {"a": np.array([0.25], np.float32)}, TO_SAME, 3),
    "matrices": make_model(
        6, "y = Gemm<transB = 1, broadcast = 1, alpha = 2.0>(x, w, b)", {"w": (3, 3), "b": THREE}, ROWS, 3
    ),
}


def read_rungs(bundle: Path) -> list[str]:
    return [rung["rung"] for rung in json.loads((bundle / "parity.json").read_text())["rungs"]]


@pytest.mark.parametrize("case", OPSET_6)
def test_opset_that_the_runtime_lacks_is_held_to_the_definition(case: str, tmp_path: Path) -> None:
    model = OPSET_6[case]
    bundle = convert(tmp_path, model)
    x = draw(2, 3) if case == "matrices" else draw(2, 3, 8, 9)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    np.testing.assert_allclose(run_model(bundle / "net.onnx", x)[0], expected, atol=SAME * 10, rtol=SAME)
    assert read_rungs(bundle)[:2] == ["opset 6 to 7", "opset 7 to 18"]


@pytest.mark.parametrize("opset", [6, 7, 8])
def test_opset_that_the_runtime_has_is_run_as_it_is(opset: int, tmp_path: Path) -> None:
    bundle = convert(tmp_path, make_model(opset, "y = Relu(x)", None, TO_SAME, 3))
    assert read_rungs(bundle)[0] == f"opset {opset} to 18"


SQUARE = "(float[1, 3, 3, 3] x) => (float[1, 3, 3, 3] y)"
MISTAKEN = {
    "slope for each channel": make_model(6, "y = PRelu(x, a)", {"a": THREE / 4}, TO_SAME, 3),
    "slope for each channel, as many columns": make_model(6, "y = PRelu(x, a)", {"a": THREE / 4}, SQUARE, 3),
    "slope from outside": make_model(
        6, "y = PRelu(x, a)", None, "(float[1, 3, 3, 3] x, float[3] a) => (float[1, 3, 3, 3] y)", 3
    ),
    "sum along the channels": make_model(6, "y = Add<broadcast = 1, axis = 1>(x, b)", {"b": THREE}, SQUARE, 3),
    "power along the channels": make_model(6, "y = Pow<broadcast = 1, axis = 1>(x, b)", {"b": THREE}, SQUARE, 3),
}


@pytest.mark.parametrize("case", MISTAKEN)
def test_what_the_converter_and_the_definition_both_mistake_is_refused(case: str, tmp_path: Path) -> None:
    """With as many columns as channels both run, and both take the columns for the channels."""
    path = write_model(tmp_path, MISTAKEN[case])
    done = run_ganport("convert", path, "--to", "onnx", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert f"node 'y' ({MISTAKEN[case].graph.node[0].op_type})" in done.stderr
    assert "ONNX's converter takes what it means in opset 6 for something else. Export it at opset 18" in done.stderr
    assert not (tmp_path / "out").exists()


def test_free_sizes_that_the_converter_does_not_take_are_named(tmp_path: Path) -> None:
    model = make_model(6, "y = Add<broadcast = 1>(x, b)", {"b": THREE[:1]}, FREE, 3)
    done = run_ganport("convert", write_model(tmp_path, model), "--to", "onnx", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "ONNX Runtime does not load it (" in done.stderr
    assert "and ONNX's converter does not bring it from opset 6 to 7 (" in done.stderr


def test_converter_that_changes_the_numbers_misses_its_rung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = make_model(7, "t = Mul(x, k) y = Neg(t)", {"k": THREE[:1]}, TO_SAME, 3)
    monkeypatch.setattr("onnx.version_converter.convert_version", lambda model, opset: wrong)
    path = write_model(tmp_path, OPSET_6["product of numbers"])
    done = run_ganport("convert", path, "--to", "onnx", "-o", tmp_path / "out")
    assert done.exit_code == 3
    assert "opset 6 to 7" in done.stderr
    assert not (tmp_path / "out" / "net").exists()


def test_what_nothing_runs_is_refused(tmp_path: Path) -> None:
    body = "t = Dropout<is_test = 1>(x) y = Sub<broadcast = 1>(t, k)"
    path = write_model(tmp_path, make_model(6, body, {"k": THREE[:1]}, TO_SAME, 3))
    done = run_ganport("convert", path, "--to", "onnx", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "ONNX Runtime does not load its opset 6, and onnx's own implementation does not run it" in done.stderr


def test_inspect_and_parity_take_an_old_file(tmp_path: Path) -> None:
    path = write_model(tmp_path, OPSET_6["norm"])
    assert 'opsets: {"ai.onnx": 6}' in run_ganport("inspect", path).stdout
    done = run_ganport("parity", path)
    assert done.exit_code in (0, 1), done.stderr
    assert "passed" in done.stdout
