"""A user's script that imports ganport passes the strict type check, as the wheel installs it; a wrong one does not."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from parity_tests.support.places import ROOT

SCRIPT = """
import ganport
import numpy as np

spec = ganport.TensorSpec("x", ("N", 3, "H", "W"))
(bundle,) = ganport.convert("net.pth", to=["onnx"], out="out", inputs={"x": spec})
with bundle.open("onnx") as net:
    result = net.run(x=np.zeros((1, 3, 8, 8), np.float32))["y"]
    print(result.shape, net.inputs[0].minimum)
replay = ganport.verify(bundle)[0]
print(replay.max_abs, ganport.prove(bundle, checkpoint="net.pth")["onnx"].excess)
print([row.latency_ms.p50 for row in ganport.bench([bundle])])
try:
    ganport.read_bundle("nothing")
except ganport.BundleError as error:
    print(error.remedy)
"""


def check_types(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """mypy --strict on a user's script, in an environment into which the wheel is installed."""
    (folder / "script.py").write_text(script)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache"]
    python = ["--python-executable", str(folder / "env" / "bin" / "python")]
    return subprocess.run([*command, *python, "script.py"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment that has the wheel's files and the packages of this one, but not this project."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    (site / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return folder


def test_script_of_a_user_passes_the_strict_type_check(unpacked: Path) -> None:
    done = check_types(unpacked, SCRIPT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ganport.convert(3, to='onnx')", "incompatible type"),
        ("ganport.verfy('out')", 'Module has no attribute "verfy"'),
        ("x: int = ganport.read_bundle('out').name", "Incompatible types in assignment"),
    ],
)
def test_wrong_script_does_not_pass(line: str, said: str, unpacked: Path) -> None:
    done = check_types(unpacked, f"import ganport\n{line}\n")
    assert done.returncode == 1
    assert said in done.stdout
