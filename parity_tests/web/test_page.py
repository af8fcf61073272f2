"""The page in headless Chromium: what a person draws and downloads is what ONNX Runtime in Python makes of it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.convert import Conversion
from converters.photos.crop import choose_crop
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


def draw(
    page: Page, tool: str, shares: list[tuple[float, float]], touch: bool = False, full_width: int | None = None
) -> dict[str, Any]:
    """Draw with a tool, at whole pixels of the screen; the stroke in pixels of the photo.

    Args:
        full_width: The photo's, where the page shows fewer pixels.
    """
    page.click(f"[value={tool}]")
    left, top, width, height = page.box("#stage")
    at = [(round(left + x * width), round(top + y * height)) for x, y in shares]
    page.stroke([((x - left) / width, (y - top) / height) for x, y in at], touch)
    scale = (full_width or page.run("document.getElementById('photo').width")) / width
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
    photo = PHOTOS / "chelsea.png"
    expected = expect(whole_numbers, photo, strokes)
    mask, edits = draw_marks(strokes, 481, 320)
    assert mask.any()
    assert set(np.unique(edits)) == {-1, 0, 1}
    np.testing.assert_array_equal(picture, expected)
    assert not np.array_equal(picture, read_picture(photo))
    assert page.errors == []
    assert all(request.startswith((url, "blob:", "data:")) for request in page.requests)
    assert any(request.endswith(".onnx") for request in page.requests)


def test_undo_redo_and_keys_change_what_is_run(page: Page, whole_numbers: Path) -> None:
    clear(page)
    first = draw(page, "hole", LINE)
    second = draw(page, "hole", SHORT)
    photo = PHOTOS / "chelsea.png"
    page.click("#undo")
    np.testing.assert_array_equal(read_picture(run(page)), expect(whole_numbers, photo, [first]))
    page.key("y")
    np.testing.assert_array_equal(read_picture(run(page)), expect(whole_numbers, photo, [first, second]))
    for key in ("z", "z", "z"):
        page.key(key)
    # The sample's own strokes are back: clearing is undone, too.
    sample = page.run("fetch('sample.json').then((answer) => answer.json())")["strokes"]
    np.testing.assert_array_equal(read_picture(run(page)), expect(whole_numbers, photo, sample))
    page.key("g")
    assert page.run("document.querySelector('[name=tool]:checked').value") == "draw"


def test_going_on_from_a_result_fills_the_next_hole_in_it(page: Page, whole_numbers: Path, tmp_path: Path) -> None:
    clear(page)
    draw(page, "hole", LINE)
    between = tmp_path / "between.png"
    Image.fromarray(read_picture(run(page))).save(between)
    page.click("#go-on")
    page.wait("document.getElementById('download').disabled")
    second = draw(page, "hole", SHORT)
    np.testing.assert_array_equal(read_picture(run(page)), expect(whole_numbers, between, [second]))


def read_color(page: Page) -> list[int]:
    """What the photo's canvas shows in the hole of LINE, once it is painted."""
    script = """new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
        const canvas = document.getElementById("photo");
        const [x, y] = [0.45 * canvas.width, 0.4 * canvas.height];
        done(Array.from(canvas.getContext("2d").getImageData(x, y, 1, 1).data));
    })))"""
    return [int(value) for value in page.run(script)]


def test_holding_shows_the_photo_before(page: Page) -> None:
    clear(page)
    before = read_color(page)
    draw(page, "hole", LINE)
    run(page)
    after = read_color(page)
    assert after != before
    left, top, width, height = page.box("#before")
    page.mouse("mousePressed", left + width / 2, top + height / 2, True)
    assert read_color(page) == before
    page.mouse("mouseReleased", left + width / 2, top + height / 2, False)
    assert read_color(page) == after
    page.key("b", up=False)
    assert read_color(page) == before


