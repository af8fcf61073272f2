"""Image files of every kind that people have become 8-bit arrays, and come back without a pixel changed."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from converters.errors import PhotoError
from converters.photos.image_files import Photo, read_photo, require_output, write_photo, write_plane
from parity_tests.support.image_files import damaged_files, write_png_16_bit_rgb

Array = NDArray[np.uint8]
SIZE = (17, 23)
ROTATED = 6  # EXIF: the top of the stored picture is the right side of the scene


def pixels(channels: int) -> Array:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, channels), np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_rgb_comes_back_as_it_is(tmp_path: Path, suffix: str) -> None:
    rgb = pixels(3)
    Image.fromarray(rgb).save(tmp_path / "in.png")
    photo = read_photo(tmp_path / "in.png")
    assert np.array_equal(photo.rgb, rgb)
    assert photo.alpha is None
    write_photo(tmp_path / f"out{suffix}", photo, photo.rgb, np.zeros(SIZE, bool))
    with Image.open(tmp_path / f"out{suffix}") as written:
        assert np.array_equal(np.asarray(written.convert("RGB")), rgb)


def test_jpeg_is_read_as_pillow_reads_it(tmp_path: Path) -> None:
    Image.fromarray(pixels(3)).save(tmp_path / "in.jpg")
    with Image.open(tmp_path / "in.jpg") as image:
        expected = np.asarray(image)
    assert np.array_equal(read_photo(tmp_path / "in.jpg").rgb, expected)


def test_transparency_stays_outside_the_hole_and_the_hole_is_opaque(tmp_path: Path) -> None:
    rgba = pixels(4)
    Image.fromarray(rgba).save(tmp_path / "in.png")
    photo = read_photo(tmp_path / "in.png")
    hole = np.zeros(SIZE, bool)
    hole[3:9, 4:11] = True
    write_photo(tmp_path / "out.png", photo, photo.rgb, hole)
    with Image.open(tmp_path / "out.png") as written:
        result = np.asarray(written)
    assert np.array_equal(result[~hole], rgba[~hole])
    assert (result[hole][:, 3] == 255).all()


def test_palette_with_transparency_is_rgb_and_alpha(tmp_path: Path) -> None:
    image = Image.fromarray(np.indices(SIZE).sum(axis=0).astype(np.uint8) % 2, "P")
    image.putpalette([10, 20, 30, 200, 210, 220])
    image.save(tmp_path / "in.png", transparency=1)
    photo = read_photo(tmp_path / "in.png")
    assert photo.rgb[0, 0].tolist() == [10, 20, 30]
    assert photo.alpha is not None
    assert photo.alpha[0, :2].tolist() == [255, 0]


def test_grey_is_rgb_of_equal_channels(tmp_path: Path) -> None:
    grey = pixels(1)[..., 0]
    Image.fromarray(grey).save(tmp_path / "in.png")
    assert np.array_equal(read_photo(tmp_path / "in.png").rgb, np.repeat(grey[..., None], 3, axis=2))


def test_16_bits_are_scaled_to_8_by_their_upper_byte_in_grey_and_in_colour(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (*SIZE, 3)).astype(np.uint16)
    levels[0, 0] = [0, 65535, 256]
    write_png_16_bit_rgb(tmp_path / "colour.png", levels)
    Image.fromarray(levels[..., 0]).save(tmp_path / "grey.png")
    assert np.array_equal(read_photo(tmp_path / "colour.png").rgb, levels >> 8)
    assert np.array_equal(read_photo(tmp_path / "grey.png").rgb[..., 0], levels[..., 0] >> 8)


def test_exif_rotation_is_applied_and_not_left_to_be_applied_again(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    rgb = pixels(3)
    Image.fromarray(rgb).save(tmp_path / "in.png", exif=exif)
    photo = read_photo(tmp_path / "in.png")
    assert np.array_equal(photo.rgb, np.rot90(rgb, -1))
    write_photo(tmp_path / "out.png", photo, photo.rgb, np.zeros(photo.rgb.shape[:2], bool))
    with Image.open(tmp_path / "out.png") as written:
        assert written.getexif().get(0x0112) is None
        assert written.size == (SIZE[0], SIZE[1])


def test_colour_profile_is_handed_on(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels(3)).save(tmp_path / "in.png", icc_profile=profile)
    photo = read_photo(tmp_path / "in.png")
    write_photo(tmp_path / "out.png", photo, photo.rgb, np.zeros(SIZE, bool))
    with Image.open(tmp_path / "out.png") as written:
        assert written.info["icc_profile"] == profile


@pytest.mark.parametrize("name", list(damaged_files()))
def test_file_that_is_no_sound_image_is_one_clear_sentence(tmp_path: Path, name: str) -> None:
    data, sentence = damaged_files()[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PhotoError, match=sentence) as caught:
        read_photo(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="there is no such file"):
        read_photo(tmp_path / "nothing.png")
    with pytest.raises(PhotoError, match="it is a folder"):
        read_photo(tmp_path)


@pytest.mark.parametrize(
    ("place", "sentence"),
    [("out.jpg", "would not keep known pixels"), ("out", "would not keep"), ("no/out.png", "folder does not exist")],
)
def test_place_where_no_lossless_picture_can_go_is_refused(tmp_path: Path, place: str, sentence: str) -> None:
    with pytest.raises(PhotoError, match=sentence):
        require_output(tmp_path / place)


def test_failed_write_leaves_the_old_picture_and_nothing_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    out.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(PhotoError, match=r"cannot be written \(File too large\)"):
            write_photo(out, Photo(out, pixels(3), None, None), pixels(3), np.zeros(SIZE, bool))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_plane_is_written_in_grey_levels(tmp_path: Path) -> None:
    write_plane(tmp_path / "edges.png", np.array([[0, 0.5, 1], [1.2, -0.1, 0.25]], np.float32))
    with Image.open(tmp_path / "edges.png") as written:
        assert np.asarray(written).tolist() == [[0, 128, 255], [255, 0, 64]]
