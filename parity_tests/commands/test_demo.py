"""README shows what `make demo` prints."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from converters.targets.registry import TARGETS
from parity_tests.support.markdown_pages import read_blocks
from parity_tests.support.places import ROOT
from parity_tests.support.shell import make_environment, run_shell, write_programs

# A cell of a table: what stands between two spaces or more.
GAP = re.compile(r"  +")
# Errors and sizes may differ by this factor: another processor rounds otherwise, and engines vary from build to build.
FACTOR = 2.0
# PSNR, which follows the typical error, differs more: 127.8 on one processor was 135.1 on another.
PSNR_DB = 10.0
# An excess is a quotient of two errors: 2.48 and 5.60 on one processor were 1.16 and 1.94 on another.
EXCESS = "excess"


def is_same(said: str, printed: str, column: str) -> bool:
    """Whether a cell is the one that was printed, numbers as near as another machine comes."""
    if said == printed:
        return True
    try:
        one, other = float(said), float(printed)
    except ValueError:
        return False
    if one > 100:  # only PSNR is
        return abs(one - other) <= PSNR_DB
    return max(one, other) <= (FACTOR**2 if column == EXCESS else FACTOR) * min(one, other)


@pytest.mark.parametrize(
    ("said", "printed", "column", "same"),
    [
        ("passed", "passed", "parity", True),
        ("passed", "failed", "parity", False),
        ("3.0e-06", "3.0e-05", "max abs", False),
        ("3.0e-06", "4.0e-06", "max abs", True),
        ("3.0e-06", "7.0e-06", "max abs", False),
        ("128.8", "131.0", "PSNR, dB", True),
        ("128.8", "100.0", "PSNR, dB", False),
        ("2.48", "1.16", EXCESS, True),
        ("2.48", "10.0", EXCESS, False),
        ("5.8", "58.0", "MiB", False),
    ],
)
def test_cells_are_compared(said: str, printed: str, column: str, same: bool) -> None:
    assert is_same(said, printed, column) == same


@pytest.mark.skipif(TARGETS["trt"].missing_builder() is not None, reason="without TensorRT the demo stops")
@pytest.mark.skipif(TARGETS["trt"].missing_verifier() is None, reason="README shows a machine without a GPU")
def test_readme_shows_what_the_demo_prints(tmp_path: Path) -> None:
    dry = ["make", "--dry-run", "--old-file", ".venv/run.stamp", "--always-make", "demo"]
    lines = [
        line.removeprefix(".venv/bin/")
        for line in subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        if line.startswith(".venv/bin/ganport ")
    ]
    assert len(lines) == 3
    (shown,) = (block.text for block in read_blocks(ROOT / "README.md") if block.language == "text")
    (tmp_path / "reference").symlink_to(ROOT / "reference")
    done = run_shell("\n".join(lines), tmp_path, make_environment(write_programs(tmp_path / "bin"), tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    said, printed = ([GAP.split(line) for line in text.splitlines()] for text in (shown, done.stdout))
    assert [len(row) for row in said] == [len(row) for row in printed], done.stdout
    header: list[str] = []
    for row, other in zip(said, printed, strict=True):
        header = row if EXCESS in row else header
        # A row of a file that was not run has fewer cells, and no excess.
        columns = header if len(header) == len(row) else [""] * len(row)
        assert all(map(is_same, row, other, columns)), f"README shows {row}, the demo prints {other}"