def choose(page: Page, way: str, photo: Path) -> None:
    """Give the page a photo, as a person does."""
    if way == "open":
        page.give_file("#file", photo)
    elif way == "drop":
        left, top, width, height = page.box("#stage")
        data = {"items": [], "files": [str(photo)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            page.send("Input.dispatchDragEvent", type=kind, x=left + width / 2, y=top + height / 2, data=data)
    else:
        text = base64.b64encode(photo.read_bytes()).decode()
        page.run(f"""(() => {{
            const bytes = Uint8Array.from(atob("{text}"), (character) => character.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "pasted.png", {{type: "image/png"}}));
            document.body.dispatchEvent(new ClipboardEvent("paste", {{clipboardData: data, bubbles: true}}));
        }})()""")


@pytest.mark.parametrize("way", ["open", "drop", "paste"])
def test_photo_is_opened_dropped_and_pasted(page: Page, whole_numbers: Path, way: str) -> None:
    photo = PHOTOS / "coffee.png"
    choose(page, way, photo)
    page.wait("document.getElementById('photo').width === 480")
    assert page.run("document.getElementById('run').disabled")
    stroke = draw(page, "hole", LINE)
    file = run(page)
    assert file.name == ("pasted-filled.png" if way == "paste" else "coffee-filled.png")
    np.testing.assert_array_equal(read_picture(file), expect(whole_numbers, photo, [stroke]))


def test_file_that_is_no_image_is_told_and_the_marks_stay(page: Page, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    choose(page, "open", bad)
    page.wait(BAD)
    assert page.status() == "bad.png is no image that this browser can read."
    assert not page.run("document.getElementById('clear').disabled")


@pytest.fixture
def large_photo(page: Page, tmp_path: Path) -> Path:
    """3000x2000 pixels of noise, where no pixel can be off by one without being seen; opened in the page."""
    path = tmp_path / "large.png"
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 3000, 3), np.uint8)
    Image.fromarray(pixels).save(path, compress_level=1)
    choose(page, "open", path)
    page.wait("document.getElementById('photo').width === 2048")
    return path


def test_small_hole_of_a_large_photo_is_filled_at_full_resolution(
    page: Page, whole_numbers: Path, large_photo: Path
) -> None:
    stroke = draw(page, "hole", [(0.5, 0.5), (0.52, 0.51)], full_width=3000)
    picture, pixels = read_picture(run(page)), read_picture(large_photo)
    mask, edits = draw_marks([stroke], 3000, 2000)
    crop = choose_crop(mask > 0, edits)  # the rule of `ganport inpaint`
    assert max(crop.size) <= 512
    expected = pixels.copy()
    crop.cut(expected)[:] = fill(whole_numbers, crop.cut(pixels), crop.cut(mask), crop.cut(edits))
    np.testing.assert_array_equal(picture, expected)


def test_large_hole_is_run_smaller_and_known_pixels_stay_bit_for_bit(page: Page, large_photo: Path) -> None:
    stroke = draw(page, "hole", [(0.1, 0.2), (0.9, 0.8)], full_width=3000)
    picture, pixels = read_picture(run(page)), read_picture(large_photo)
    mask, _ = draw_marks([stroke], 3000, 2000)
    np.testing.assert_array_equal(picture[mask == 0], pixels[mask == 0])
    # The stand-in paints a grey of 128, plus an eighth of the photo, whose noise is averaged when it is made smaller.
    assert abs(picture[mask > 0].mean() - (128 + 127.5 / 8)) < 2
    assert picture[mask > 0].std() < 8


def test_edges_are_shown_on_demand(page: Page) -> None:
    clear(page)
    draw(page, "hole", LINE)
    draw(page, "draw", SHORT)
    assert page.run("document.getElementById('show-edges').disabled")
    run(page)
    assert page.run("document.getElementById('edges').hidden")
    page.click("#show-edges")
    page.wait("!document.getElementById('edges').hidden")
    script = """(() => {
        const canvas = document.getElementById("edges");
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return data.some((value, i) => i % 4 === 0 && value > 200);
    })()"""
    assert page.run(script)


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
    np.testing.assert_array_equal(picture, expect(bundle, PHOTOS / "chelsea.png", strokes))
