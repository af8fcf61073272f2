"""Of a large photo the nets get the hole with what is around it; what does not fit into memory is refused at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.inpaint import BYTES_PER_PIXEL
from converters.photos.crop import LEAST_CONTEXT, WHOLE_PIXELS, Crop, choose_crop
from converters.runners import OnnxRunner
from parity_tests.support.command import run_ganport
from parity_tests.support.foreign_models import GREY

SIZE = (1100, 1500)  # a little more than WHOLE_PIXELS
HOLE = (slice(500, 540), slice(700, 790))


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the photos that the runner is given."""
    shapes: list[tuple[int, ...]] = []
    run = OnnxRunner.run

    def note(self: OnnxRunner, feeds: Any) -> Any:
        shapes.append(feeds["photo"].shape)
        return run(self, feeds)

    monkeypatch.setattr(OnnxRunner, "run", note)
    return shapes


def write(folder: Path, hole: tuple[slice, slice] | None) -> tuple[Path, Path, Any]:
    """Photo, mask, and the photo's pixels, none of which is the grey that the hole is painted with."""
    rgb = np.random.default_rng(0).integers(0, GREY, (*SIZE, 3), np.uint8)
    mask = np.zeros(SIZE, np.uint8)
    if hole is not None:
        mask[hole] = 255
    Image.fromarray(rgb).save(folder / "photo.png", compress_level=1)
    Image.fromarray(mask).save(folder / "mask.png")
    return folder / "photo.png", folder / "mask.png", rgb


def test_hole_of_a_large_photo_is_filled_and_everything_else_stays(
    grey_pipeline: Path, given: list[tuple[int, ...]], tmp_path: Path
) -> None:
    photo, mask, rgb = write(tmp_path, HOLE)
    edges = tmp_path / "edges.png"
    done = run_ganport("inpaint", photo, mask, "--bundle", grey_pipeline, "--edges-out", edges, "--draw", mask)
    assert done.exit_code == 0, done.stderr
    assert f"{photo}: the nets get 346x296 of its 1500x1100 pixels, around the hole\n" in done.stderr
    assert given == [(1, 40 + 2 * LEAST_CONTEXT, 90 + 2 * LEAST_CONTEXT, 3)]
    with Image.open(tmp_path / "photo-inpainted.png") as written, Image.open(edges) as lines:
        expected = rgb.copy()
        expected[HOLE] = GREY
        assert np.array_equal(np.asarray(written), expected)
        assert np.array_equal(np.asarray(lines) > 0, (expected == GREY).all(axis=2))


def test_large_photo_without_a_hole_comes_back_as_it_is(
    grey_pipeline: Path, given: list[tuple[int, ...]], tmp_path: Path
) -> None:
    photo, mask, rgb = write(tmp_path, None)
    done = run_ganport("inpaint", photo, mask, "--bundle", grey_pipeline)
    assert done.exit_code == 0, done.stderr
    assert given == [(1, LEAST_CONTEXT, LEAST_CONTEXT, 3)]
    with Image.open(tmp_path / "photo-inpainted.png") as written:
        assert np.array_equal(np.asarray(written), rgb)


def test_hole_that_does_not_fit_into_memory_is_refused_with_the_figures(
    grey_pipeline: Path, given: list[tuple[int, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, mask, _ = write(tmp_path, (slice(0, 1100), slice(0, 750)))
    needed = 1100 * (750 + 550) * BYTES_PER_PIXEL
    monkeypatch.setattr("converters.inpaint.memory_of_machine", lambda: needed - 1)
    done = run_ganport("inpaint", photo, mask, "--bundle", grey_pipeline, "--json")
    assert done.exit_code == 1
    assert "its hole and what is around it are 1300x1100 pixels, for which the nets need about 1.3 GiB" in done.stderr
    assert "Scale photo and mask down, or fill the hole part by part." in done.stderr
    assert given == []
    monkeypatch.setattr("converters.inpaint.memory_of_machine", lambda: needed)
    done = run_ganport("inpaint", photo, mask, "--bundle", grey_pipeline, "--json")
    assert len(json.loads(done.stdout)["written"]) == 1


def test_crop_holds_hole_and_edits_and_keeps_to_the_picture() -> None:
    hole, edits = np.zeros((2000, 2000), bool), np.zeros((2000, 2000), np.int8)
    hole[3:900, 50:60] = True
    assert choose_crop(hole, edits) == Crop(0, 899 + 1 + 448, 0, 59 + 1 + 448)
    edits[1999, 1000] = -1
    assert choose_crop(hole, edits) == Crop(0, 2000, 0, 1999)
    assert choose_crop(np.zeros((12, WHOLE_PIXELS), bool), np.zeros((12, WHOLE_PIXELS))) == Crop(
        0, 12, 0, LEAST_CONTEXT
    )
    small = np.ones((1000, WHOLE_PIXELS // 1000), bool)
    assert choose_crop(small, small * 0) == Crop(0, 1000, 0, WHOLE_PIXELS // 1000)
