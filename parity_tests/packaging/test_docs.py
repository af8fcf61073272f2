"""What the pages in docs/ say is what the code and the records say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib

import pytest

from cli import main
from converters.parity.gates import GATES
from parity_tests.support.markdown_pages import DOC_PAGES, DOCS, TOP_PAGES
from parity_tests.support.places import ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README_LINES = 110


def read_page(name: str) -> str:
    """A page's text in one line."""
    return " ".join((DOCS / name).read_text(encoding="utf-8").split())


def test_newest_version_of_the_changelog_is_the_projects() -> None:
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", CHANGELOG, re.MULTILINE)
    assert versions[0] == PROJECT["version"]
    assert versions == sorted(versions, key=lambda text: [int(part) for part in text.split(".")], reverse=True)


def test_menu_lists_every_page() -> None:
    menu = re.findall(r": (\w+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(menu) == [page.name for page in DOC_PAGES]


def test_readme_is_read_in_two_minutes() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_every_page_is_linked_from_readme_or_index() -> None:
    said = (ROOT / "README.md").read_text(encoding="utf-8") + (DOCS / "index.md").read_text(encoding="utf-8")
    assert [page.name for page in DOC_PAGES if f"{page.name})" not in said and page.name != "index.md"] == []
    assert [page.name for page in TOP_PAGES if f"({page.name})" not in said and page.name != "README.md"] == []


def test_counts_of_node_tests_are_those_recorded() -> None:
    recorded = json.loads((ROOT / "benchmarks" / "results" / "mxnet_conformance.json").read_text())
    counts = recorded["counts"]
    said = (
        f"Of the {recorded['cases']:,} node tests that onnx {recorded['environment']['onnx']} brings it passes "
        f"{counts['passed']} as they are and {counts['passed with constants']} more with shape operands given as "
        f"constants, refuses {counts['refused']} with a reason"
    )
    assert said in read_page("any_onnx.md")
    assert f"{counts['refused']} of onnx's {recorded['cases']:,} node tests" in read_page("limits.md")
    assert counts["wrong"] == 0


def test_table_of_gates_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)`[^|]*\| (\S+) \| (\S+) \| (\S+) \| (\S+) \|$", _judging(), re.MULTILINE)
    assert len(rows) == 4
    for name, *limits in rows:
        gate = GATES[name]
        assert [float(limit) for limit in limits] == [gate.max_abs, gate.p99_9, gate.psnr_db, gate.excess]


def _judging() -> str:
    return (DOCS / "judging.md").read_text(encoding="utf-8")


def test_every_command_has_a_row() -> None:
    rows = re.findall(r"^\| `ganport (\w+)", (DOCS / "commands.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(rows) == set(main.commands)


def test_every_make_target_for_people_is_told() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    said = read_page("commands.md")
    assert [name for name in phony.split() if f"`make {name}`" not in said and name not in ("lint", "clean")] == []


def test_pages_are_built_without_a_warning_and_need_no_other_origin(tmp_path: object) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: run `make docs`")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in DOC_PAGES:
        built = (ROOT / str(tmp_path) / f"{page.stem}.html").read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(?:https?:)?//', built) == []
