"""The pages for people: README, what stands beside it, and docs/; their code blocks, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from parity_tests.support.places import ROOT

DOCS = ROOT / "docs"
DOC_PAGES = sorted(DOCS.glob("*.md"))
TOP_PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "ARCHITECTURE", "CHANGELOG")]
NOT_RUN = re.compile(r"<!-- not run: (\S.*) -->")


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        page: The file that it stands in.
        line: Of its first line, from 1.
        language: What stands behind the fence; "" for an indented block.
        text: The code.
        not_run: Why no test runs it, as the comment in the line before says; None if a test is to run it.
    """

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def parse(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def read_blocks(page: Path) -> list[Block]:
    """The code blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    lines = text.splitlines()
    blocks = []
    for token in parse(text):
        if token.type in ("fence", "code_block"):
            assert token.map is not None
            first = token.map[0]
            marked = NOT_RUN.fullmatch(lines[first - 1].strip()) if first else None
            blocks.append(Block(page, first + 1, token.info, token.content, marked and marked[1]))
    return blocks


def list_anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, of those that GitHub and mkdocs call the same."""
    tokens = parse(page.read_text(encoding="utf-8"))
    titles = [inline.content for opening, inline in pairwise(tokens) if opening.type == "heading_open"]
    return {slug for slug in map(_slug, titles) if "--" not in slug}


def _slug(title: str) -> str:
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())


def list_links(page: Path) -> Iterator[str]:
    """Where the links and pictures of a page point."""
    for token in parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            if child.type in ("link_open", "image"):
                yield str(child.attrs["href" if child.type == "link_open" else "src"])
