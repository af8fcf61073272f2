"""The inpaint command: photos in, photos out, and a sentence for everything that cannot be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

import cli
import converters.inpaint
from converters.convert import Conversion
from converters.errors import MissingPackageError
from converters.targets.tensorrt import runtime as tensorrt
from converters.terminal.progress import format_bar
from parity_tests.support.command import require_refusal, run_ganport
from parity_tests.support.image_files import damaged_files
from parity_tests.support.places import PHOTOS
from reference.registry import shipped_bundle

SIZE = (60, 84)
Array = NDArray[np.uint8]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """photo.png and its mask.png, of no multiple of 4, and nothing else."""
    with Image.open(PHOTOS / "coffee.png") as image:
        image.convert("RGB").resize((SIZE[1] + 1, SIZE[0] + 3)).save(tmp_path / "photo.png")
    write_mask(tmp_path / "mask.png")
    return tmp_path


def write_mask(path: Path, rows: slice = slice(20, 40)) -> None:
    mask = np.zeros((SIZE[0] + 3, SIZE[1] + 1), np.uint8)
    mask[rows, 30:60] = 255
    Image.fromarray(mask).save(path)


def read(path: Path) -> Array:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def inpaint(shipped_pipeline: Conversion) -> Callable[..., Result]:
    def run(*arguments: object) -> Result:
        bundle = ("--bundle", str(shipped_pipeline.bundle.folder))
        return CliRunner().invoke(cli.main, ["inpaint", *map(str, arguments), *bundle])

    return run


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_hole_is_filled_beside_the_photo_and_known_pixels_stay(folder: Path, inpaint: Callable[..., Result]) -> None:
    result = inpaint(folder / "photo.png", folder / "mask.png")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{folder / 'photo-inpainted.png'}\n"
    assert names(folder) == ["mask.png", "photo-inpainted.png", "photo.png"]
    photo, filled = read(folder / "photo.png"), read(folder / "photo-inpainted.png")
    hole = read(folder / "mask.png") > 0
    assert np.array_equal(photo[~hole], filled[~hole])
    assert not np.array_equal(photo[hole], filled[hole])


def test_users_own_files_beside_the_picture_stay(folder: Path, inpaint: Callable[..., Result]) -> None:
    (folder / ".out.png.partial").write_text("mine")
    before = names(folder)
    result = inpaint(folder / "photo.png", folder / "mask.png", "-o", folder / "out.png")
    assert result.exit_code == 0, result.stderr
    assert names(folder) == sorted([*before, "out.png"])
    assert (folder / ".out.png.partial").read_text() == "mine"


def test_edges_are_written_and_follow_the_pens(folder: Path, inpaint: Callable[..., Result]) -> None:
    pen = np.zeros((SIZE[0] + 3, SIZE[1] + 1), np.uint8)
    pen[30, 35:55] = 9
    Image.fromarray(pen).save(folder / "draw.png")
    Image.fromarray(np.full_like(pen, 255)).save(folder / "erase.png")
    common = (folder / "photo.png", folder / "mask.png")
    result = inpaint(*common, "-o", folder / "a.webp", "--edges-out", folder / "a-edges.png")
    assert result.exit_code == 0, result.stderr
    pens = ("--draw", folder / "draw.png", "--erase", folder / "erase.png")
    result = inpaint(*common, "-o", folder / "b.webp", "--edges-out", folder / "b-edges.png", *pens)
    assert result.exit_code == 0, result.stderr
    hole = read(folder / "mask.png") > 0
    edges = read(folder / "b-edges.png")
    assert (edges[30, 35:55] == 255).all()
    assert (edges[hole & (pen == 0)] == 0).all()
    assert not np.array_equal(read(folder / "a-edges.png"), edges)
    before, after = read(folder / "a.webp"), read(folder / "b.webp")
    assert np.array_equal(before[~hole], after[~hole])
    assert not np.array_equal(before[hole], after[hole])


def test_folder_of_photos_is_done_but_for_those_that_cannot_be(folder: Path, inpaint: Callable[..., Result]) -> None:
    photos, masks = folder / "photos", folder / "masks"
    photos.mkdir()
    masks.mkdir()
    for name in ("a.png", "b.jpg", "c.png"):
        with Image.open(folder / "photo.png") as image:
            image.save(photos / name)
        write_mask(masks / f"{name[0]}.png")
    (photos / "b.jpg").write_bytes((photos / "b.jpg").read_bytes()[:400])
    result = inpaint(photos, masks)
    assert result.exit_code == 1
    out = folder / "photos-inpainted"
    assert names(out) == ["a.png", "c.png", "failed.jsonl"]
    assert result.stdout.splitlines() == [str(out / "a.png"), str(out / "c.png")]
    assert f"ganport: {photos / 'b.jpg'}: it is damaged or cut short." in result.stderr
    assert "1 of 3 photos failed" in result.stderr
    result = inpaint(photos, masks, "-o", folder / "again", "--json")
    report = json.loads(result.stdout)
    assert (len(report["written"]), list(report["failed"])) == (2, [str(photos / "b.jpg")])


def test_photo_without_a_mask_of_its_name_stops_a_folder_before_anything_is_written(
    folder: Path, inpaint: Callable[..., Result]
) -> None:
    for name in ("photos", "masks"):
        (folder / name).mkdir()
    shutil.copy(folder / "photo.png", folder / "photos" / "a.png")
    result = inpaint(folder / "photos", folder / "masks")
    assert result.exit_code == 1
    assert "no mask of that name is in" in result.stderr
    assert not (folder / "photos-inpainted").exists()


def test_two_photos_of_one_name_stop_a_folder_before_one_takes_the_others_place(
    folder: Path, inpaint: Callable[..., Result]
) -> None:
    for name in ("photos/a.png", "photos/a.jpg", "masks/a.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        with Image.open(folder / "photo.png") as image:
            image.save(folder / name)
    result = inpaint(folder / "photos", folder / "masks")
    assert result.exit_code == 1
    assert "another photo has its name, but for the suffix" in result.stderr
    assert not (folder / "photos-inpainted").exists()


def test_bar_fills_from_empty_to_full() -> None:
    assert [format_bar(done, 4, 8) for done in (0, 2, 4)] == ["|........| 0/4", "|####....| 2/4", "|########| 4/4"]


def bad_inputs() -> Iterator[tuple[str, list[str], str]]:
    """(what, arguments, a piece of the sentence); every file lies in the test's folder."""
    for name, (_, sentence) in damaged_files().items():
        yield f"photo is {name}", [name, "mask.png"], sentence
    yield "mask is text", ["photo.png", "text.png"], "no PNG, JPEG, WebP, BMP, TIFF or GIF image"
    yield "photo is missing", ["nothing.png", "mask.png"], "there is no such file"
    yield "photo is a folder", [".", "mask.png"], "it is no folder. Give a folder of photos and a folder of masks"
    yield "mask is smaller", ["photo.png", "small.png"], "it is 5x5 pixels, the photo 85x63"
    yield "pen is smaller", ["photo.png", "mask.png", "--draw", "small.png"], "it is 5x5 pixels"
    yield "photo is 1x1", ["dot.png", "dot.png"], "it is 1x1 pixels. Give 12 or more on each side"
    yield "output is a JPEG", ["photo.png", "mask.png", "-o", "out.jpg"], "would not keep known pixels"
    yield "output's folder is missing", ["photo.png", "mask.png", "-o", "no/out.png"], "folder does not exist"
    yield "output is a folder", ["photo.png", "mask.png", "-o", "taken.png"], "it is a folder"
    yield "output is the photo", ["photo.png", "mask.png", "-o", "photo.png"], "it is one of the files given"
    yield "edges go over the mask", ["photo.png", "mask.png", "--edges-out", "mask.png"], "one of the files given"
    yield (
        "both go to one file",
        ["photo.png", "mask.png", "-o", "o.png", "--edges-out", "o.png"],
        "cannot both go there",
    )
    yield "output is below a file", ["photo.png", "mask.png", "-o", "photo.png/out.png"], "folder does not exist"


