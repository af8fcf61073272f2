"""The inputs that parity is judged on keep to each model's contract."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.errors import PhotoError
from converters.parity import inputs
from converters.parity.inputs import _reach, long_inputs, make_mask, short_inputs, user_inputs
from converters.targets.profile import Profile
from converters.tensors import TensorSpec, fit_size


def contract(*fields: tuple[int, int]) -> list[TensorSpec]:
    """Inputs of these (multiple_of, minimum)."""
    return [TensorSpec(f"in{i}", ("N", 1, "H", "W"), multiple_of=m, minimum=n) for i, (m, n) in enumerate(fields)]


@pytest.mark.parametrize(
    ("fields", "size", "fitted"),
    [
        ([(4, 12)], (96, 128), (96, 128)),
        ([(4, 12)], (1, 1), (12, 12)),
        ([(4, 12)], (13, 30), (16, 32)),
        ([(1, 5)], (3, 9), (5, 9)),
        ([(128, 128)], (256, 256), (256, 256)),
        ([(128, 128)], (96, 128), (128, 256)),  # equal sides would hide swapped axes
        ([(128, 128)], (320, 480), (384, 512)),
        ([(4, 1), (6, 20)], (13, 26), (24, 36)),
    ],
)
def test_sizes_become_the_next_that_the_contract_allows(
    fields: list[tuple[int, int]], size: tuple[int, int], fitted: tuple[int, int]
) -> None:
    assert fit_size(contract(*fields), size) == fitted


def test_edgeconnects_sizes_are_those_that_were_promised() -> None:
    sizes = [given.photo.shape for given in long_inputs(contract((4, 12)))]
    assert sizes[:5] == [(2, 3, 96, 128)] * 3 + [(1, 3, 12, 12), (1, 3, 256, 256)]
    assert sizes[-3:] == [(1, 3, 320, 480)] * 2 + [(1, 3, 512, 512)]


def test_every_input_of_a_deep_net_keeps_to_its_contract() -> None:
    for given in long_inputs(contract((128, 128))):
        assert not any(side % 128 for side in given.photo.shape[2:])
    assert {given.photo.shape[0] for given in short_inputs(contract((128, 128)))} == {1, 2}


def test_deep_net_gets_a_photo_of_which_a_corner_is_known() -> None:
    def corners(multiple: int) -> list[str]:
        return [given.name for given in short_inputs(contract((multiple, multiple))) if "corner" in given.name]

    assert (corners(8), corners(32), corners(128)) == ([], ["coffee/corner 128x128"], ["coffee/corner 512x512"])
    known = make_mask("corner", (512, 512)) == 0
    assert known[:32, :32].all()
    assert known.sum() == 32 * 32


# First digits of the SHA-256 of the masks' bytes, as distances to every pixel of the plane gave them.
DRAWN = {
    ("small", (12, 12)): "5da1bd9619ac214e",
    ("large", (12, 12)): "8a1524cefd317d78",
    ("small", (96, 128)): "431bc4a8b647e0ca",
    ("large", (96, 128)): "6af48fcd78ccfa4b",
    ("small", (512, 512)): "480710420e88dcbd",
    ("large", (512, 512)): "bfc9d2eb72a4e1df",
}


@pytest.mark.parametrize(("name", "size"), DRAWN)
def test_strokes_are_drawn_bit_for_bit_as_ever(name: str, size: tuple[int, int]) -> None:
    assert hashlib.sha256(make_mask(name, size).tobytes()).hexdigest()[:16] == DRAWN[name, size]


def test_strokes_are_drawn_disc_by_disc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pixel is looked at a few times at most, not once for each of the 4 x 512 discs."""
    looked = 0

    def count(middle: float, radius: float) -> slice:
        nonlocal looked
        reach = _reach(middle, radius)
        looked += reach.stop - reach.start
        return reach

    monkeypatch.setattr(inputs, "_reach", count)
    make_mask("large", (512, 512))
    assert 0 < looked <= 4 * 512 * 2 * 40


def test_engine_profile_keeps_to_the_contract() -> None:
    fitted = Profile((64, 64), (256, 256), (1000, 1024)).fit(contract((128, 128)))
    assert fitted.sizes == ((128, 128), (256, 256), (1024, 1152))


def write_pair(folder: Path, height: int, width: int) -> tuple[Path, Path]:
    folders = folder / "photos", folder / "masks"
    for each in folders:
        each.mkdir()
        Image.fromarray(np.full((height, width, 3), 200, np.uint8)).save(each / "one.png")
    return folders


def test_photos_of_the_user_are_cut_to_the_contract(tmp_path: Path) -> None:
    (given,) = user_inputs(*write_pair(tmp_path, 270, 145))(contract((128, 128)))
    assert given.photo.shape == (1, 3, 256, 128)
    assert given.mask.shape == given.edges.shape == (1, 1, 256, 128)


def test_photo_too_small_for_the_model_is_refused(tmp_path: Path) -> None:
    make_inputs = user_inputs(*write_pair(tmp_path, 270, 100))
    with pytest.raises(PhotoError, match=r"one\.png: it is 270x100, the model takes 128x128 or more"):
        make_inputs(contract((128, 128)))
