"""Pictures of the page for browsers in its states, and how long its steps take: light, dark, phone.

    python benchmarks/page_pictures.py BUNDLE FOLDER

Needs what `make build/web/tests.stamp` fetches. Writes JPEG files and page.json into FOLDER.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from parity_tests.support.browser import Browser, Page, open_browser
from parity_tests.support.web_page import BAD, READY, serve, write_page

SAVED = "!document.getElementById('download').disabled"
# Name, width and height, phone, dark.
STATES = (("light", (1280, 900), False, False), ("dark", (1280, 900), False, True), ("phone", (390, 844), True, False))
# Frame gaps, in ms, from now on; text below 14 px, and what sticks out of the window.
WATCH = """(() => {
    globalThis.gaps = [];
    let last = performance.now();
    const tick = (now) => { globalThis.gaps.push(now - last); last = now; requestAnimationFrame(tick); };
    requestAnimationFrame(tick);
})()"""
FAULTS = """Array.from(document.querySelectorAll("body *")).filter((e) => e.checkVisibility()).flatMap((e) => {
    const box = e.getBoundingClientRect();
    const hasText = Array.from(e.childNodes).some((n) => n.nodeType === 3 && n.textContent.trim());
    return [
        ...(hasText && parseFloat(getComputedStyle(e).fontSize) < 14 ? [`small text: ${e.tagName} ${e.id}`] : []),
        ...(box.right > innerWidth + 1 || box.left < -1 ? [`out of the window: ${e.tagName} ${e.id}`] : []),
    ];
})"""


def take(browser: Browser, url: str, folder: Path, state: tuple[str, tuple[int, int], bool, bool]) -> dict[str, object]:
    """Pictures of one state before and after a run, and what was measured."""
    name, size, phone, dark = state
    with tempfile.TemporaryDirectory() as downloads:
        page = Page(browser, Path(downloads), size, phone)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        page.send("Emulation.setEmulatedMedia", features=features)
        began = time.monotonic()
        page.open(url)
        page.wait(READY, stop=BAD)
        ready_s = time.monotonic() - began
        page.click("[value=draw]")
        page.stroke([(0.62, 0.2), (0.7, 0.4), (0.8, 0.5)])
        page.click("[value=erase]")
        page.stroke([(0.2, 0.55), (0.3, 0.7)])
        page.run("scrollTo(0, 0)")
        page.screenshot(folder / f"page_{name}_marks.jpg")
        heights = [page.run("document.documentElement.scrollHeight")]
        page.run(WATCH)
        page.click("#run")
        page.wait(SAVED, stop=BAD)
        result_s = time.monotonic() - began
        gap_ms = page.run("Math.max(...gaps)")
        page.run("scrollTo(0, 0)")
        page.screenshot(folder / f"page_{name}_result.jpg")
        page.click("#show-edges")
        page.run("scrollTo(0, 0)")
        heights.append(page.run("document.documentElement.scrollHeight"))
        measured = {
            "ready_s": round(ready_s, 1),
            "first_result_s": round(result_s, 1),
            "longest_frame_gap_ms": round(gap_ms),
            "run": page.status(),
            "page_heights": heights,
            "faults": page.run(FAULTS),
            "errors": page.errors,
        }
        page.close()
    return measured


def main() -> None:
    """Write the pictures and the measurements."""
    bundle, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        written = write_page(Path(scratch) / "page", bundle)
        with serve(written) as url, open_browser(Path(scratch) / "profile") as browser:
            measured = {state[0]: take(browser, url, folder, state) for state in STATES}
    facts = {"load_average": os.getloadavg()[0], "cores": os.cpu_count(), **measured}
    (folder / "page.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
