"""The page's scripts without a browser: their own tests in node, their types and their style."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from parity_tests.support.places import ROOT
from parity_tests.support.web_page import NODE_MODULES, require_node

SCRIPTS = ROOT / "consumers" / "web"
# Seconds.
PATIENCE = 200


def run_node(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [require_node(), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)


def test_strokes_pictures_and_retries_do_what_they_should() -> None:
    done = run_node("--test", Path(__file__).with_name("marks.test.mjs"))
    assert done.returncode == 0, done.stdout[-6000:]
    assert "# pass 19" in done.stdout


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A copy of the page's sources beside its tests', as they lie in the repository."""
    require_node()
    folder = tmp_path / "consumers" / "web"
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    (folder / "node_modules").symlink_to(NODE_MODULES)
    tests = tmp_path / "parity_tests" / "web"
    tests.mkdir(parents=True)
    for script in Path(__file__).parent.glob("*.mjs"):
        shutil.copy(script, tests)
    return folder


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("this machine has no npm")
    command = [npm, "run", "check"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)


def test_types_fit_and_the_linter_finds_nothing(scripts: Path) -> None:
    done = check(scripts)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "good", "bad", "told"),
    [
        ("marks.js", "return { width, height, mask, edits };", "return { width, height, mask };", "'edits' is missing"),
        ("marks.js", "let first = -1;", "var first = -1;", "lint/correctness/noInnerDeclarations"),
        ("style.css", "max-width: 1280px;", "max-width:1280px;", "style.css format"),
        ("index.html", ' lang="en"', "", "lint/a11y/useHtmlLang"),
        ("../../parity_tests/web/replay.mjs", "const feeds = {};", "const feeds = {}", "replay.mjs format"),
    ],
)
def test_fault_in_a_script_is_told(scripts: Path, file: str, good: str, bad: str, told: str) -> None:
    text = (scripts / file).read_text()
    assert good in text
    (scripts / file).write_text(text.replace(good, bad))
    done = check(scripts)
    assert done.returncode != 0
    assert told in done.stdout + done.stderr
