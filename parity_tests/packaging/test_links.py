"""Links of the pages for people lead somewhere. Nothing is fetched."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from parity_tests.support.markdown_pages import DOC_PAGES, DOCS, TOP_PAGES, list_anchors, list_links
from parity_tests.support.places import ROOT

PAGES = pytest.mark.parametrize("page", [*TOP_PAGES, *DOC_PAGES], ids=lambda page: page.name)
# A path in back ticks, with a folder or a suffix: what CONTRIBUTING.md tells people to open.
PATH = re.compile(r"`((?:[\w.-]+/)*[\w-]+(?:\.(?:py|md|json|toml|yml|sh)|/))`")
# Where CONTRIBUTING.md looks for a path; every target that it speaks of has the files that tensorrt/ has.
BASES = (
    *(ROOT, ROOT / "converters", ROOT / "converters" / "parity", ROOT / "parity_tests" / "support"),
    *(ROOT / "converters" / "targets" / "onnx", ROOT / "converters" / "targets" / "tensorrt"),
)
# The net that its reader adds.
YOURS = "mynet"


def find_fault(page: Path, link: str) -> str:
    """What is wrong with a link; nothing if it leads somewhere."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        well_formed = parts.scheme in ("http", "https") and "." in parts.netloc and " " not in link
        return "" if well_formed else f"{page.name}: {link} is no address"
    target = page if not parts.path else (page.parent / parts.path).resolve()
    if not target.exists():
        return f"{page.name}: {link} does not exist"
    if page.parent == DOCS and not target.is_relative_to(DOCS):
        return f"{page.name}: {link} is not part of the built pages"
    if parts.fragment and parts.fragment not in list_anchors(target):
        return f"{page.name}: {link} names no heading of {target.name}"
    return ""


@PAGES
def test_every_link_and_picture_leads_somewhere(page: Path) -> None:
    assert [fault for link in list_links(page) if (fault := find_fault(page, link))] == []


@pytest.mark.parametrize(
    ("page", "link", "fault"),
    [
        ("README.md", "docs/nowhere.md", "does not exist"),
        ("README.md", "docs/judging.md#nothing", "names no heading"),
        ("docs/index.md", "../ARCHITECTURE.md", "is not part of the built pages"),
        ("docs/judging.md", "#no-such", "names no heading"),
        ("README.md", "https://nowhere", "is no address"),
        ("README.md", "ftp://example.org/", "is no address"),
        ("README.md", "https://example.org/page", ""),
        ("README.md", "docs/judging.md#ill-conditioned-items", ""),
    ],
)
def test_link_that_leads_nowhere_is_found(page: str, link: str, fault: str) -> None:
    found = find_fault(ROOT / page, link)
    assert fault in found
    assert bool(found) == bool(fault)


def test_pages_have_links_to_check() -> None:
    links = [link for page in (*TOP_PAGES, *DOC_PAGES) for link in list_links(page)]
    assert len(links) > 50
    assert [link for link in links if "#" in link]
    assert [link for link in links if link.endswith(".png")]


def test_contributing_names_files_that_exist() -> None:
    named = {name for name in PATH.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")) if YOURS not in name}
    assert len(named) > 20
    assert sorted(name for name in named if not any((base / name).exists() for base in BASES)) == []
