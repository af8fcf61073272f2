"""`ganport parity --images`: a folder's photos are read, run and judged group by group, and make one report."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters import prove as prove_module
from converters.convert import Conversion
from converters.parity import inputs as inputs_module
from converters.parity.compare import ParityReport
from converters.parity.inputs import user_inputs
from converters.photos.image_files import Photo
from converters.prove import prove
from parity_tests.support.command import run_ganport

PHOTOS = 5


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Photos of noise in one folder; in the other, masks of which the last is empty."""
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    random = np.random.default_rng(0)
    for folder in (photos, masks):
        folder.mkdir()
    for i in range(PHOTOS):
        Image.fromarray(random.integers(0, 256, (40, 48, 3), np.uint8)).save(photos / f"{i}.png")
        mask = np.zeros((40, 48), np.uint8)
        mask[8 : 8 + 4 * (PHOTOS - 1 - i), 10:30] = 255
        Image.fromarray(mask).save(masks / f"{i}.png")
    return photos, masks


def prove_folders(
    folders: tuple[Path, Path], conversions: Mapping[str, Conversion], checkpoints: Mapping[str, Path]
) -> dict[str, ParityReport]:
    folder = conversions["inpaint"].bundle.folder
    reports, judged, _ = prove(folder, [checkpoints["inpaint"]], user_inputs(*folders), lambda step: None)
    assert [given.name for given in judged] == [f"{i}.png 40x48" for i in range(PHOTOS)]
    return {report.rung: report for report in reports}


def test_groups_make_the_same_report_as_all_at_once(
    folders: tuple[Path, Path],
    conversions: Mapping[str, Conversion],
    checkpoints: Mapping[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = prove_folders(folders, conversions, checkpoints)
    monkeypatch.setattr(prove_module, "GROUP_PIXELS", 2 * 40 * 48)
    apart = prove_folders(folders, conversions, checkpoints)
    assert apart.keys() == together.keys() >= {"onnx", "mxnet"}
    for rung, report in apart.items():
        first_runs = [tensor for tensor in report.tensors if not tensor.case.endswith(", again")]
        assert first_runs == [tensor for tensor in together[rung].tensors if not tensor.case.endswith(", again")]
        assert len(report.tensors) - len(first_runs) == 3  # the first of each group
        assert report.passed


def test_photo_is_read_for_good_after_those_before_it_are_judged(
    folders: tuple[Path, Path],
    conversions: Mapping[str, Conversion],
    checkpoints: Mapping[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []
    read_photo, run_artifact = inputs_module.read_photo, prove_module.run_artifact

    def read(path: Path) -> Photo:
        events.append(path.name)
        return read_photo(path)

    def run(*args: object) -> object:
        events.append("run")
        return run_artifact(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(inputs_module, "read_photo", read)
    monkeypatch.setattr(prove_module, "run_artifact", run)
    monkeypatch.setattr(prove_module, "GROUP_PIXELS", 1)
    prove_folders(folders, conversions, checkpoints)
    names = [f"{i}.png" for i in range(PHOTOS)]
    assert events[:PHOTOS] == names
    later = events[PHOTOS:]
    assert [event for event in later if event != "run"] == names
    assert all("run" in later[later.index(before) : later.index(after)] for before, after in pairwise(names))


def test_one_bad_photo_is_told_before_anything_is_run(
    folders: tuple[Path, Path], conversions: Mapping[str, Conversion], checkpoints: Mapping[str, Path]
) -> None:
    path = folders[0] / "3.png"
    path.write_bytes(path.read_bytes()[:200])
    bundle = conversions["inpaint"].bundle.folder
    options = ("--checkpoint", checkpoints["inpaint"], "--images", folders[0], "--masks", folders[1])
    done = run_ganport("parity", bundle, *options)
    assert done.exit_code == 1
    assert "3.png" in done.stderr
    assert "running what the bundle was made from" not in done.stderr
