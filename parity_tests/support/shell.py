"""Run lines as a user's shell and Python run them, in a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from parity_tests.support.places import ROOT

LIMIT_SECONDS = 600


def write_programs(folder: Path) -> Path:
    """A folder with `ganport` and `python`, which run this tree in this Python."""
    folder.mkdir()
    for name, arguments in (("ganport", "-m cli "), ("python", "")):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        program.chmod(0o755)
    return folder


def make_environment(programs: Path, cache: Path) -> dict[str, str]:
    """The environment of a user who has installed ganport.

    Args:
        programs: What `write_programs` made.
        cache: Where ganport keeps what it makes for later runs.
    """
    path = os.pathsep.join((str(programs), os.environ["PATH"]))
    return {**os.environ, "PATH": path, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)}


def run_shell(lines: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `lines` in bash, which ends at the first line that fails."""
    return _run(["bash", "-euo", "pipefail", "-c", lines], folder, environment)


def run_python(lines: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `lines` as a program in `folder`, whose modules it can import."""
    return _run([sys.executable, "-c", lines], folder, environment)


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS
    )
