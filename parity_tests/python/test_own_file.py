"""`ganport convert FILE.py:FUNCTION`: the module that a user's file makes, its checkpoint, its inputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from parity_tests.support.command import run_ganport
from parity_tests.support.foreign_models import run_model
from parity_tests.support.own_modules import UNet, seed

CODE = """
import torch
from torch import nn
from blocks import Block

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = Block(3, 4), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        return torch.sigmoid(self.last(self.first(x)))

def make():
    return Net()

def make_two():
    class Two(Net):
        def forward(self, image, weight):
            return super().forward(image) * weight
    return Two()

def number():
    return 7

def fail():
    return 1 / 0

made = Net()
"""
BLOCKS = """
from torch import nn

class Block(nn.Sequential):
    def __init__(self, given, made):
        super().__init__(nn.Conv2d(given, made, 3, padding=1), nn.BatchNorm2d(made), nn.ReLU())
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of the user's that imports another one beside it."""
    (tmp_path / "blocks.py").write_text(BLOCKS)
    path = tmp_path / "mynet.py"
    path.write_text(CODE)
    return path


def read_sources(bundle: Path) -> list[str]:
    return [source["file"] for source in json.loads((bundle / "manifest.json").read_text())["sources"]]


def test_function_and_checkpoint_make_a_bundle(file: Path, tmp_path: Path) -> None:
    done = run_ganport("convert", f"{file}:make", "--to", "onnx", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert read_sources(tmp_path / "out" / "mynet") == ["Net", "mynet.py"]


@pytest.mark.parametrize("form", ["bare", "wrapped", "from GPUs", "safetensors"])
def test_checkpoint_is_loaded_strictly_in_every_form(form: str, file: Path, tmp_path: Path) -> None:
    import sys

    import safetensors.torch

    (tmp_path / "nets.py").write_text(
        "from parity_tests.support.own_modules import UNet\n\ndef make():\n    return UNet()\n"
    )
    module = seed(UNet())
    state = {key: tensor.contiguous() for key, tensor in module.state_dict().items()}
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        prefixed = {f"module.{key}": tensor for key, tensor in state.items()}
        torch.save({"bare": state, "wrapped": {"netG": state, "iteration": 3}, "from GPUs": prefixed}[form], path)
    nets = f"{tmp_path / 'nets.py'}:make"
    done = run_ganport("convert", nets, "--checkpoint", path, "--to", "onnx", "-o", tmp_path / "out", "--name", "net")
    assert done.exit_code == 0, done.stderr
    bundle = tmp_path / "out" / "net"
    assert read_sources(bundle) == ["UNet", "nets.py", path.name]
    x = np.random.default_rng(0).random((1, 3, 16, 12), np.float32)
    with torch.inference_mode():
        expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(run_model(bundle / "net.onnx", x)[0], expected, atol=1e-5)
    sys.modules.pop("nets", None)


def test_arrays_of_two_sizes_leave_sizes_free(file: Path, tmp_path: Path) -> None:
    for i, (n, side) in enumerate(((1, 16), (2, 24))):
        image = np.random.default_rng(i).random((n, 3, side, side + 8), np.float32)
        np.savez(tmp_path / f"{i}.npz", image=image, weight=image[:, :1])
    inputs = ("--inputs", tmp_path / "0.npz", "--inputs", tmp_path / "1.npz")
    done = run_ganport("convert", f"{file}:make_two", *inputs, "--to", "onnx", "-o", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    contract = json.loads((tmp_path / "out" / "mynet" / "manifest.json").read_text())["contract"]
    assert [spec["shape"] for spec in contract["inputs"]] == [["N", 3, "H", "W"], ["N", 1, "H", "W"]]


def test_module_in_the_file_does_without_a_function(file: Path, tmp_path: Path) -> None:
    done = run_ganport("convert", f"{file}:made", "--to", "onnx", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr


REFUSED = {
    "no such file": ("gone.py:make", (), 1, "gone.py: it cannot be read (No such file or directory). Check the path"),
    "no such function": ("mynet.py:nothing", (), 1, "mynet.py: it has no 'nothing' (it has "),
    "no module": ("mynet.py:number", (), 1, "mynet.py:number: it returns a int, no torch.nn.Module"),
    "a function that fails": ("mynet.py:fail", (), 1, "line 27, in fail: return 1 / 0"),
    "no function": ("mynet.py", (), 2, "mynet.py' is a Python file: name the function that makes the module"),
    "two inputs, none told": ("mynet.py:make_two", (), 1, "it takes 2 inputs (image, weight)"),
    "a checkpoint of another net": ("mynet.py:make", ("--checkpoint", "other.pth"), 1, "it does not fit make: "),
    "arrays of other names": (
        "mynet.py:make_two",
        ("--inputs", "a.npz", "--inputs", "b.npz"),
        1,
        "b.npz: its arrays are ['y'], those of a.npz ['x']. Name them alike",
    ),
    "three arrays": ("mynet.py:make", ("--inputs", "a.npz") * 3, 2, "--inputs is given once or twice"),
    "a source besides": ("mynet.py:make", ("other.pth",), 2, "FILE.py:FUNCTION is converted by itself"),
    "a pipeline": ("mynet.py:make", ("--pipeline",), 1, "--pipeline is for checkpoints, and this is a module"),
    "syntax": ("broken.py:make", (), 1, "broken.py:make: it fails (SyntaxError"),
    "an exit": ("leaving.py:make", (), 1, "leaving.py:make: it fails (SystemExit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused(case: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, options, code, said = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.zeros(1)}, "other.pth")
    np.savez("a.npz", x=np.zeros((1, 3, 8, 8), np.float32))
    np.savez("b.npz", y=np.zeros((1, 3, 8, 8), np.float32))
    Path("broken.py").write_text("def make(:\n")
    Path("leaving.py").write_text("import sys\nsys.exit(3)\n")
    done = run_ganport("convert", source, *options, "--to", "onnx", "-o", "out")
    assert done.exit_code == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("out").exists()


def test_checkpoint_without_a_file_is_a_usage_error(tmp_path: Path) -> None:
    done = run_ganport("convert", "net.pth", "--checkpoint", "w.pth", "--to", "onnx", "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "--checkpoint goes with FILE.py:FUNCTION" in done.stderr


def test_help_says_that_the_files_code_is_run() -> None:
    assert "that file's code is run" in " ".join(run_ganport("convert", "--help").stdout.split())
