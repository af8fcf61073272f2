"""The lines in the server's README do what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from parity_tests.support.markdown_pages import Block, read_blocks
from parity_tests.support.places import ROOT
from parity_tests.support.served import Server, fill, make_case

PAGE = ROOT / "consumers" / "server" / "README.md"
BLOCKS = [block for block in read_blocks(PAGE) if block.not_run is None]
PROGRAMS = {"sh": ["bash", "-e", "-c"], "python": [sys.executable, "-c"]}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.language)
def test_lines_of_the_readme_fill_a_hole(server: Server, block: Block, tmp_path: Path) -> None:
    if block.language == "sh" and shutil.which("curl") is None:
        pytest.skip("this machine has no curl")
    files = make_case(48, 64, 2)
    for name, data in files.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    code, count = re.subn("http://127.0.0.1:8000/", f"{server.url}/", block.text)
    assert count == 1
    done = subprocess.run([*PROGRAMS[block.language], code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "filled.png").read_bytes() == fill(files, tmp_path / "command")
    (tmp_path / "photo.png").write_bytes(b"no picture")
    done = subprocess.run([*PROGRAMS[block.language], code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_there_is_a_line_of_curl_and_ten_of_python() -> None:
    assert [block.language for block in BLOCKS] == ["sh", "python"]
    assert BLOCKS[0].text.count("\n") == 1
    assert BLOCKS[1].text.count("\n") <= 10
