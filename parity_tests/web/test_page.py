"""The page in headless Chromium: what a person draws and downloads is what ONNX Runtime in Python makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.convert import Conversion
from parity_tests.support.browser import Page
from parity_tests.support.places import PHOTOS
from parity_tests.support.web_page import BAD, READY, draw_marks, fill, read_picture, serve, write_page

SAVED = "!document.getElementById('download').disabled"
PEN_WIDTH = 10
LINE = [(0.3, 0.35), (0.45, 0.4), (0.6, 0.33)]
SHORT = [(0.35, 0.3), (0.5, 0.45)]
Strokes = list[dict[str, Any]]


def clear(page: Page) -> None:
    """Take the sample's own marks away."""
    page.click("#clear")
    page.wait("document.getElementById('clear').disabled")


def draw(page: Page, tool: str, shares: list[tuple[float, float]], touch: bool = False) -> dict[str, Any]:
    """Draw with a tool, at whole pixels of the screen; the stroke in pixels of the photo."""
    page.click(f"[value={tool}]")
    left, top, width, height = page.box("#stage")
    at = [(round(left + x * width), round(top + y * height)) for x, y in shares]
    page.stroke([((x - left) / width, (y - top) / height) for x, y in at], touch)
    scale = page.run("document.getElementById('photo').width") / width
    slider = page.run("Number(document.getElementById('size').value)")
    size = (slider if tool in ("hole", "rub") else PEN_WIDTH) * scale
    return {"tool": tool, "size": size, "points": [p for x, y in at for p in ((x - left) * scale, (y - top) * scale)]}


def run(page: Page) -> Path:
    """Press Run, wait, download."""
    page.click("#run")
    page.wait("document.getElementById('status').textContent.startsWith('Done') && " + SAVED, stop=BAD)
    return page.download("#download")


def expect(bundle: Path, photo: Path, strokes: Strokes) -> np.ndarray[Any, Any]:
    """What Python makes of the same photo and strokes."""
    pixels = read_picture(photo)
    return fill(bundle, pixels, *draw_marks(strokes, pixels.shape[1], pixels.shape[0]))


@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("phone", [False, True])
def test_downloaded_picture_is_what_python_computes(
    page_folder: Path, whole_numbers: Path, open_page: Callable[..., Page], isolated: bool, phone: bool
) -> None:
    with serve(page_folder, isolated) as url:
        page = open_page(url, **({"size": (390, 800), "phone": True} if phone else {}))
        page.wait(READY, stop=BAD)
        assert page.run("crossOriginIsolated") is isolated
        clear(page)
        strokes = [draw(page, "hole", LINE, touch=phone), draw(page, "draw", SHORT, phone)]
        strokes += [draw(page, "erase", [(0.7, 0.2), (0.8, 0.6)], phone), draw(page, "rub", [(0.44, 0.3)] * 2, phone)]
        picture = read_picture(run(page))
        assert page.run("document.documentElement.dataset.threads > 1") is isolated
    photo = PHOTOS / "coffee.png"
    expected = expect(whole_numbers, photo, strokes)
    mask, edits = draw_marks(strokes, 480, 320)
    assert mask.any()
    assert set(np.unique(edits)) == {-1, 0, 1}
    np.testing.assert_array_equal(picture, expected)
    assert not np.array_equal(picture, read_picture(photo))
    assert page.errors == []
    assert all(request.startswith((url, "blob:", "data:")) for request in page.requests)
    assert any(request.endswith(".onnx") for request in page.requests)


def test_picture_is_lossless_where_nothing_is_filled(page: Page) -> None:
    picture = read_picture(run(page))
    with Image.open(PHOTOS / "coffee.png") as opened:
        photo = np.asarray(opened.convert("RGB"))
    share = (picture != photo).any(axis=2).mean()
    assert 0 < share < 0.1


def test_shipped_pair_gives_the_bits_that_it_gives_in_python(
    shipped_pipeline: Conversion, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    bundle = shipped_pipeline.bundle.folder
    with serve(write_page(tmp_path / "page", bundle)) as url:
        page = open_page(url)
        page.wait(READY, stop=BAD)
        clear(page)
        strokes = [draw(page, "hole", LINE), draw(page, "draw", SHORT), draw(page, "erase", [(0.4, 0.2), (0.5, 0.5)])]
        picture = read_picture(run(page))
    np.testing.assert_array_equal(picture, expect(bundle, PHOTOS / "coffee.png", strokes))
