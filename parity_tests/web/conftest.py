"""A browser, and the page with a stand-in for the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from converters.bundle.folder import Bundle
from converters.convert import Settings, convert
from parity_tests.support.browser import Browser, Page, open_browser
from parity_tests.support.foreign_models import write_model
from parity_tests.support.web_page import BAD, READY, WHOLE_NUMBERS, require_chromium, serve, write_page


@pytest.fixture(scope="session")
def whole_numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a stand-in for a pipeline that computes in whole numbers; read only."""
    folder = tmp_path_factory.mktemp("whole")
    (conversion,) = convert([write_model(folder, WHOLE_NUMBERS)], Settings(("onnx",), folder), lambda step: None)
    return conversion.bundle.folder


@pytest.fixture(scope="session")
def convert_case(case_bundles: Callable[..., tuple[Path, Bundle]]) -> Callable[[str], Bundle]:
    """The bundle of an architecture's small seeded net, by its name, converted once; read only."""
    return lambda name: case_bundles(name)[1]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium for all tests; each test has tabs of its own, without what others kept."""
    require_chromium()
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="session")
def page_folder(browser: Browser, whole_numbers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its written page; read only."""
    return write_page(tmp_path_factory.mktemp("page") / "web", whole_numbers)


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Opens tabs; each is closed in the end."""
    pages: list[Page] = []

    def open_one(url: str, **options: object) -> Page:
        downloads = tmp_path / f"downloads{len(pages)}"
        downloads.mkdir()
        pages.append(Page(browser, downloads, **options))  # type: ignore[arg-type]
        pages[-1].open(url)
        return pages[-1]

    yield open_one
    for page in pages:
        page.close()


@pytest.fixture
def page(page_folder: Path, open_page: Callable[..., Page]) -> Iterator[Page]:
    """That page, ready, with the sample."""
    with serve(page_folder) as url:
        opened = open_page(url)
        opened.wait(READY, stop=BAD)
        yield opened
