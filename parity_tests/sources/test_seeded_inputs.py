"""What an ONNX file is judged on without --inputs: faults that only other values or other sizes show are found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from converters.sources import onnx_source
from converters.sources.import_onnx import build_waist
from converters.sources.onnx_file import read_onnx
from converters.sources.onnx_inputs import FREE_SIZE, seeded_inputs
from parity_tests.support.command import run_ganport
from parity_tests.support.foreign_models import PLANE, TABLE, Weights, make_model, write_model

IMAGE = "(uint8[N, 3, H, W] x) => (float[N, 3, H, W] y)"
TOKENS = "(int64[N, L] x) => (float[N, L, 4] y)"
FIXED_BATCH = "(float[N, 4, H, W] x) => (float[1, 4, P] y)"
SPLIT = "s = Shape(x) h = Gather(s, {first}) w = Gather(s, {second})"
ROWS = np.random.default_rng(3).random((16, 4), np.float32)
SIZES: Weights = {"one": np.array([1]), "four": np.array([4]), "two": np.array([2]), "three": np.array([3])}
TWO = "(float[N, 3, H, W] x, float[M, 3, A, B] z) => (float[R, 3, S, T] y)"
SUM = "y = ReduceSum<keepdims = 0>(r, three)"


def flatten(first: str, second: str) -> str:
    """Runs with a batch of 1 only."""
    return f"{SPLIT.format(first=first, second=second)} t = Concat<axis = 0>(one, four, h, w) r = Reshape(x, t) {SUM}"


# What the file computes, what is made of it, and with which signature and weights.
FAULTS: Mapping[str, tuple[str, str, str, Weights]] = {
    "Relu left out": ("y = Relu(x)", "y = Identity(x)", TABLE, {}),
    "Abs left out": ("y = Abs(x)", "y = Identity(x)", TABLE, {}),
    "clipped at 1 of 255": (
        "y = Cast<to = 1>(x)",
        "c = Cast<to = 1>(x) y = Clip(c, zero, one)",
        IMAGE,
        {"zero": np.array(0, np.float32), "one": np.array(1, np.float32)},
    ),
    "rows beyond the second": (
        "y = Gather(rows, x)",
        "d = Mul(rows, keep) y = Gather(d, x)",
        TOKENS,
        {"rows": ROWS, "keep": np.array([[1], [1], *[[0]] * 14], np.float32)},
    ),
    "sizes swapped where the batch is 1": (
        flatten("two", "three"),
        flatten("three", "two"),
        FIXED_BATCH,
        SIZES,
    ),
    "one batch taken for two": (
        "m = ReduceMean<axes = [0, 2, 3], keepdims = 1>(z) y = Add(x, m)",
        "s = ReduceSum(z, all) n = Size(x) f = Cast<to = 1>(n) m = Div(s, f) t = Mul(m, three) y = Add(x, t)",
        TWO,
        {"all": np.array([0, 2, 3]), "three": np.array(3, np.float32)},
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_fault_that_shows_beyond_0_to_1_or_at_unlike_sizes_is_refused(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, broken, signature, weights = FAULTS[case]
    path = write_model(tmp_path, make_model(17, body, weights, signature))
    assert run_ganport("convert", path, "--to", "onnx", "-o", tmp_path / "right").exit_code == 0
    other = read_onnx(write_model(tmp_path, make_model(17, broken, weights, signature), "other"))
    monkeypatch.setattr(onnx_source, "build_waist", lambda source, size: build_waist(other, size))
    done = run_ganport("convert", path, "--to", "onnx", "-o", tmp_path / "wrong")
    assert done.exit_code == 3, done.stdout
    assert "rung 'import'" in done.stderr


def names(folder: Path, body: str, signature: str = PLANE, weights: Weights | None = None) -> list[str]:
    source = read_onnx(write_model(folder, make_model(17, body, weights, signature)))
    return [case.name for case in seeded_inputs(source, source.inputs)]


def test_every_kind_of_case_is_run_where_the_file_takes_it(tmp_path: Path) -> None:
    assert names(tmp_path, "y = Relu(x)", TABLE) == [
        "seed 0, 1x3",
        "seed 1, 1x3",
        "seed 2, 2x3",
        "seed 3, from -3 to 3, integers of 8 bits, 1x3",
    ]


def test_values_that_give_nan_are_left_out(tmp_path: Path) -> None:
    assert names(tmp_path, "y = Sqrt(x)", TABLE)[3:] == ["seed 3, integers to 15, 1x3"]


def test_indices_stay_within_what_the_file_takes(tmp_path: Path) -> None:
    (wide,) = names(tmp_path, "y = Gather(rows, x)", TOKENS, {"rows": (4, 4)})[3:]
    assert wide == f"seed 3, integers to 3, 1x{FREE_SIZE}"


def test_batch_of_one_still_gets_unlike_sizes(tmp_path: Path) -> None:
    assert names(tmp_path, flatten("two", "three"), FIXED_BATCH, SIZES)[2] == "seed 2, 1x4x128x96"


def test_square_that_is_wanted_gets_a_batch_of_two(tmp_path: Path) -> None:
    square = "t = Transpose<perm = [0, 1, 3, 2]>(x) y = Add(x, t)"
    assert names(tmp_path, square, "(float[N, 3, H, W] x) => (float[N, 3, H, W] y)")[2] == "seed 2, 2x3x64x64"


def test_axes_of_unlike_names_get_unlike_sizes_too(tmp_path: Path) -> None:
    found = names(tmp_path, "m = ReduceMean<axes = [0, 2, 3], keepdims = 1>(z) y = Add(x, m)", TWO)
    assert [found[2], found[-1]] == ["seed 2, 2x3x128x96, 2x3x128x96", "seed 4, 2x3x128x96, 3x3x144x112"]


def test_planes_that_may_be_repeated_have_size_one_too(tmp_path: Path) -> None:
    found = names(tmp_path, "y = Add(x, z)", TWO)
    assert [found[2], found[-1]] == ["seed 2, 2x3x128x96, 2x3x128x96", "seed 4, 2x3x128x96, 2x3x1x1"]


def test_axes_of_unlike_names_that_must_be_equal_are(tmp_path: Path) -> None:
    found = names(tmp_path, "y = Concat<axis = 1>(x, z)", TWO.replace("R, 3", "R, 6"))
    assert [case for case in found if case.startswith("seed 4")] == []


def test_many_names_take_no_more_memory_than_few(tmp_path: Path) -> None:
    inputs = [f"x{i}" for i in range(9)]
    signature = ", ".join(f"float[N{i}, 3, H{i}, W{i}] x{i}" for i in range(9))
    body = " ".join(f"m{x} = ReduceMean<axes = [0, 2, 3]>({x})" for x in inputs)
    (*_, last) = names(
        tmp_path, f"{body} y = Sum({', '.join(f'm{x}' for x in inputs)})", f"({signature}) => (float[1, 3, 1, 1] y)"
    )
    sizes = {shape.strip() for shape in last.split(",")[1:]}
    assert sizes == {"2x3x128x96", "3x3x144x112", "4x3x160x128"}
