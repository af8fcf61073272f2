"""Who sees little, or has a keyboard only: sizes and contrasts of the text, names of the controls, the way by Tab."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path

import pytest

from parity_tests.support.browser import Page
from parity_tests.support.web_page import BAD, READY, serve

SAVED = "!document.getElementById('download').disabled"
# Seconds without any news of the browser.
PATIENCE = 30
# CSS pixels.
LEAST_TEXT = 14
# WCAG 2.2, level AA: text of less than 24 pixels.
LEAST_CONTRAST = 4.5
# Roles, as Chromium's accessibility tree names them, of all that a person can use or wait for.
CONTROLS = {"button", "checkbox", "combobox", "DisclosureTriangle", "progressbar", "radio", "slider"}
# Hidden text counts, too: some of it comes in other states. Size by element.
TEXT_SIZES = """Object.fromEntries(Array.from(document.querySelectorAll("body, body *"))
    .filter((e) => Array.from(e.childNodes).some((node) => node.nodeType === 3 && node.data.trim()))
    .map((e) => [`${e.tagName} ${e.textContent.trim()}`, parseFloat(getComputedStyle(e).fontSize)]))"""
# Each text that is seen and can be used, with its contrast to what is behind it.
CONTRASTS = """(() => {
    const read = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = (color) => {
        const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = read(color).map((v) => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (e) => {
        const color = getComputedStyle(e).backgroundColor;
        return read(color)[3] === 0 ? behind(e.parentElement) : color;
    };
    return Object.fromEntries(Array.from(document.querySelectorAll("body *"))
        .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest(":disabled"))
        .filter((e) => Array.from(e.childNodes).some((node) => node.nodeType === 3 && node.data.trim()))
        .map((e) => {
            const [a, b] = [luminance(getComputedStyle(e).color), luminance(behind(e))];
            return [`${e.tagName} ${e.textContent.trim()}`, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
        }));
})()"""
# What has the focus, and whether that is seen on it or on the label that stands for it.
FOCUS = """(() => {
    const e = document.activeElement;
    const outlines = [e, ...(e.labels ?? [])].map((shown) => getComputedStyle(shown));
    return [e.id || e.value || e.tagName, outlines.some((s) => s.outlineStyle === "solid" && s.outlineWidth === "3px")];
})()"""


# Keys that the browser itself acts on: the protocol's number, and the text that they type.
NUMBERS = {"Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " ")}


def press(page: Page, key: str, down: bool = True, up: bool = True) -> None:
    """Press and let go a key."""
    number, text = NUMBERS[key]
    for kind in [*(["keyDown"] if down else []), *(["keyUp"] if up else [])]:
        typed = text if kind == "keyDown" else ""
        page.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=number, text=typed)


def go_to_top(page: Page) -> None:
    """The next Tab reaches what comes first on the page."""
    page.run("document.getElementById('title').tabIndex = -1")
    page.run("document.getElementById('title').focus()")


def walk(page: Page) -> list[str]:
    """All that Tab reaches, from the top of the page to its end; each must be seen to have the focus."""
    reached: list[str] = []
    go_to_top(page)
    while True:
        press(page, "Tab")
        name, is_seen = page.run(FOCUS)
        if name == "BODY" or name in reached:
            return reached
        assert is_seen, name
        reached.append(name)


@pytest.mark.parametrize("phone", [False, True])
def test_no_text_is_small(page_folder: Path, open_page: Callable[..., Page], phone: bool) -> None:
    with serve(page_folder) as url:
        page = open_page(url, **({"size": (390, 844), "phone": True} if phone else {}))
        page.wait(READY, stop=BAD)
        sizes = page.run(TEXT_SIZES)
    assert len(sizes) > 30
    assert {name: size for name, size in sizes.items() if size < LEAST_TEXT} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(page: Page, tmp_path: Path, scheme: str) -> None:
    page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.run("document.querySelector('details').open = true")
    page.click("#run")
    page.wait(SAVED, stop=BAD)
    contrasts = page.run(CONTRASTS)
    (tmp_path / "bad.png").write_bytes(b"no image")
    page.give_file("#file", tmp_path / "bad.png")
    page.wait(BAD)
    contrasts |= page.run(CONTRASTS)
    assert len(contrasts) > 30
    assert "P bad.png is no image that this browser can read." in contrasts
    assert {name: contrast for name, contrast in contrasts.items() if contrast < LEAST_CONTRAST} == {}


def test_every_control_has_a_name(page: Page) -> None:
    nodes = [node for node in page.send("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    names = [node["name"]["value"] for node in nodes if node["role"]["value"] in CONTROLS]
    # The progress bar is not there while nothing is done.
    there = "Array.from(document.querySelectorAll('button, input, select, summary')).filter((e) => e.checkVisibility())"
    assert len(names) == page.run(f"{there}.length")
    assert all(names)


def go_to(page: Page, name: str) -> None:
    """Tab to a control."""
    go_to_top(page)
    while page.run(FOCUS)[0] != name:
        press(page, "Tab")


def test_keyboard_alone_is_enough_to_run_and_to_compare(page: Page) -> None:
    assert walk(page) == ["run", "file", "hole", "size", "undo", "clear", "limit", "SUMMARY"]
    go_to(page, "run")
    press(page, "Enter")
    page.wait(SAVED, stop=BAD)
    assert walk(page) == [
        *("run", "file", "hole", "size", "undo", "clear"),
        *("before", "go-on", "download", "show-edges", "limit", "SUMMARY"),
    ]
    go_to(page, "show-edges")
    press(page, " ")
    page.wait("!document.getElementById('edges').hidden")
    # The photo as it was has no edges of the net's on it.
    go_to(page, "before")
    press(page, " ", up=False)
    page.wait("document.getElementById('edges').hidden")
    press(page, " ", down=False)
    page.wait("!document.getElementById('edges').hidden")


@pytest.mark.parametrize("key", ["Enter", " "])
def test_keyboard_opens_a_photo_where_the_focus_is_on_that(page: Page, key: str) -> None:
    heard: queue.Queue[str] = queue.Queue()
    page.browser.listeners.append(lambda message: heard.put(message["method"]))
    page.send("Page.setInterceptFileChooserDialog", enabled=True)
    go_to(page, "file")
    press(page, key)
    while heard.get(timeout=PATIENCE) != "Page.fileChooserOpened":
        pass
    page.browser.listeners.pop()
    assert page.status() == "Ready. Press Run."
