"""Every code block of README and docs does what it says: it is run, in its page's order, among the files it names."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from parity_tests.support.markdown_pages import DOC_PAGES, NOT_RUN, Block, read_blocks
from parity_tests.support.named_files import write_named_files
from parity_tests.support.places import ROOT
from parity_tests.support.shell import make_environment, run_python, run_shell, write_programs

PAGES = [ROOT / "README.md", *DOC_PAGES]
RUN = {"sh": run_shell, "python": run_python}
BLOCKS = [block for page in PAGES for block in read_blocks(page)]
TO_RUN = [block for block in BLOCKS if block.not_run is None]
Result = subprocess.CompletedProcess[str]
RunBlock = Callable[[Block], Result]


@pytest.fixture(scope="module")
def run_block(tmp_path_factory: pytest.TempPathFactory) -> RunBlock:
    """Run a block, and first those before it on its page."""
    base = tmp_path_factory.mktemp("blocks")
    environment = make_environment(write_programs(base / "bin"), base / "cache")
    done: dict[str, Result] = {}

    def run(block: Block) -> Result:
        folder = base / block.page.stem
        if not folder.exists():
            folder.mkdir()
            write_named_files(folder)
        for earlier in TO_RUN:
            if earlier.page != block.page or earlier.line > block.line or str(earlier) in done:
                continue
            done[str(earlier)] = RUN[earlier.language](earlier.text, folder, environment)
        return done[str(block)]

    return run


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_is_run_or_says_why_not(block: Block) -> None:
    assert block.language, f"{block}: put it into a fence that names its language"
    if block.language not in RUN:
        assert block.not_run, f"{block}: say why in the line before, <!-- not run: ... -->"


def test_pages_have_blocks_of_each_kind() -> None:
    for language in RUN:
        assert len([block for block in TO_RUN if block.language == language]) >= 5


def test_reason_is_read_from_the_line_before_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: no GPU -->\n```sh\na\n```\n\n<!-- not run: x -->\n\n```sh\nb\n```\n\n    indented\n")
    assert [(block.language, block.text, block.not_run) for block in read_blocks(page)] == [
        ("sh", "a\n", "no GPU"),
        ("sh", "b\n", None),
        ("", "indented\n", None),
    ]


def test_every_reason_stands_before_a_block() -> None:
    given = [line for page in PAGES for line in page.read_text(encoding="utf-8").splitlines() if "not run:" in line]
    assert [line for line in given if not NOT_RUN.fullmatch(line)] == []
    assert len(given) == len([block for block in BLOCKS if block.not_run])


@pytest.mark.parametrize("block", TO_RUN, ids=str)
def test_block_runs(block: Block, run_block: RunBlock) -> None:
    done = run_block(block)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_block_that_fails_is_seen(tmp_path: Path) -> None:
    environment = make_environment(write_programs(tmp_path / "bin"), tmp_path / "cache")
    assert run_shell("ganport inspect nothing.pth\ntrue", tmp_path, environment).returncode == 1
    assert run_python("assert False", tmp_path, environment).returncode == 1
