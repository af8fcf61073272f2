"""Run `ganport` in a process of its own in which some packages are not to be found, as where they are not installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from parity_tests.support.places import ROOT

PROGRAM = """
import sys


class Without:
    # A finder that does not find the packages named; an import of one raises ModuleNotFoundError.
    def __init__(self, finder, names):
        self.finder, self.names = finder, names

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in self.names else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


def hide():
    sys.path.insert(0, ROOT)
    sys.meta_path = [Without(finder, NAMES) for finder in sys.meta_path]


hide()  # in the processes that bench spawns, too
if __name__ == "__main__":
    import cli

    cli.run()
"""


def run_without(
    packages: Sequence[str], folder: Path, *args: str | Path, timeout_s: int = 300
) -> subprocess.CompletedProcess[str]:
    """Run `ganport ARGS` with `folder`, which gets the program's file, as the current folder."""
    program = folder / "ganport_without.py"
    program.write_text(f"ROOT, NAMES = {str(ROOT)!r}, {tuple(packages)}\n{PROGRAM}")
    command = [sys.executable, str(program), *map(str, args)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout_s)
