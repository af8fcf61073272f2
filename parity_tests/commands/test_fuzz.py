"""Damaged files and drawn names: a fixed draw of each, in a minute; `make fuzz` draws others, for hours."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from converters.bundle.folder import Bundle, read_bundle
from converters.convert import Conversion
from converters.errors import BundleError
from converters.onnx_graph.plain_names import plain_names
from converters.text import escape_controls, escape_markdown, format_code_span, format_literal
from parity_tests.support.mutations import damage_json
from parity_tests.support.places import ROOT

CASES = 20
DRAWN = settings(
    max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
NAMES = st.text() | st.text(alphabet="`|<>[]()*_#&!\\$~ \n\r\x1b\x9b\u2028\u202e-+.1a")
PAGE = MarkdownIt("commonmark", {"html": True}).enable("table")


def test_damaged_files_end_in_one_line_or_in_a_right_result(tmp_path: Path) -> None:
    """As benchmarks/mutations.py judges it; what nobody foresaw is a fault here too."""
    command = [sys.executable, "benchmarks/mutations.py", "--cases", str(CASES), "--seed", "7", "--jobs", "1"]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "counts.json")],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = json.loads((tmp_path / "counts.json").read_text())["kinds"]
    assert kinds.keys() == {"images", "ONNX files", "checkpoints", "bundles", "manifests"}
    for counts in kinds.values():
        assert counts["cases"] == CASES
        assert counts["faults"] == {}, done.stdout
        assert {"0", "1"} <= counts["exit_codes"].keys()  # or the damage is too much or too little


@DRAWN
@given(NAMES)
def test_any_name_is_one_harmless_line(name: str) -> None:
    line = escape_controls(name)
    assert len(line.splitlines()) <= 1
    assert re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", line) is None
    line.encode()


@DRAWN
@given(NAMES)
def test_any_name_is_shown_as_it_is_in_a_heading_a_cell_and_a_code_span(name: str) -> None:
    shown = " ".join(escape_controls(name).split())
    page = f"# a {escape_markdown(name)} b\n\n| c | d |\n| --- | --- |\n| {escape_markdown(name)} | e |\n"
    blocks = PAGE.parse(page)
    tokens = [token for block in blocks for token in (block, *(block.children or ()))]
    assert {token.type for token in tokens} <= {
        *("heading_open", "heading_close", "inline", "text", "text_special", "softbreak", "table_open", "table_close"),
        *("thead_open", "thead_close", "tbody_open", "tbody_close", "tr_open", "tr_close", "th_open", "th_close"),
        *("td_open", "td_close"),
    }
    inline = ["".join(part.content for part in block.children or ()) for block in blocks if block.type == "inline"]
    assert [" ".join(text.split()) for text in inline] == [f"a {shown} b".replace("  ", " "), "c", "d", shown, "e"]
    (span,) = PAGE.parseInline(format_code_span(name or "x"))[0].children or ()
    assert span.type == "code_inline"


@DRAWN
@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_name_is_a_literal_of_itself(name: str) -> None:
    literal = format_literal(name)
    assert ast.literal_eval(literal) == json.loads(literal) == name


@DRAWN
@given(st.lists(NAMES, unique=True))
def test_any_names_become_plain_and_stay_apart(names: list[str]) -> None:
    plain = plain_names(names)
    assert plain.keys() == set(names)
    assert len(set(plain.values())) == len(names)
    assert all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII) for name in plain.values())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@DRAWN
@given(damage=st.randoms(use_true_random=False), other=JSON)
def test_any_manifest_is_read_or_refused(
    damage: Any, other: Any, conversions: Mapping[str, Conversion], tmp_path_factory: pytest.TempPathFactory
) -> None:
    original = json.loads((conversions["edge"].bundle.folder / "manifest.json").read_text())
    folder = tmp_path_factory.getbasetemp() / "drawn"
    folder.mkdir(exist_ok=True)
    for manifest in (damage_json(original, damage), {**original, damage.choice(list(original)): other}, other):
        (folder / "manifest.json").write_text(json.dumps(manifest))
        try:
            read: object = read_bundle(folder)
        except BundleError as error:
            read = error
        assert isinstance(read, Bundle) or str(read).startswith(str(folder))
