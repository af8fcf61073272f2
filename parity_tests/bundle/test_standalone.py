"""What a bundle's README tells a stranger to run, run without PyTorch and without ganport."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from converters.convert import Conversion
from converters.parity.gates import GATES
from parity_tests.support.command import run_ganport
from parity_tests.support.foreign_models import make_model, write_model

# To need any of these packages would mean that a file does not stand on its own.
BLOCKED = ("torch", "converters", "reference", "ganport", "cli", "onnx", "onnxsim", "onnxscript")
LONGEST = 16  # "ten lines", blank ones and those that give numpy its old names back included
PRELUDE = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Refuse())
"""


def read_snippets(folder: Path) -> dict[str, str]:
    """Python of the README by the runtime that it imports."""
    found = re.findall(r"^```python\n(.*?)^```", (folder / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return {name: text for text in found for name in ("onnxruntime", "mxnet") if f"import {name} as" in text}


def run_alone(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + code], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("runtime", "gate"), [("onnxruntime", "onnx"), ("mxnet", "mxnet")])
@pytest.mark.parametrize("net", ["edge", "inpaint"])
def test_readmes_snippet_reproduces_the_golden_outputs_alone(
    net: str, runtime: str, gate: str, conversions: Mapping[str, Conversion]
) -> None:
    folder = conversions[net].bundle.folder
    snippet = read_snippets(folder)[runtime]
    assert len(snippet.splitlines()) <= LONGEST
    result = run_alone(snippet, folder)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    channels = {"edge": 1, "inpaint": 3}[net]
    assert f"(1, {channels}, 64, 96)" in line
    assert float(line.split()[-1]) <= GATES[gate].max_abs


@pytest.mark.parametrize(("runtime", "file"), [("onnxruntime", "*.onnx"), ("mxnet", "*.params")])
def test_snippet_shows_the_error_of_a_file_whose_last_bias_was_dropped(
    runtime: str, file: str, conversions: Mapping[str, Conversion], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(conversions["inpaint"].bundle.folder, tmp_path / "copy"))
    (model,) = folder.glob("*.onnx")
    (bias,) = (t.raw_data for t in onnx.load(model).graph.initializer if t.name == "generator.decoder.7.bias")
    (path,) = folder.glob(file)
    data = path.read_bytes()
    assert data.count(bias) == 1
    path.write_bytes(data.replace(bias, bytes(len(bias))))
    result = run_alone(read_snippets(folder)[runtime], folder)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout.split()[-1]) > GATES["mxnet"].max_abs


@pytest.mark.parametrize("runtime", ["onnxruntime", "mxnet"])
def test_snippet_gives_every_type_and_checks_every_output(runtime: str, tmp_path: Path) -> None:
    """Integers that float32 does not hold, truth values, and a tensor of rank 0."""
    body = "count = Add(n, n) p = Neg(x) y = Mul(p, s) z = Not(b)"
    inputs = "int64[N, 3] n, float[N, 3] x, float s, bool[N, 3] b"
    path = write_model(
        tmp_path, make_model(17, body, None, f"({inputs}) => (int64[N, 3] count, float[N, 3] y, bool[N, 3] z)")
    )
    arrays = {
        "n": np.array([[1, 2**24 + 1, 2**40 + 3], [-(2**30) - 1, 5, 7]]),
        "x": np.random.default_rng(0).random((2, 3), np.float32),
        "s": np.float32(0.7),
        "b": np.array([[True, False, True]] * 2),
    }
    np.savez(tmp_path / "case.npz", **arrays)
    done = run_ganport("convert", path, "--to", "onnx,mxnet", "-o", tmp_path, "--inputs", tmp_path / "case.npz")
    assert done.exit_code == 0, done.stderr
    snippet = read_snippets(tmp_path / "net")[runtime]
    assert len(snippet.splitlines()) <= LONGEST
    result = run_alone(snippet, tmp_path / "net")
    assert result.returncode == 0, result.stderr
    lines = [line.split(" (2, 3) ") for line in result.stdout.splitlines()]
    assert [name for name, _ in lines] == ["count", "y", "z"]
    assert [float(error) for _, error in lines] == [0, pytest.approx(0, abs=1e-6), 0]

    np.save(tmp_path / "net" / "golden" / "output_count.npy", 2 * arrays["n"] + 1)
    np.save(tmp_path / "net" / "golden" / "output_z.npy", arrays["b"])
    errors = [float(line.split()[-1]) for line in run_alone(snippet, tmp_path / "net").stdout.splitlines()]
    assert errors == [1, pytest.approx(0, abs=1e-6), 1]


@pytest.mark.parametrize("package", ["torch", "converters", "reference", "cli"])
def test_block_holds(package: str, tmp_path: Path) -> None:
    result = run_alone(f"import {package}", tmp_path)
    assert result.returncode == 1
    assert f"{package} is blocked" in result.stderr
