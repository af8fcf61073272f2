"""Names that other people chose act on nobody's terminal, and become no code, HTML or heading in what is written."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image

from converters.convert import Conversion
from converters.targets.proven import Support
from converters.terminal.progress import show_progress
from converters.terminal.tables import print_support
from converters.text import escape_controls, escape_markdown, format_code_span, format_literal
from parity_tests.support.command import require_refusal, rewrite_hashes, run_ganport
from parity_tests.support.foreign_models import TABLE, make_model, rename, write_model
from parity_tests.support.places import ROOT

# Clears the screen, renames the terminal's window, forges a line of ours, turns the writing direction, starts markup.
EVIL = "\x1b[2J\x1b]0;mine\x07\nganport: passed\r\x9b31m\u202e\u2028[/x]"
SHOWN = r"\x1b[2J\x1b]0;mine\x07\nganport: passed\r\x9b31m\u202e\u2028[/x]"
ACTING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
# A file name that closes a string, a code span, a cell, a comment and a tag, and calls a function.
NASTY = """a"+print("pwned")+"`|<b>x<!--*)'$(id)'[y](z)"""


def require_harmless(text: str) -> None:
    assert ACTING.search(text) is None
    assert not any(line.startswith("ganport: passed") for line in text.splitlines())


def test_one_line_comes_of_any_text_and_letters_of_every_script_stay() -> None:
    assert escape_controls(EVIL) == SHOWN
    assert escape_controls("\udcff") == r"\udcff"
    for kept in (
        "photo\u3000\u00e9\u4e2d.png",
        "screen shot 10.00\u202fAM",
        "\U0001f469\u200d\U0001f680",
        "a_b [1] \\",
    ):
        assert escape_controls(kept) == kept


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<img src=x>", r"\<img src=x>"),
        ("[y](z) [1]", r"[y\](z) [1]"),
        ("`c` *i* _i_ a_b", r"\`c\` \*i\* \_i\_ a_b"),
        ("# h", r"\# h"),
        ("1. x", r"1\. x"),
        ("1-2", "1-2"),
        ("> q", r"\> q"),
        ("&lt; & &#60;", r"\&lt; & \&#60;"),
        ("a\n# b", r"a\\n# b"),
    ],
)
def test_markdown_shows_the_text_itself(text: str, shown: str) -> None:
    assert escape_markdown(text) == shown


def test_code_span_ends_where_the_text_does() -> None:
    spans = {"a": "`a`", "a`b": "``a`b``", "``": "``` `` ```", "a\nb": r"`a\nb`"}
    assert {text: format_code_span(text) for text in spans} == spans


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb", "\U0001f469", "\u00e9", NASTY])
def test_literal_is_read_as_the_text_by_python_and_json(text: str) -> None:
    assert ast.literal_eval(format_literal(text)) == json.loads(format_literal(text)) == text


# ---- the terminal


def test_only_one_module_prints() -> None:
    """So that nothing reaches the terminal but through it; rich's tables and progress get escaped text."""
    printing = re.compile(r"click\.s?echo\(|(?<!\.)\bprint\(|sys\.std(out|err)\.write")
    modules = [ROOT / "cli.py", *(ROOT / "converters").rglob("*.py"), *(ROOT / "reference").rglob("*.py")]
    assert [path.name for path in modules if printing.search(path.read_text())] == [
        "output.py",
        "readme.py",
        "readme.py",
        "readme.py",
    ]


def test_names_in_an_onnx_file_do_not_act_on_the_terminal(tmp_path: Path) -> None:
    model = rename(make_model(17, "y = Relu(x)", signature=TABLE), {"x": f"x{EVIL}"})
    model.producer_name = EVIL
    model.metadata_props.add(key=EVIL, value=EVIL)
    path = write_model(tmp_path, model)
    inspected = run_ganport("inspect", path)
    assert inspected.exit_code == 0
    assert f"  producer: {SHOWN}" in inspected.stdout.splitlines()
    require_harmless(inspected.stdout)
    model.graph.node[0].domain = EVIL
    refused = run_ganport("convert", write_model(tmp_path, model), "--to", "onnx", "-o", tmp_path / "out")
    require_refusal(refused, f"its domain is '{SHOWN}'")
    require_harmless(refused.stderr)


def test_manifest_does_not_act_on_the_terminal(conversions: Mapping[str, Conversion], tmp_path: Path) -> None:
    folder = shutil.copytree(conversions["edge"].bundle.folder, tmp_path / "edgeconnect-edge")

    def require_said(change: Mapping[str, Any], command: str, exit_code: int) -> str:
        path = folder / "manifest.json"
        text = path.read_text()
        path.write_text(json.dumps({**json.loads(text), **change}))
        rewrite_hashes(folder)
        result = run_ganport(*command.split(), folder)
        assert result.exit_code == exit_code, result.stderr
        path.write_text(text)
        require_harmless(result.stdout + result.stderr)
        return result.stdout + result.stderr

    artifact = json.loads((folder / "manifest.json").read_text())["artifacts"][0]
    assert SHOWN in require_said({"name": EVIL}, "inspect", 0)
    assert SHOWN in require_said({"artifacts": [{**artifact, "target": EVIL}]}, "verify", 1)
    assert SHOWN in require_said({"artifacts": [{**artifact, "files": [EVIL]}]}, "verify", 1)
    require_said({"name": EVIL}, "bench --runs 1 --size 32x32", 0)


def test_checkpoint_key_does_not_act_on_the_terminal(tmp_path: Path) -> None:
    import torch

    torch.save({f"a{EVIL}": "text"}, tmp_path / "net.pth")
    result = run_ganport("inspect", tmp_path / "net.pth")
    require_refusal(result, SHOWN)
    require_harmless(result.stderr)


def test_photo_of_a_folder_does_not_act_on_the_terminal(tmp_path: Path) -> None:
    for kind in ("photos", "masks"):
        (tmp_path / kind).mkdir()
    name = f"a{EVIL.replace('/', '')}.png"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "photos" / name)
    result = run_ganport("inpaint", tmp_path / "photos", tmp_path / "masks")
    require_refusal(result, r"\x1b[2J")
    require_harmless(result.stderr)


def test_option_does_not_act_on_the_terminal(tmp_path: Path) -> None:
    for args in (("bench", "x", "--size", EVIL), ("convert", "--to", EVIL), (EVIL,), ("verify", "x", EVIL)):
        result = run_ganport(*args)
        assert result.exit_code == 2
        assert r"\x1b[2J" in result.stderr
        require_harmless(result.stderr)


def test_brackets_are_text_and_no_markup(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    print_support([Support("a[/x]", EVIL, "[bold]b", "yes", None)])
    said = capsys.readouterr().out
    assert "a[/x]" in said
    assert "[bold]b" in said
    require_harmless(said)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with show_progress() as report_progress:
        report_progress(f"reading a[/x]{EVIL}")


def test_file_name_that_the_terminal_cannot_spell_is_printed_all_the_same(tmp_path: Path) -> None:
    name = b"a\xff.png"
    for kind in ("photos", "masks"):
        (tmp_path / kind).mkdir()
    Path(str(tmp_path / "photos").encode().decode() + "/" + name.decode("utf-8", "surrogateescape")).write_bytes(b"")
    command = [sys.executable, "-m", "cli", "inpaint", tmp_path / "photos", tmp_path / "masks"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert r"a\udcff.png: no mask of that name is in" in done.stderr


# ---- what is written


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of an ONNX file with a name, and names in it, that are none of the usual."""
    folder = tmp_path_factory.mktemp("nasty")
    model = rename(
        make_model(17, "y = Relu(x)", signature="(float[N, 3, H, W] x) => (float[N, 3, H, W] y)"), {"x": NASTY}
    )
    for value in (*model.graph.input, *model.graph.output):
        for axis in (2, 3):
            value.type.tensor_type.shape.dim[axis].dim_param = f"{axis}|<i>`# b"
    model.metadata_props.add(key="kind", value="bundle")
    model.metadata_props.add(key="ganport.tuning", value='{"kind": "bundle", "sha256": "0"}')
    path = write_model(folder, model, NASTY)
    done = run_ganport("convert", path, "--to", "onnx,mxnet,wolfram", "-o", folder / "out")
    assert done.exit_code == 0, done.stderr
    (bundle,) = (folder / "out").iterdir()
    return bundle


