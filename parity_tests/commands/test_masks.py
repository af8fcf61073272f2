"""A mask is read by what its author drew, and what was read is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.convert import Conversion
from converters.errors import PhotoError
from converters.photos.image_files import read_photo
from converters.photos.marks import Reading, read_drawing, read_mask
from parity_tests.support.command import run_ganport
from parity_tests.support.mask_cases import CASES, DISC, SIZE, SOFT, WHITE_DISC, MaskCase, is_right

ORIENTATION = 0x0112


def write_photo(path: Path, size: tuple[int, int] = SIZE, orientation: int = 1) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(rgb).save(path, exif=exif)
    return path


@pytest.mark.parametrize("case", CASES, ids=str)
def test_hole_is_what_was_drawn(case: MaskCase, tmp_path: Path) -> None:
    photo = read_photo(write_photo(tmp_path / "photo.png"))
    marks = read_mask(case.write(tmp_path / "mask"), photo)
    assert is_right(marks.marked, case)
    assert any(case.said in note for note in marks.notes), marks.notes


@pytest.mark.parametrize("threshold", [0, 60, 200])
def test_threshold_decides_where_it_is_given(threshold: int, tmp_path: Path) -> None:
    photo = read_photo(write_photo(tmp_path / "photo.png"))
    Image.fromarray(SOFT).save(tmp_path / "mask.png")
    marks = read_mask(tmp_path / "mask.png", photo, Reading(threshold=threshold))
    assert np.array_equal(marks.marked, np.greater(SOFT, threshold))
    Image.fromarray(SOFT.astype(np.uint16) * 257).save(tmp_path / "wide.png")
    assert np.array_equal(read_mask(tmp_path / "wide.png", photo, Reading(threshold=threshold)).marked, marks.marked)


def test_inverted_mask_is_the_rest(tmp_path: Path) -> None:
    photo = read_photo(write_photo(tmp_path / "photo.png"))
    Image.fromarray(255 - WHITE_DISC).save(tmp_path / "mask.png")
    marks = read_mask(tmp_path / "mask.png", photo, Reading(invert=True))
    assert np.array_equal(marks.marked, DISC)
    assert not any("--invert" in note for note in marks.notes)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_mask_of_the_stored_size_is_turned_with_the_photo(orientation: int, tmp_path: Path) -> None:
    photo = read_photo(write_photo(tmp_path / "photo.jpg", orientation=orientation))
    Image.fromarray(WHITE_DISC).save(tmp_path / "mask.png")
    if photo.rgb.shape[:2] == SIZE:
        assert np.array_equal(read_mask(tmp_path / "mask.png", photo).marked, DISC)
        return
    marks = read_mask(tmp_path / "mask.png", photo)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(WHITE_DISC).save(tmp_path / "same.png", exif=exif)
    assert np.array_equal(marks.marked, read_mask(tmp_path / "same.png", photo).marked)
    assert any("it is turned with the photo" in note for note in marks.notes)


def test_mask_of_another_shape_is_not_scaled(tmp_path: Path) -> None:
    photo = read_photo(write_photo(tmp_path / "photo.png"))
    Image.fromarray(WHITE_DISC).resize((65, 48)).save(tmp_path / "half.png")
    Image.fromarray(WHITE_DISC).resize((65, 60)).save(tmp_path / "square.png")
    with pytest.raises(PhotoError, match="--resize-mask"):
        read_mask(tmp_path / "half.png", photo)
    marks = read_mask(tmp_path / "half.png", photo, Reading(resize=True))
    assert (marks.marked != DISC).mean() < 0.01
    assert any("scaled from 65x48 pixels" in note for note in marks.notes)
    with pytest.raises(PhotoError, match="it is 65x60 pixels, the photo 130x96: of another shape"):
        read_mask(tmp_path / "square.png", photo, Reading(resize=True))


def test_line_stays_a_line_in_a_jpeg_and_a_picture_is_no_drawing(tmp_path: Path) -> None:
    photo = read_photo(write_photo(tmp_path / "photo.png"))
    line = np.zeros(SIZE, np.uint8)
    line[48:50, 10:120] = 255
    Image.fromarray(line).save(tmp_path / "line.jpg", quality=75)
    marks = read_drawing(tmp_path / "line.jpg", photo)
    assert np.argwhere(marks.marked)[:, 0].min() >= 47
    assert np.argwhere(marks.marked)[:, 0].max() <= 50
    assert 0.8 < marks.marked.sum() / (line > 0).sum() < 1.25
    drawing = read_drawing(tmp_path / "photo.png", photo)
    assert any("this is much for lines" in note for note in drawing.notes)


def test_command_says_what_was_read(shipped_pipeline: Conversion, tmp_path: Path) -> None:
    write_photo(tmp_path / "photo.png")
    Image.fromarray(SOFT).save(tmp_path / "mask.png")
    args = ("inpaint", tmp_path / "photo.png", tmp_path / "mask.png", "--bundle", shipped_pipeline.bundle.folder)
    done = run_ganport(*args)
    assert f"{tmp_path / 'mask.png'}: the hole is {100 * (SOFT > 127).mean():.1f} % of the photo\n" in done.stderr
    assert (
        f"mask.png: it has {len(np.unique(SOFT))} levels, 0 to 255 of 255: those above 127.5 are marked" in done.stderr
    )
    facts = json.loads(run_ganport(*args, "--json", "--threshold", "10").stdout)
    assert list(facts["holes"]) == facts["written"] == [str(tmp_path / "photo-inpainted.png")]
    assert facts["holes"][facts["written"][0]] == pytest.approx((SOFT > 10).mean())
    assert any("levels above 10 of 255 are marked" in note for note in facts["notes"])
    facts = json.loads(run_ganport(*args, "--json", "--invert").stdout)
    assert facts["holes"][facts["written"][0]] > 0.9
