"""C++: `ganport-inpaint` writes the pixels that `ganport inpaint` writes, and refuses what it must."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from converters.convert import Conversion
from converters.errors import PhotoError
from converters.inpaint import Job, inpaint, open_pipeline
from converters.photos.image_files import read_photo
from converters.photos.marks import read_mask
from converters.runners import Runner
from parity_tests.support.command import list_tree
from parity_tests.support.cpp_build import SANITIZERS, build, require_refusal, run
from parity_tests.support.foreign_models import GREY
from parity_tests.support.image_files import damaged_files, write_png_16_bit_rgb
from parity_tests.support.mask_cases import CASES as MASK_CASES
from parity_tests.support.mask_cases import SIZE as MASK_SIZE
from parity_tests.support.mask_cases import WHITE_DISC, MaskCase, is_right
from parity_tests.support.places import PHOTOS

SIZE = (27, 34)
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def runner(shipped_pipeline: Conversion) -> Iterator[Runner]:
    with open_pipeline(shipped_pipeline.bundle) as opened:
        yield opened


@pytest.fixture
def folder(shipped_pipeline: Conversion) -> Path:
    return shipped_pipeline.bundle.folder


def write_mask(path: Path, size: tuple[int, int] = SIZE) -> None:
    mask = np.zeros(size, np.uint8)
    mask[8:19, 9:21] = 1
    Image.fromarray(mask).save(path)


def pixels(channels: int) -> Any:
    """A smooth picture, which JPEG keeps nearly as it is, with a little noise."""
    rows, columns = np.indices(SIZE)
    planes = [rows * 7 + columns * (3 + channel) for channel in range(channels)]
    noise = np.random.default_rng(0).integers(0, 9, (*SIZE, channels))
    return (np.stack(planes, axis=2) % 240 + noise).astype(np.uint8)


def read(path: Path) -> tuple[Any, bytes | None]:
    with Image.open(path) as image:
        return np.asarray(image), image.info.get("icc_profile")


def test_shipped_photo_is_filled_as_in_python(folder: Path, runner: Runner, tmp_path: Path) -> None:
    photo, mask = PHOTOS / "coffee.png", PHOTOS / "coffee-mask.png"
    done = run("onnxruntime", "ganport-inpaint", folder, photo, mask, tmp_path / "ours.png")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'ours.png'}\n")
    assert f"{mask}: the hole is 4.7 % of the photo\n" in done.stderr
    inpaint(Job(photo, mask, tmp_path / "python.png"), runner)
    assert np.array_equal(read(tmp_path / "ours.png")[0], read(tmp_path / "python.png")[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours.png", "python.png"]


def test_openvino_fills_it_within_one_level(folder: Path, runner: Runner, tmp_path: Path) -> None:
    photo, mask = PHOTOS / "coffee.png", PHOTOS / "coffee-mask.png"
    done = run("openvino", "ganport-inpaint", folder, photo, mask, tmp_path / "ours.png")
    assert done.returncode == 0, done.stderr
    inpaint(Job(photo, mask, tmp_path / "python.png"), runner)
    ours, python = (read(tmp_path / name)[0].astype(int) for name in ("ours.png", "python.png"))
    assert np.abs(ours - python).max() <= 1


def grey(path: Path) -> None:
    Image.fromarray(pixels(1)[..., 0]).save(path)


def grey_alpha(path: Path) -> None:
    Image.fromarray(pixels(2), "LA").save(path)


def rgba(path: Path) -> None:
    Image.fromarray(pixels(4)).save(path)


def palette(path: Path) -> None:
    Image.fromarray(pixels(3)).quantize(16).save(path)


def palette_transparent(path: Path) -> None:
    Image.fromarray(pixels(3)).quantize(200).save(path, transparency=7)


def colour_transparent(path: Path) -> None:
    rgb = pixels(3)
    Image.fromarray(rgb).save(path, transparency=tuple(int(level) for level in rgb[5, 5]))


def one_bit(path: Path) -> None:
    Image.fromarray(pixels(1)[..., 0] > 99).save(path)


def two_bits(path: Path) -> None:
    Image.fromarray(pixels(3)).quantize(4).save(path, bits=2)


def sixteen_bits(path: Path) -> None:
    write_png_16_bit_rgb(path, np.random.default_rng(0).integers(0, 65536, (*SIZE, 3)).astype(np.uint16))


def sixteen_bits_grey(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 65536, SIZE).astype(np.uint16)).save(path)


def gamma(path: Path) -> None:
    """A chunk that asks for other levels: neither program looks at it."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add(b"gAMA", (20000).to_bytes(4, "big"))
    Image.fromarray(pixels(3)).save(path, pnginfo=info)


def colour_profile(path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels(3)).save(path, icc_profile=profile)


