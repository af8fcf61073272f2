"""What a bundle's README tells a stranger to run, run without PyTorch and without ganport."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import onnx
import pytest

from converters.parity import GATES
from converters.pipeline import Conversion

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


@pytest.mark.parametrize("package", ["torch", "converters", "reference", "cli"])
def test_block_holds(package: str, tmp_path: Path) -> None:
    result = run_alone(f"import {package}", tmp_path)
    assert result.returncode == 1
    assert f"{package} is blocked" in result.stderr
