"""Folders and files as people have them: Thumbs.db, many photos, an interrupt, animated files, profiles for print."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

import converters.terminal.fill_photos
from converters.inpaint import Outcome
from converters.photos.image_files import read_photo, write_photo
from converters.photos.matching import match_names
from parity_tests.support.command import run_ganport

SIZE = (24, 30)
RGB = np.random.default_rng(0).integers(0, 120, (*SIZE, 3), np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three photos and their masks."""
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    for folder in (photos, masks):
        folder.mkdir()
    for name in "abc":
        Image.fromarray(RGB).save(photos / f"{name}.png")
        Image.fromarray(np.eye(*SIZE, dtype=np.uint8)).save(masks / f"{name}.png")
    return photos, masks


def test_file_that_is_no_image_is_left_out_and_said(folders: tuple[Path, Path], grey_pipeline: Path) -> None:
    photos, masks = folders
    (photos / "Thumbs.db").write_bytes(b"\xd0\xcf")
    done = run_ganport("inpaint", photos, masks, "--bundle", grey_pipeline)
    assert done.exit_code == 0, done.stderr
    assert f"{photos / 'Thumbs.db'}: no image by its suffix: left out\n" in done.stderr
    assert len(done.stdout.splitlines()) == 3


def test_results_that_are_there_are_skipped_if_asked(folders: tuple[Path, Path], grey_pipeline: Path) -> None:
    photos, masks = folders
    args = ("inpaint", photos, masks, "--bundle", grey_pipeline, "--skip-existing", "--json")
    out = photos.with_name("photos-inpainted")
    out.mkdir()
    (out / "b.png").write_text("mine")
    facts = json.loads(run_ganport(*args).stdout)
    assert facts["written"] == [str(out / "a.png"), str(out / "c.png")]
    assert facts["skipped"] == [str(out / "b.png")]
    assert (out / "b.png").read_text() == "mine"
    facts = json.loads(run_ganport(*args).stdout)
    assert (facts["written"], len(facts["skipped"])) == ([], 3)
    result = run_ganport("inpaint", photos / "a.png", masks / "a.png", "--skip-existing")
    assert result.exit_code == 2


def test_what_is_done_is_told_after_an_interrupt(
    folders: tuple[Path, Path], grey_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, masks = folders
    run = converters.terminal.fill_photos.run_on_workers

    def interrupt_at_c(*args: Any) -> Iterator[Outcome]:
        for outcome in run(*args):
            if outcome.job.photo.name == "c.png":
                raise KeyboardInterrupt
            yield outcome

    monkeypatch.setattr("converters.terminal.fill_photos.run_on_workers", interrupt_at_c)
    done = run_ganport("inpaint", photos, masks, "--bundle", grey_pipeline, "--workers", "1")
    assert done.exit_code == 130
    assert done.stdout.splitlines() == [str(photos.with_name("photos-inpainted") / name) for name in ("a.png", "b.png")]
    assert done.stderr.endswith("ganport: interrupted\n")


def test_folder_of_masks_is_listed_once(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    photos, masks = folders
    listed: list[Path] = []
    list_folder: Callable[[Path], Iterator[Path]] = Path.iterdir

    def count(folder: Path) -> Iterator[Path]:
        listed.append(folder)
        return list_folder(folder)

    monkeypatch.setattr(Path, "iterdir", count)
    assert len(match_names(photos, masks).pairs) == 3
    assert sorted(listed) == [masks, photos]


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".gif"])
def test_other_formats_are_read(suffix: str, tmp_path: Path) -> None:
    image = Image.fromarray(RGB).quantize(64).convert("RGB") if suffix == ".gif" else Image.fromarray(RGB)
    image.save(tmp_path / f"photo{suffix}")
    photo = read_photo(tmp_path / f"photo{suffix}")
    assert np.array_equal(photo.rgb, np.asarray(image))
    assert photo.notes == ()


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_first_picture_of_an_animated_file_is_taken_and_said(suffix: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", SIZE[::-1], (level, 0, 0)) for level in (200, 100, 50)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    photo = read_photo(tmp_path / f"a{suffix}")
    assert abs(int(photo.rgb[0, 0, 0]) - 200) < 5
    assert photo.notes == ("of its 3 pictures the first was taken",)


def test_profile_of_grey_is_converted_and_not_written_into_rgb(tmp_path: Path) -> None:
    """Pillow can make profiles of Lab, XYZ and sRGB only; a grey one is an sRGB profile with another name."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"GRAY"
    Image.fromarray(RGB[..., 0]).save(tmp_path / "grey.jpg", icc_profile=bytes(profile))
    photo = read_photo(tmp_path / "grey.jpg")
    assert photo.icc_profile is None
    (note,) = photo.notes
    assert note in (
        "its colour profile, of GRAY, is damaged and was dropped",
        "converted from its colour profile, of GRAY, to sRGB",
    )
    write_photo(tmp_path / "out.png", photo, photo.rgb, np.zeros(SIZE, bool))
    with Image.open(tmp_path / "out.png") as written:
        assert "icc_profile" not in written.info


@pytest.mark.parametrize("value", [0, 9, 65535, "6", b"\x06"])
def test_odd_orientation_counts_as_upright(value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "getexif", lambda _: {0x0112: value})
    assert np.array_equal(read_photo(tmp_path / "a.png").rgb, RGB)


@pytest.mark.parametrize("error", [TypeError, AttributeError, SyntaxError, KeyError, OverflowError])
def test_odd_exif_counts_as_upright(error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise error("odd")

    Image.fromarray(RGB).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "getexif", fail)
    assert np.array_equal(read_photo(tmp_path / "a.png").rgb, RGB)