def rotated(orientation: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        Image.fromarray(pixels(3)).save(path, exif=exif, quality=95)

    return write


def jpeg(**options: Any) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(pixels(3)).save(path, **options)


KINDS: dict[str, Callable[[Path], None]] = {
    "grey.png": grey,
    "grey-alpha.png": grey_alpha,
    "rgba.png": rgba,
    "palette.png": palette,
    "palette-transparent.png": palette_transparent,
    "colour-transparent.png": colour_transparent,
    "one-bit.png": one_bit,
    "two-bits.png": two_bits,
    "sixteen-bits.png": sixteen_bits,
    "sixteen-bits-grey.png": sixteen_bits_grey,
    "gamma.png": gamma,
    "profile.png": colour_profile,
    "profile.jpg": colour_profile,
    "grey.jpg": grey,
    "plain.jpg": jpeg(quality=90),
    "progressive.jpg": jpeg(progressive=True, subsampling=0),
    "rotated.png": rotated(6),
    **{f"rotated-{orientation}.jpg": rotated(orientation) for orientation in range(1, 10)},
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_photo_is_read_and_filled_as_in_python(
    name: str, folder: Path, runner: Runner, tmp_path: Path
) -> None:
    KINDS[name](tmp_path / name)
    is_turned = name.startswith("rotated") and name not in {f"rotated-{i}.jpg" for i in (1, 2, 3, 4, 9)}
    write_mask(tmp_path / "mask.png", SIZE[::-1] if is_turned else SIZE)
    done = run("onnxruntime", "ganport-inpaint", folder, tmp_path / name, tmp_path / "mask.png", tmp_path / "ours.png")
    assert done.returncode == 0, done.stderr
    inpaint(Job(tmp_path / name, tmp_path / "mask.png", tmp_path / "python.png"), runner)
    ours, our_profile = read(tmp_path / "ours.png")
    python, python_profile = read(tmp_path / "python.png")
    assert np.array_equal(ours, python)
    assert our_profile == python_profile
    assert (our_profile is not None) == name.startswith("profile")


def find_hole(folder: Path, photo: Path, mask: Path, out: Path) -> tuple[Any, str]:
    """What the program takes for the hole, and what it says of the mask."""
    done = run("onnxruntime", "ganport-inpaint", folder, photo, mask, out)
    assert done.returncode == 0, done.stderr
    return (read(out)[0][..., :3] == GREY).all(axis=2), done.stderr


@pytest.mark.parametrize("case", [case for case in MASK_CASES if case.in_cpp], ids=str)
def test_every_kind_of_mask_is_read_as_in_python(case: MaskCase, grey_pipeline: Path, tmp_path: Path) -> None:
    photo, mask = tmp_path / "photo.png", case.write(tmp_path / "mask")
    Image.fromarray(np.zeros((*MASK_SIZE, 3), np.uint8)).save(photo)
    hole, said = find_hole(grey_pipeline, photo, mask, tmp_path / "out.png")
    assert is_right(hole, case)
    marks = read_mask(mask, read_photo(photo))
    assert np.array_equal(hole, marks.marked)
    notes = (f"the hole is {100 * marks.share:.1f} % of the photo", *marks.notes)
    expected = [f"{mask}: {note}".replace("give --invert", "invert the mask") for note in notes]
    assert sorted(said.splitlines()) == sorted(expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_mask_of_the_stored_size_is_turned_with_the_photo(
    orientation: int, grey_pipeline: Path, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    photo, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    Image.fromarray(np.zeros((*MASK_SIZE, 3), np.uint8)).save(photo, exif=exif)
    Image.fromarray(WHITE_DISC).save(mask)
    hole, said = find_hole(grey_pipeline, photo, mask, tmp_path / "out.png")
    assert np.array_equal(hole, read_mask(mask, read_photo(photo)).marked)
    assert ("it is turned with the photo" in said) == (orientation >= 5)


def bad_inputs() -> Iterator[tuple[str, str, str, str]]:
    """(photo, mask, output, a piece of the sentence); every file lies in the test's folder."""
    for name, (_, sentence) in damaged_files().items():
        yield name, "mask.png", "out.png", sentence.replace(", JPEG, WebP, BMP, TIFF or GIF", " or JPEG")
    yield "photo.png", "text.png", "out.png", "it is no PNG or JPEG image"
    yield "nothing.png", "mask.png", "out.png", "there is no such file"
    yield ".", "mask.png", "out.png", "it is no regular file"
    yield "pipe", "mask.png", "out.png", "it is no regular file"
    yield "picture.webp", "mask.png", "out.png", "it is no PNG or JPEG image. Save it as one of these"
    yield "print.jpg", "mask.png", "out.png", "its colours are for print (CMYK). Save it in RGB"
    yield "photo.png", "small.png", "out.png", "it is 5x6 pixels, the photo 34x27. Give both the same size"
    yield "small.png", "small.png", "out.png", "it is 5x6 pixels. Give 12 or more on each side"
    yield "photo.png", "mask.png", "out.jpg", "'.jpg' is not what is written. End it in .png"
    yield "photo.png", "mask.png", "no/out.png", "its folder does not exist"
    yield "photo.png", "mask.png", "taken.png", "it is a folder"
    yield "photo.png", "mask.png", "photo.png", "it is one of the files given"
    yield "photo.png", "mask.png", "link.png", "it is one of the files given"


@pytest.mark.parametrize(("photo", "mask", "out", "said"), list(bad_inputs()))
def test_bad_input_is_one_sentence_and_leaves_nothing(
    photo: str, mask: str, out: str, said: str, folder: Path, tmp_path: Path
) -> None:
    for name, (data, _) in damaged_files().items():
        (tmp_path / name).write_bytes(data)
    for name in ("photo.png", "picture.webp"):
        Image.fromarray(pixels(3)).save(tmp_path / name)
    Image.fromarray(pixels(3)).convert("CMYK").save(tmp_path / "print.jpg")
    Image.fromarray(np.ones((6, 5), np.uint8)).save(tmp_path / "small.png")
    write_mask(tmp_path / "mask.png")
    (tmp_path / "taken.png").mkdir()
    (tmp_path / "link.png").symlink_to("mask.png")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(path.name for path in tmp_path.iterdir())
    done = run("onnxruntime", "ganport-inpaint", folder, tmp_path / photo, tmp_path / mask, tmp_path / out)
    require_refusal(done, said)
    assert done.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("missing_bytes", [2, 200])
def test_jpeg_without_its_end_is_refused(
    options: dict[str, Any], missing_bytes: int, folder: Path, tmp_path: Path
) -> None:
    jpeg(**options)(tmp_path / "photo.jpg")
    (tmp_path / "photo.jpg").write_bytes((tmp_path / "photo.jpg").read_bytes()[:-missing_bytes])
    write_mask(tmp_path / "mask.png")
    with pytest.raises(PhotoError, match="damaged or cut short"):
        read_photo(tmp_path / "photo.jpg")
    done = run(
        "onnxruntime", "ganport-inpaint", folder, tmp_path / "photo.jpg", tmp_path / "mask.png", tmp_path / "o.png"
    )
    require_refusal(done, "it is damaged or cut short")


@pytest.mark.parametrize("name", ["rgba.png", "palette-transparent.png", "profile.png", "rotated-6.jpg", "profile.jpg"])
def test_photo_with_any_byte_altered_or_cut_short_never_crashes(name: str, folder: Path, tmp_path: Path) -> None:
    """A whole picture whose mask does not fit is refused after it was read: no net is run."""
    rng = np.random.default_rng(0)
    KINDS[name](tmp_path / name)
    write_mask(tmp_path / "mask.png", (20, 20))
    whole = (tmp_path / name).read_bytes()
    for trial in range(40):
        altered = bytearray(whole)
        for _ in range(1 + trial % 4):
            altered[rng.integers(len(whole))] = rng.integers(256)
        (tmp_path / name).write_bytes(altered[: None if trial % 3 else rng.integers(len(whole))])
        done = run("onnxruntime", "ganport-inpaint", folder, tmp_path / name, tmp_path / "mask.png", tmp_path / "o.png")
        require_refusal(done)
    assert not (tmp_path / "o.png").exists()


def test_bundle_of_one_net_is_refused(conversions: Mapping[str, Conversion], tmp_path: Path) -> None:
    jpeg()(tmp_path / "photo.png")
    write_mask(tmp_path / "mask.png")
    for backend in ("onnxruntime", "mxnet"):
        paths = (conversions["edge"].bundle.folder, tmp_path / "photo.png", tmp_path / "mask.png", tmp_path / "out.png")
        require_refusal(
            run(backend, "ganport-inpaint", *paths), "it is of edgeconnect-edge, which takes gray, edges, mask"
        )


def test_pipeline_in_mxnet_is_refused(folder: Path, tmp_path: Path) -> None:
    jpeg()(tmp_path / "photo.png")
    write_mask(tmp_path / "mask.png")
    done = run("mxnet", "ganport-inpaint", folder, tmp_path / "photo.png", tmp_path / "mask.png", tmp_path / "out.png")
    require_refusal(done, "it holds onnx, trt, which mxnet does not run")


def test_full_disk_leaves_the_old_picture_and_the_users_files(folder: Path, tmp_path: Path) -> None:
    jpeg()(tmp_path / "photo.png")
    write_mask(tmp_path / "mask.png")
    (tmp_path / "out.png").write_bytes(b"old")
    (tmp_path / ".out.png.partial").write_text("mine")
    before = list_tree(tmp_path)
    program = build("onnxruntime") / "ganport-inpaint"
    paths = [folder, tmp_path / "photo.png", tmp_path / "mask.png", tmp_path / "out.png"]
    done = subprocess.run(
        # No file grows beyond 1 KiB; the program is told so, and not killed.
        ["bash", "-c", 'trap "" XFSZ; ulimit -f 1; exec "$@"', "bash", program, *paths],
        env={**os.environ, **SANITIZERS},
        capture_output=True,
        text=True,
        check=False,
    )
    done.args = [str(program)]
    require_refusal(done, "cannot be written (")
    assert list_tree(tmp_path) == before
    run("onnxruntime", "ganport-inpaint", *paths)
    after = list_tree(tmp_path)
    assert after.pop("out.png") != before.pop("out.png")
    assert after == before
