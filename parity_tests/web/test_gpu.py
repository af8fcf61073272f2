"""The page on a graphics card: tried on the golden case before it is used, and left alone where it computes wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from consumers.write_consumer import GPU_FILES
from converters.bundle.folder import Bundle
from converters.files import hash_file
from converters.terminal.page_files import read_page_files
from parity_tests.support.browser import SOFT_GPU, Browser, Page, open_browser
from parity_tests.support.places import PHOTOS
from parity_tests.support.web_page import BAD, READY, read_picture, require_chromium, serve, write_page

SAVED = "!document.getElementById('download').disabled"
CHOSEN = "document.getElementById('gpu').checked"
OFFERED = "document.getElementById('gpu-label').checkVisibility()"
REFUSED = "document.getElementById('gpu-note').textContent !== ''"
# 8-bit levels: float arithmetic in another order may round a value near the middle between two levels either way.
MAX_LEVELS = 1


@pytest.fixture(scope="module")
def gpu_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium that computes a graphics card by itself."""
    require_chromium()
    with open_browser(tmp_path_factory.mktemp("profile"), SOFT_GPU) as browser:
        yield browser


@pytest.fixture
def cyclegan_page(convert_case: Callable[[str], Bundle], tmp_path: Path) -> Path:
    """The written page of a small float32 net, for a test to change."""
    require_chromium()
    return write_page(tmp_path / "page", convert_case("cyclegan-resnet").folder)


def open_ready(browser: Browser, url: str, folder: Path) -> Page:
    """The page with a small photo, as a processor that plays graphics card is slow; skips without a graphics card."""
    downloads = folder / "downloads"
    downloads.mkdir()
    page = Page(browser, downloads)
    page.open(url)
    if not page.run("navigator.gpu?.requestAdapter().then((adapter) => adapter !== null) ?? false"):
        page.close()
        pytest.skip("this browser gives no graphics card, nor SwiftShader in its place")
    photo = folder / "small.png"
    Image.open(PHOTOS / "chelsea.png").crop((100, 60, 196, 124)).save(photo)
    page.wait(READY, stop=BAD)
    page.wait(OFFERED)
    page.give_file("#file", photo)
    page.wait("document.getElementById('photo').width === 96")
    return page


def run(page: Page) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Press Run, wait, download."""
    page.click("#run")
    page.wait("document.getElementById('status').textContent.startsWith('Done') && " + SAVED, stop=BAD)
    return read_picture(page.download("#download"))


@pytest.mark.parametrize("name", ["cyclegan-resnet", "pix2pix-unet"])
def test_graphics_card_gives_the_same_picture(
    name: str, gpu_browser: Browser, convert_case: Callable[[str], Bundle], tmp_path: Path
) -> None:
    with serve(write_page(tmp_path / "page", convert_case(name).folder)) as url:
        page = open_ready(gpu_browser, url, tmp_path)
        assert not page.run(CHOSEN)
        expected = run(page)
        assert not any(GPU_FILES[0] in request for request in page.requests)
        page.click("#gpu")
        page.wait(READY, stop=f"{BAD} || {REFUSED}")
        actual = run(page)
        assert page.run(CHOSEN)
        assert not page.run(REFUSED)
        assert all(any(name in request for request in page.requests) for name in GPU_FILES)
        assert all(request.startswith((url, "blob:", "data:")) for request in page.requests)
        assert page.errors == []
        page.close()
    assert np.abs(actual.astype(int) - expected).max() <= MAX_LEVELS
    assert np.ptp(actual) > 0


def expect_refusal(page: Page, expected: str) -> None:
    """Choose the graphics card, see that it is refused so, and that the net runs without it."""
    page.click("#gpu")
    page.wait(REFUSED)
    assert page.run("document.getElementById('gpu-note').textContent").startswith(expected)
    page.wait(READY, stop=BAD)
    assert not page.run(CHOSEN)
    assert np.ptp(run(page)) > 0
    page.close()


def test_graphics_card_that_computes_wrongly_is_not_used(
    gpu_browser: Browser, cyclegan_page: Path, tmp_path: Path
) -> None:
    # One value of the golden case is made another: to the page, the card is what is wrong.
    model = cyclegan_page / "model"
    output = model / "golden" / "output_result.npy"
    array = np.load(output)
    array[0, 1, 2, 3] += 3e-5
    np.save(output, array)
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["files"]["golden/output_result.npy"]["sha256"] = hash_file(output)
    (model / "manifest.json").write_text(json.dumps(manifest))
    with serve(cyclegan_page) as url:
        page = open_ready(gpu_browser, url, tmp_path)
        expected = "The graphics card is not used: it computes this net wrongly (result: max abs error "
        expect_refusal(page, expected)


def test_wrong_convolution_of_the_runtime_is_found(
    gpu_browser: Browser, convert_case: Callable[[str], Bundle], tmp_path: Path
) -> None:
    # onnxruntime-web 1.30.0 computes convolutions wrongly whose groups have 5 or more outputs, but no multiple of 4:
    # that of deepfill-v2's patches has 9.
    with serve(write_page(tmp_path / "page", convert_case("deepfill-v2").folder)) as url:
        page = open_ready(gpu_browser, url, tmp_path)
        page.stroke([(0.4, 0.4), (0.6, 0.6)])
        expect_refusal(page, "The graphics card is not used: it computes this net wrongly (result: max abs error ")


def test_graphics_card_whose_runtime_is_missing_is_not_used(
    gpu_browser: Browser, cyclegan_page: Path, tmp_path: Path
) -> None:
    (cyclegan_page / "ort" / GPU_FILES[0]).unlink()
    with serve(cyclegan_page) as url:
        page = open_ready(gpu_browser, url, tmp_path)
        expect_refusal(page, "The graphics card is not used: the runtime cannot be loaded (")


def test_no_graphics_card_is_offered_where_there_is_none(cyclegan_page: Path, open_page: Callable[..., Page]) -> None:
    with serve(cyclegan_page) as url:
        page = open_page(url)
        page.wait(READY, stop=BAD)
        assert page.run("navigator.gpu?.requestAdapter().then((adapter) => adapter === null) ?? true")
        assert not page.run(OFFERED)


def test_no_graphics_card_is_offered_for_float64(gpu_browser: Browser, page_folder: Path, tmp_path: Path) -> None:
    with serve(page_folder) as url:
        page = Page(gpu_browser, tmp_path)
        page.open(url)
        page.wait(READY, stop=BAD)
        page.run("navigator.gpu?.requestAdapter().then(() => true)")
        assert not page.run(OFFERED)
        page.close()


def test_pages_hold_what_graphics_cards_need_for_float32_alone(cyclegan_page: Path, page_folder: Path) -> None:
    golden = {"golden/input_image.npy", "golden/output_result.npy"}
    assert all((cyclegan_page / "ort" / name).is_file() for name in GPU_FILES)
    assert {
        path.relative_to(cyclegan_page / "model").as_posix() for path in (cyclegan_page / "model").rglob("*.npy")
    } == golden
    assert not any((page_folder / "ort" / name).exists() for name in GPU_FILES)
    _, names, _, for_gpu = read_page_files(None)
    assert not for_gpu
    assert not any(name.endswith(".npy") for name in names)
