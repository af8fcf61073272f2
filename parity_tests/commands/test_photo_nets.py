"""Every net that goes from photo to photo, as one file with 8-bit pictures, in Python's API and in both commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import ganport
from converters.bundle.folder import Bundle
from converters.errors import ArchitectureError
from converters.tensors import Array
from parity_tests.support.architecture_cases import CASES, CaseBundle
from parity_tests.support.command import run_ganport
from reference.checkpoint import read_checkpoint
from reference.photo_pipeline import Back, find_fault
from reference.registry import identify, identify_model

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
SUITED = [case for case in CASES if case.name not in ("edgeconnect-edge", "edgeconnect-inpaint")]
# A net's float output beside 127.5 levels may be rounded either way.
ROUNDED = 1


@dataclass(frozen=True)
class PhotoNet:
    """A converted net: its checkpoint, its bundle from photo to photo, and whether it fills holes."""

    checkpoint: Path
    bundle: Bundle
    fills: bool


@pytest.fixture(params=SUITED, ids=str)
def net(request: pytest.FixtureRequest, case_bundles: Callable[..., CaseBundle]) -> PhotoNet:
    checkpoint, bundle = case_bundles(request.param.name, pipeline=True)
    assert bundle.manifest.architecture == f"{request.param.name}-photo"
    (artifact,) = bundle.manifest.artifacts
    assert artifact.parity is not None
    assert artifact.parity.ill_conditioned_items <= 1
    return PhotoNet(checkpoint, bundle, "mask" in [spec.name for spec in bundle.signature.inputs])


def make_picture(height: int, width: int, seed: int = 0) -> Array:
    """Smooth colours, so that nets stay away from their extremes."""
    rows, columns = np.indices((height, width)) / max(height, width)
    waves = [np.sin(7 * rows + seed), np.cos(9 * columns), np.sin(5 * (rows + columns))]
    noise = np.random.default_rng(seed).integers(0, 40, (height, width, 3))
    return (np.stack(waves, axis=2) * 80 + 100 + noise).clip(0, 255).astype(np.uint8)


def run_by_hand(net: PhotoNet, photo: Array, mask: Array) -> Array:
    """The untouched net in torch, with numpy for all that is around it."""
    model = identify_model([read_checkpoint(net.checkpoint)]).build()
    multiple = max(spec.multiple_of for spec in model.inputs)
    height, width = mask.shape
    edges = ((0, -height % multiple), (0, -width % multiple))
    image = photo.astype(np.float32) / 255
    if model.inputs[0].shape[1] == 1:
        image = (image * LUMA).sum(axis=2, keepdims=True)
    planes = [np.pad(image[:, :, i], edges, mode="reflect") for i in range(image.shape[2])]
    feeds = [np.stack(planes)[None]]
    if net.fills:
        feeds.append(np.pad((mask > 0).astype(np.float32), edges, mode="reflect")[None, None])
    with torch.inference_mode():
        (filled,) = model.module(*map(torch.from_numpy, feeds)).numpy()
    levels = np.rint(filled[:, :height, :width].transpose(1, 2, 0) * 255).clip(0, 255).astype(np.uint8)
    levels = np.broadcast_to(levels, photo.shape)
    return np.where((mask > 0)[..., None], levels, photo) if net.fills else levels


def test_file_gives_what_the_untouched_net_gives_at_sizes_that_it_does_not_take(net: PhotoNet) -> None:
    least = net.bundle.signature.inputs[0].minimum
    height, width = least + 13, 2 * least + 7
    photos = [make_picture(height, width, seed) for seed in range(2)]
    masks = [np.zeros((height, width), np.uint8) for _ in photos]
    masks[0][5 : least // 2 + 5, 3 : least + 2] = 255
    masks[1][-4:, -least:] = 1
    session = onnxruntime.InferenceSession(net.bundle.folder / f"{net.bundle.manifest.name}.onnx")
    feeds = {"photo": np.stack(photos)} | ({"mask": np.stack(masks)} if net.fills else {})
    (results,) = session.run(["result"], feeds)
    assert results.dtype == np.uint8
    for photo, mask, result in zip(photos, masks, results, strict=True):
        expected = run_by_hand(net, photo, mask)
        assert np.abs(result.astype(int) - expected).max() <= ROUNDED
        assert np.mean(result != expected) < 0.001
        if net.fills:
            assert np.array_equal(result[mask == 0], photo[mask == 0])
            assert not np.array_equal(result[mask > 0], photo[mask > 0])


def test_command_runs_a_photo_and_a_folder(net: PhotoNet, tmp_path: Path) -> None:
    least = net.bundle.signature.inputs[0].minimum
    size = (least + 21, least + 40)
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    for seed in range(2):
        mask = np.zeros(size, np.uint8)
        mask[8:20, 10 + seed : 30] = 255
        Image.fromarray(make_picture(*size, seed)).save(tmp_path / "photos" / f"{seed}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{seed}.png")
    bundle = net.bundle.folder
    command = ("inpaint", tmp_path / "photos", tmp_path / "masks") if net.fills else ("apply", tmp_path / "photos")
    done = run_ganport(*command, "--bundle", bundle, "-o", tmp_path / "done")
    assert done.exit_code == 0, done.stderr
    for seed in range(2):
        photo, mask = (np.asarray(Image.open(tmp_path / kind / f"{seed}.png")) for kind in ("photos", "masks"))
        result = np.asarray(Image.open(tmp_path / "done" / f"{seed}.png"))
        expected = run_by_hand(net, photo, mask)
        assert np.abs(result.astype(int) - expected).max() <= ROUNDED

    one, mask = tmp_path / "photos" / "0.png", tmp_path / "masks" / "0.png"
    wrong = ("apply", one) if net.fills else ("inpaint", one, mask)
    refused = run_ganport(*wrong, "--bundle", bundle)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "Give photo and mask to ganport inpaint, a photo alone to ganport apply." in refused.stderr
    if net.fills:
        edges = run_ganport("inpaint", one, mask, "--draw", mask, "--bundle", bundle)
        assert "the pipeline's net knows no edges. Leave out --draw" in edges.stderr
    assert sorted(path.name for path in (tmp_path / "photos").iterdir()) == ["0.png", "1.png"]

    small = tmp_path / "small.png"
    Image.fromarray(make_picture(least - 1, least)).save(small)
    Image.fromarray(np.full((least - 1, least), 255, np.uint8)).save(mask)
    command = ("inpaint", small, mask) if net.fills else ("apply", small)
    refused = run_ganport(*command, "--bundle", bundle)
    assert refused.exit_code == 1
    assert f"it is {least}x{least - 1} pixels. Give {least} or more on each side." in refused.stderr


def test_python_gives_the_same_picture(net: PhotoNet) -> None:
    least = net.bundle.signature.inputs[0].minimum
    photo = make_picture(least + 9, least + 4)
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[4:9, 3:8] = 255
    if net.fills:
        result = ganport.inpaint(photo, mask, bundle=net.bundle.folder, context=least)
    else:
        result = ganport.apply(photo, net.bundle.folder)
    expected = run_by_hand(net, photo, mask)
    assert np.abs(result.astype(int) - expected).max() <= ROUNDED
    with pytest.raises(ganport.BundleError, match="Give photo and mask to ganport inpaint"):
        ganport.apply(photo, net.bundle.folder) if net.fills else ganport.inpaint(photo, mask, bundle=net.bundle.folder)


def test_bundle_is_proven_against_its_checkpoint(net: PhotoNet) -> None:
    assert run_ganport("verify", net.bundle.folder).exit_code == 0


def test_photos_of_the_users_prove_it_too(net: PhotoNet, tmp_path: Path) -> None:
    for name in ("photos", "masks"):
        (tmp_path / name).mkdir()
    size = 2 * net.bundle.signature.inputs[0].minimum
    Image.fromarray(make_picture(size, size)).save(tmp_path / "photos" / "one.png")
    hole = np.zeros((size, size), np.uint8)
    hole[4:12, 3:11] = 255
    Image.fromarray(hole).save(tmp_path / "masks" / "one.png")
    images = ("--images", tmp_path / "photos", "--masks", tmp_path / "masks")
    done = run_ganport("parity", net.bundle.folder, "--checkpoint", net.checkpoint, *images)
    assert done.exit_code == 0, done.stderr
    assert "onnx, result" in done.stdout
    assert "one.png" in done.stdout


def test_known_pixels_are_the_photos_even_if_the_net_changes_them() -> None:
    """The nets above composite by themselves."""
    photo, filled = torch.from_numpy(make_picture(9, 12))[None], torch.full((1, 3, 12, 12), 0.7004)
    mask = torch.zeros((1, 9, 12), dtype=torch.uint8)
    mask[0, 2:5, 3:7] = 1
    result, plane = Back()(filled, photo, mask)
    assert torch.equal(result[mask == 0], photo[mask == 0])
    assert torch.equal(result[mask == 1], torch.full((12, 3), 179, dtype=torch.uint8))
    assert plane.shape == (1, 3, 9, 12)


def test_net_of_edges_is_no_pipeline_by_itself(tmp_path: Path) -> None:
    (case,) = (case for case in CASES if case.name == "edgeconnect-edge")
    done = run_ganport("convert", case.write(tmp_path), "--pipeline", "--to", "onnx", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "edgeconnect-edge takes gray, edges, mask: from photo to photo go nets of an image" in done.stderr
    assert not (tmp_path / "out").exists()
    (case,) = (case for case in CASES if case.name == "edgeconnect-inpaint")
    checkpoint = read_checkpoint(case.write(tmp_path))
    with pytest.raises(ArchitectureError, match="takes image, edges, mask"):
        identify_model([checkpoint], as_pipeline=True)


def test_contract_decides(tmp_path: Path) -> None:
    (case,) = (case for case in CASES if case.name == "deepfill-v2")
    contract = identify(read_checkpoint(case.write(tmp_path))).contract(False)
    image, mask = contract.inputs
    (result,) = contract.outputs
    assert find_fault((image, mask), (result,)) is None
    assert find_fault((image,), (result,)) is None
    for inputs, output, fault in (
        ((mask, image), result, "takes mask, image"),
        ((replace(image, value_range=(-1.0, 1.0)), mask), result, "another range than 0 to 1"),
        ((image, mask), replace(result, value_range=(-1.0, 1.0)), "another range than 0 to 1"),
        ((replace(image, shape=("N", 2, "H", "W")), mask), result, "neither RGB nor gray"),
        ((image, mask), replace(result, name="y"), "gives y, not one result"),
    ):
        assert fault in (find_fault(inputs, (output,)) or "")
