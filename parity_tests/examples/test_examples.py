"""Every script in examples/ runs, and gives what it says."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from converters.targets.mxnet.runtime import missing_mxnet
from parity_tests.support.named_files import write_named_files
from parity_tests.support.places import ROOT
from parity_tests.support.shell import make_environment, run_shell, write_programs

EXAMPLES = ROOT / "examples"
NEEDS_MXNET = pytest.mark.skipif(missing_mxnet() is not None, reason=str(missing_mxnet()))
# float32 through some ten layers, values in [0, 1].
ROUNDING = 2e-5
Run = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a line in `tmp_path`, which holds the files that the pages name; it must succeed."""
    base = tmp_path_factory.mktemp("user")
    environment = make_environment(write_programs(base / "bin"), base / "cache")
    write_named_files(tmp_path)
    shutil.copytree(EXAMPLES, tmp_path / "examples")

    def run_line(line: str) -> subprocess.CompletedProcess[str]:
        done = run_shell(line, tmp_path, environment)
        assert done.returncode == 0, done.stderr
        return done

    return run_line


def test_every_example_has_a_row_and_a_test() -> None:
    files = {path.name for path in EXAMPLES.iterdir() if path.is_file() and path.name != "README.md"}
    assert len(files) >= 4
    table, tests = (EXAMPLES / "README.md").read_text(encoding="utf-8"), Path(__file__).read_text(encoding="utf-8")
    assert [name for name in files if f"| `{name}` |" not in table or f"examples/{name} " not in tests] == []


def test_checkpoint_becomes_an_onnx_file_that_runs_alone(run: Run, tmp_path: Path) -> None:
    done = run("python examples/checkpoint_to_onnx.py InpaintingModel_gen.pth out")
    assert done.stdout == "edgeconnect-inpaint.onnx: (1, 3, 64, 96), known pixels kept: True\n"
    assert (tmp_path / "out" / "edgeconnect-inpaint" / "edgeconnect-inpaint.onnx").is_file()


@NEEDS_MXNET
def test_onnx_file_gives_the_same_in_mxnet(run: Run) -> None:
    done = run("python examples/onnx_to_mxnet.py net.onnx out")
    name, difference = done.stdout.rsplit(" ", 1)
    assert name.startswith("y: ")
    assert float(difference) <= ROUNDING


@NEEDS_MXNET
def test_onnx_file_that_mxnet_cannot_express_is_refused_by_a_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no onnx")
    done = run("! python examples/onnx_to_mxnet.py broken.onnx out")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("broken.onnx: ")


def test_folder_is_filled_and_a_second_run_does_only_what_is_new(run: Run, tmp_path: Path, grey_pipeline: Path) -> None:
    """With the bundle of a stand-in in place of the shipped pair's, whose conversion takes a minute."""
    script = tmp_path / "examples" / "inpaint_folder.sh"
    script.write_text(script.read_text().replace('-o "$3"', f'-o "$3" --bundle {grey_pipeline}'))
    assert run("examples/inpaint_folder.sh photos masks filled").stdout.endswith("2 of 2 photos are in filled\n")
    photo, filled = (np.asarray(Image.open(tmp_path / name)) for name in ("photos/one.jpg", "filled/one.png"))
    hole = np.asarray(Image.open(tmp_path / "masks" / "one.png")) > 0
    assert np.array_equal(photo[~hole], filled[~hole])
    assert not np.array_equal(photo[hole], filled[hole])
    (tmp_path / "filled" / "two.png").unlink()
    before = (tmp_path / "filled" / "one.png").stat().st_mtime_ns
    run("examples/inpaint_folder.sh photos masks filled")
    assert (tmp_path / "filled" / "two.png").is_file()
    assert (tmp_path / "filled" / "one.png").stat().st_mtime_ns == before


@NEEDS_MXNET
def test_own_module_becomes_files_of_free_sizes_that_give_what_it_gives(run: Run, tmp_path: Path) -> None:
    done = run("python examples/own_module.py out")
    assert done.stdout.splitlines()[-1] == "(1, 3, 128, 64)"
    names: dict[str, object] = {"__name__": "own_module"}
    exec((EXAMPLES / "own_module.py").read_text(encoding="utf-8"), names)
    make_generator = names["make_generator"]
    assert callable(make_generator)
    image = np.random.default_rng(3).random((2, 3, 72, 100), np.float32)
    with torch.no_grad():
        expected = make_generator()(torch.from_numpy(image)).numpy()
    session = onnxruntime.InferenceSession(tmp_path / "out" / "unet" / "unet.onnx", providers=["CPUExecutionProvider"])
    (actual,) = session.run(["result"], {"image": image})
    assert np.abs(actual - expected).max() <= ROUNDING


def test_own_module_goes_by_the_shell_too(run: Run, tmp_path: Path) -> None:
    run("ganport convert examples/own_module.py:make_generator --to onnx --name unet -o out")
    assert (tmp_path / "out" / "unet" / "unet.onnx").is_file()
