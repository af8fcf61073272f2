"""Whatever a file does to a library, the command ends with one line, in its limits, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from converters.convert import Conversion
from parity_tests.support.command import list_tree
from parity_tests.support.foreign_models import make_model, write_model
from parity_tests.support.places import ROOT

EDGE = "edgeconnect-edge"
ROW = "(float[1, 3] x) => (float[1, 3] y)"
SLACK_S = 120
LOOP = """
cond = Constant<value: tensor = bool {1}>()
y = Loop(, cond, x) <body: graph = b (int64 i, bool c, float[1, 3] v) => (bool d, float[1, 3] w) {
  d = Identity(c) w = Relu(v)
}>
"""
# 160 GB
HUGE = """
sides = Constant<value: tensor = int64[2] {200000, 200000}>()
plane = ConstantOfShape(sides)
sum = ReduceSum<keepdims = 0>(plane)
y = Add(x, sum)
"""


def start(folder: Path, *args: str | Path, patch: str = "") -> subprocess.Popen[str]:
    """The real program in a process of its own, temporary files in `folder`; `patch` is run in it first."""
    code = f"import sys\nsys.argv[0] = 'ganport'\n{textwrap.dedent(patch)}\nimport cli\ncli.run()\n"
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], folder: Path) -> tuple[int, str]:
    """Exit code and last line; the command printed no traceback and left no temporary file and no process."""
    stdout, stderr = process.communicate(timeout=SLACK_S)
    assert "Traceback" not in stderr
    assert stdout == ""
    assert list((folder / "tmp").iterdir()) == []
    assert [each for each in psutil.process_iter() if _session_of(each) == process.pid] == []
    return process.returncode, stderr.splitlines()[-1]


def _session_of(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except OSError:
        return 0


def wait_for(process: subprocess.Popen[str], step: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if step in line:
            return
    raise AssertionError(f"{step} was not reached")


@pytest.mark.parametrize("group", [False, True], ids=["parent", "group"])
@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "term")]
)
def test_loop_without_an_end_is_interrupted(number: int, code: int, said: str, group: bool, tmp_path: Path) -> None:
    """A terminal sends Ctrl-C to the whole group, a script to the one process that it started."""
    path = write_model(tmp_path, make_model(17, LOOP, signature=ROW))
    patch = "import converters.terminal.supervise\nconverters.terminal.supervise.GRACE_S = 1.0"
    process = start(tmp_path, "convert", path, "--to", "onnx", "-o", tmp_path / "out", patch=patch)
    wait_for(process, "running what its files are held to")
    time.sleep(0.5)
    os.killpg(process.pid, number) if group else os.kill(process.pid, number)
    exit_code, line = finish(process, tmp_path)
    assert exit_code == code
    assert line.startswith(f"ganport: {said}")
    assert not (tmp_path / "out").exists()


def test_step_that_takes_longer_than_allowed_is_ended(tmp_path: Path) -> None:
    path = write_model(tmp_path, make_model(17, LOOP, signature=ROW))
    args = ("convert", path, "--to", "onnx", "-o", tmp_path / "out", "--max-seconds", "2")
    assert finish(start(tmp_path, *args), tmp_path) == (
        1,
        f"ganport: {path}: a step took longer than 2 s. If it may take longer, raise --max-seconds.",
    )


def test_clock_starts_anew_at_each_step(tmp_path: Path) -> None:
    patch = """
        import time, converters.verify
        from converters.terminal.supervise import begin_step
        def verify(folder):
            for step in ("one", "two", "three"):
                begin_step(step)
                time.sleep(0.7)
            return ()
        converters.verify.verify = verify
    """
    process = start(tmp_path, "verify", "bundle", "--max-seconds", "1", patch=patch)
    assert process.communicate(timeout=SLACK_S)[0] == "hashes verified, nothing was run here\n"
    assert process.returncode == 0


def test_shapes_that_compute_to_gigabytes_are_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path, make_model(17, HUGE, signature=ROW))
    args = ("convert", path, "--to", "onnx", "-o", tmp_path / "out", "--max-memory", "2")
    code, line = finish(start(tmp_path, *args), tmp_path)
    assert code == 1
    assert "for want of memory most likely" in line
    assert not (tmp_path / "out").exists()


ALLOCATE = """
    import converters.verify
    def verify(folder):
        {0}
    converters.verify.verify = verify
"""


@pytest.mark.parametrize(
    "allocation",
    ["bytearray(2**32)", "import numpy; numpy.ones(2**29)", "import torch; torch.ones(2**30)"],
    ids=["Python", "numpy", "torch"],
)
def test_memory_beyond_the_limit_is_one_line(allocation: str, tmp_path: Path) -> None:
    process = start(tmp_path, "verify", "bundle", "--max-memory", "2", patch=ALLOCATE.format(allocation))
    assert finish(process, tmp_path) == (
        1,
        "ganport: bundle, verifying bundle: it needs more memory than there is. "
        "Give smaller inputs, or let it have more with --max-memory.",
    )


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGFPE"])
def test_crash_of_a_library_is_one_line_and_the_old_bundle_stays(
    name: str, checkpoints: Mapping[str, Path], conversions: Mapping[str, Conversion], tmp_path: Path
) -> None:
    """It crashes when the old bundle has been moved away and the new one is not there yet."""
    out = tmp_path / "out"
    shutil.copytree(conversions["edge"].bundle.folder, out / EDGE)
    before = list_tree(out)
    patch = f"""
        import faulthandler, os, signal
        from pathlib import Path
        rename = Path.rename
        def crash(self, target):
            if self.name == "new":
                os.kill(os.getpid(), signal.{name})
            return rename(self, target)
        Path.rename = crash
    """
    args = ("convert", checkpoints["edge"], "--to", "onnx", "-o", out, "--overwrite")
    code, line = finish(start(tmp_path, *args, patch=patch), tmp_path)
    assert code == 1
    assert line.startswith(f"ganport: {checkpoints['edge']}: a library crashed on it ({name}); nothing was written. ")
    assert list_tree(out) == before


def test_exception_that_nobody_foresaw_is_one_line_that_names_the_step_and_the_place(tmp_path: Path) -> None:
    process = start(tmp_path, "verify", "bundle", patch=ALLOCATE.format("raise KeyError('a key')"))
    code, line = finish(process, tmp_path)
    assert code == 1
    assert line == (
        "ganport: bundle, verifying bundle: KeyError, not foreseen, in <string>, line 6: 'a key'. "
        "The file may be damaged; if it is sound, please report this line."
    )


def test_process_that_is_killed_takes_its_child_with_it(tmp_path: Path) -> None:
    path = write_model(tmp_path, make_model(17, LOOP, signature=ROW))
    with start(tmp_path, "convert", path, "--to", "onnx", "-o", tmp_path / "out") as process:
        wait_for(process, "running what its files are held to")
        process.kill()
    deadline = time.monotonic() + SLACK_S
    while any(_session_of(each) == process.pid for each in psutil.process_iter()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_exit_codes_of_the_work_are_those_of_the_command(tmp_path: Path) -> None:
    codes = {}
    for args in (("verify", tmp_path), ("verify",), ("formats",), ("inspect", "reference/weights/EdgeModel_gen.pth")):
        process = start(tmp_path, *args)
        process.communicate(timeout=SLACK_S)
        codes[args[0], len(args)] = process.returncode
    assert list(codes.values()) == [1, 2, 0, 0]
