"""The page's scripts without a browser: their own tests in node, and their types."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from parity_tests.support.places import ROOT
from parity_tests.support.web_page import NODE_MODULES, require_node

SCRIPTS = ROOT / "consumers" / "web"
# Seconds.
PATIENCE = 200
# onnxruntime-web has no types for its plain build; its names are those of this package.
TYPES = 'export * from "onnxruntime-common";\n'


def run_node(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [require_node(), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)


def test_strokes_pictures_and_retries_do_what_they_should() -> None:
    done = run_node("--test", Path(__file__).with_name("marks.test.mjs"))
    assert done.returncode == 0, done.stdout[-6000:]
    assert "# pass 18" in done.stdout


def check_types(folder: Path) -> subprocess.CompletedProcess[str]:
    return run_node(NODE_MODULES / "typescript" / "bin" / "tsc", "-p", folder / "jsconfig.json")


def test_types_of_the_scripts_fit(tmp_path: Path) -> None:
    require_node()
    folder = Path(shutil.copytree(SCRIPTS, tmp_path / "web"))
    (folder / "ort").mkdir()
    (folder / "ort" / "ort.wasm.min.d.mts").write_text(TYPES)
    (folder / "node_modules").symlink_to(NODE_MODULES)
    done = check_types(folder)
    assert done.returncode == 0, done.stdout
    marks = folder / "marks.js"
    marks.write_text(
        marks.read_text().replace("return { width, height, mask, edits };", "return { width, height, mask };")
    )
    done = check_types(folder)
    assert done.returncode != 0
    assert "'edits' is missing" in done.stdout