def list_tokens(page: Path) -> list[Token]:
    """What a page's Markdown is made of, inline parts too, as GitHub reads it."""
    blocks = MarkdownIt("commonmark", {"html": True}).enable("table").parse(page.read_text())
    return [token for block in blocks for token in (block, *(block.children or ()))]


def test_pages_hold_their_own_headings_and_no_html_and_no_link(nasty: Path) -> None:
    headings = {
        "README.md": [
            *(NASTY, "Contract", "What was proven", "Run the ONNX file", "Run the MXNet pair"),
            *("Build the net in Mathematica", "Verify", "Licence"),
        ],
        "parity.md": ["Parity", "import", "simplify", "onnx", "mxnet", "Inputs"],
        "cpp/README.md": [f"{NASTY} in C++", "ONNX Runtime", "OpenVINO", "MXNet 1.9.1", "In your own program"],
    }
    for page, expected in headings.items():
        tokens = list_tokens(nasty / page)
        assert {token.type for token in tokens} & {"html_inline", "html_block", "link_open", "image"} == set(), page
        titles = [tokens[i + 1] for i, token in enumerate(tokens) if token.type == "heading_open"]
        assert ["".join(part.content for part in title.children or ()) for title in titles] == expected


def test_cells_of_tables_show_names_as_they_are(nasty: Path) -> None:
    rows = (nasty / "README.md").read_text().splitlines()
    (row,) = (row for row in rows if row.startswith("| in "))
    assert len(re.findall(r"(?<!\\)\|", row)) == 7
    cells = [token.content for token in list_tokens(nasty / "README.md") if token.type in ("text", "text_special")]
    assert "2|<i>`# b, 3|<i>`# b" in "".join(cells)


