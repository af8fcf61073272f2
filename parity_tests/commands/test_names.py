"""Names as people write them, mistyped ones, `--version`, and completion in a shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from cli import main
from converters.terminal import versions
from converters.terminal.options import read_size, read_targets
from parity_tests.support.command import run_ganport
from parity_tests.support.places import ROOT

PAGE = ROOT / "docs" / "install.md"
SHELLS = ("bash", "zsh", "fish")


def test_tensorrt_is_trt_and_one_number_is_a_square() -> None:
    assert read_targets("onnx, tensorrt") == ("onnx", "trt")
    assert read_size("256") == (256, 256)
    assert read_size("256x320") == (256, 320)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("convrt",), "No such command 'convrt'. Did you mean 'convert'?"),
        (("convert", "--to", "onx"), "'onx' is no target. Did you mean 'onnx'?"),
        (("convert", "--to", "MXNet"), "'MXNet' is no target. Did you mean 'mxnet'?"),
        (("convert", "--to", "onnx,tensort"), "'tensort' is no target. Did you mean 'tensorrt'?"),
        (("convert", "--to", "tflite"), "'tflite' is no target. Targets are onnx, mxnet, trt, wolfram."),
        (("verify", "x", "--jsn"), "No such option '--jsn'. Did you mean '--json'?"),
    ],
)
def test_mistyped_name_gets_the_nearest_one(args: tuple[str, ...], said: str) -> None:
    result = run_ganport(*args)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].endswith(said)


def test_version_tells_what_is_here_and_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(versions.PACKAGES, "Wolfram client", ("no-such-package",))
    monkeypatch.setitem(versions.PACKAGES, "TensorRT", ("no-such-package", "numpy"))
    result = run_ganport("--version")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"ganport {find_version('ganport')}",
        f"Python {'.'.join(map(str, sys.version_info[:3]))}",
        f"torch {find_version('torch')}",
        f"onnxruntime {find_version('onnxruntime')}",
        f"mxnet {find_version('mxnet')}",
        f"TensorRT {find_version('numpy')} (numpy)",
        "Wolfram client not installed",
    ]


def find_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@pytest.fixture
def path_with_ganport(tmp_path: Path) -> str:
    """A PATH where `ganport` is this tree's."""
    program = tmp_path / "bin" / "ganport"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nimport cli\ncli.run()\n")
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


def read_line(shell: str) -> str:
    """The line of docs/install.md that turns completion on."""
    (line,) = re.findall(rf"^(.*_GANPORT_COMPLETE={shell}_source ganport.*)$", PAGE.read_text(), re.MULTILINE)
    return str(line)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("ganport con", {"convert", "consumers"}),
        ("ganport inpaint --dr", {"--draw"}),
        ("ganport convert --tune ", {"cpu"}),
    ],
)
def test_program_completes_as_the_shell_asks(shell: str, words: str, found: set[str], path_with_ganport: str) -> None:
    """What the script that each shell gets asks for, word by word."""
    last = words.rsplit(" ", maxsplit=1)[-1]
    asked = {"COMP_WORDS": words, "COMP_CWORD": last if shell == "fish" else str(len(words.split(" ")) - 1)}
    env = {**os.environ, "PATH": path_with_ganport, "_GANPORT_COMPLETE": f"{shell}_complete", **asked}
    done = subprocess.run(["ganport"], env=env, capture_output=True, text=True, check=True)
    assert all(name in re.split(r"[,\s]", done.stdout) for name in found)
    assert ("verify" in done.stdout, "--out" in done.stdout) == (False, False)


@pytest.mark.parametrize("shell", SHELLS)
def test_line_of_the_page_makes_the_shell_complete(shell: str, path_with_ganport: str, tmp_path: Path) -> None:
    line = read_line(shell)
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here; the program's side of it is tested above")
    ask, said = {
        "bash": (
            "COMP_WORDS=(ganport con); COMP_CWORD=1; _ganport_completion ganport; printf '%s\\n' ${COMPREPLY[@]}",
            {"convert", "consumers"},
        ),
        "zsh": ("functions _ganport_completion > /dev/null && print $_comps[ganport]", {"_ganport_completion"}),
        "fish": ("complete --do-complete 'ganport con' | cut -f 1", {"convert", "consumers"}),
    }[shell]
    before = "autoload -Uz compinit; compinit -u -D; " if shell == "zsh" else ""
    env = {**os.environ, "PATH": path_with_ganport, "HOME": str(tmp_path)}
    done = subprocess.run([shell, "-c", f"{before}{line}\n{ask}"], env=env, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == said


def test_every_command_of_the_page_exists() -> None:
    named = set(re.findall(r"^ganport ([a-z]+)", PAGE.read_text(), re.MULTILINE))
    assert named
    assert named <= set(main.commands)