@pytest.mark.parametrize(("what", "arguments", "sentence"), list(bad_inputs()), ids=[row[0] for row in bad_inputs()])
def test_bad_input_is_one_sentence_and_leaves_nothing(
    what: str, arguments: Sequence[str], sentence: str, folder: Path, inpaint: Callable[..., Result]
) -> None:
    for name, (data, _) in damaged_files().items():
        (folder / name).write_bytes(data)
    Image.fromarray(np.ones((5, 5), np.uint8)).save(folder / "small.png")
    Image.fromarray(np.ones((1, 1), np.uint8)).save(folder / "dot.png")
    (folder / "taken.png").mkdir()
    before = names(folder)
    paths = [argument if argument.startswith("-") else folder / argument for argument in arguments]
    result = inpaint(*paths)
    assert result.exit_code == 1, what
    assert sentence in result.stderr
    assert "Traceback" not in result.output
    assert names(folder) == before


def test_pens_with_a_folder_are_a_usage_error(folder: Path, inpaint: Callable[..., Result]) -> None:
    assert inpaint(folder, folder, "--draw", folder / "mask.png").exit_code == 2


def test_bundle_of_one_net_is_refused(folder: Path, conversions: Mapping[str, Conversion]) -> None:
    bundle = conversions["edge"].bundle.folder
    arguments = ["inpaint", str(folder / "photo.png"), str(folder / "mask.png"), "--bundle", str(bundle)]
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 1
    assert "it is of edgeconnect-edge, which takes gray, edges, mask. Make a pipeline's bundle" in result.stderr