def test_snippets_of_the_readme_load_the_file_of_that_name_and_run_nothing_else(nasty: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", (nasty / "README.md").read_text(), re.S)
    assert len(snippets) == 2
    for snippet in snippets:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", snippet], check=False, capture_output=True, text=True, cwd=nasty
        )
        assert done.returncode == 0, done.stderr
        assert "pwned" not in done.stdout
        assert re.fullmatch(r"y \(1, 3, 64, 64\) 0\.0\n", done.stdout), done.stdout


def test_facts_stand_apart_from_what_a_file_says_of_itself(nasty: Path, tmp_path: Path) -> None:
    facts = json.loads(run_ganport("inspect", nasty.parent.parent / f"{NASTY}.onnx", "--json").stdout)
    assert facts["kind"] == "onnx"
    assert len(facts["sha256"]) == 64
    assert facts["claims"]["metadata"] == {"kind": "bundle"}
    assert facts["claims"]["tuning"] == {"kind": "bundle", "sha256": "0"}
    lines = run_ganport("inspect", nasty.parent.parent / f"{NASTY}.onnx").stdout.splitlines()
    start = lines.index("claims (what it says of itself; nothing of it was checked):")
    assert all(line.startswith("  ") for line in lines[start + 1 :])
    assert "kind: onnx" in lines[:start]
    manifest = json.loads((nasty / "manifest.json").read_text())
    folder = shutil.copytree(nasty, tmp_path / "copy")
    (folder / "manifest.json").write_text(json.dumps({**manifest, "kind": "checkpoint"}))
    facts = json.loads(run_ganport("inspect", folder, "--json").stdout)
    assert (facts["kind"], facts["claims"]["name"]) == ("bundle", NASTY)