def test_gpu_without_tensorrt_does_not_stop_the_photo(
    folder: Path, inpaint: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise MissingPackageError("TensorRT", "it is not installed", "Install it")

    monkeypatch.setattr(tensorrt, "has_gpu", lambda: True)
    monkeypatch.setattr(tensorrt, "load_tensorrt", fail)
    result = inpaint(folder / "photo.png", folder / "mask.png")
    assert result.exit_code == 0, result.stderr


def test_pair_that_ships_is_run_at_once(folder: Path, inpaint: Callable[..., Result]) -> None:
    """Nothing is converted: the answer is that of a fresh conversion's bundle, and no step but these is told."""
    photo, mask = folder / "photo.png", folder / "mask.png"
    result = run_ganport("inpaint", photo, mask, "-o", folder / "a.png")
    assert result.exit_code == 0, result.stderr
    steps = [line for line in result.stderr.splitlines() if not line.startswith(str(folder))]
    assert [step.split()[0] for step in steps] == ["loading", "|....................|"]
    assert inpaint(photo, mask, "-o", folder / "b.png").exit_code == 0
    ours, fresh = (np.asarray(Image.open(folder / name)).astype(int) for name in ("a.png", "b.png"))
    assert np.abs(ours - fresh).max() <= 1


def test_shipped_bundle_that_is_damaged_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(shipped_bundle(), folder / "edgeconnect")
    monkeypatch.setattr(converters.inpaint, "shipped_bundle", lambda: copy)
    whole = (copy / "edgeconnect.onnx").read_bytes()
    (copy / "edgeconnect.onnx").write_bytes(whole[:100_000] + bytes(2000) + whole[102_000:])
    result = run_ganport("inpaint", folder / "photo.png", folder / "mask.png")
    require_refusal(result, "'edgeconnect.onnx' is not what its hash in SHA256SUMS says. Install ganport again")
    assert not (folder / "photo-inpainted.png").exists()
