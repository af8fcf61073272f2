"""The Canny edges of EdgeConnectInpaint.wl are those of reference/canny.py, to the last bit.

Mathics evaluates the file on a small plane; on 20 photos and 3 masks of 64 x 64 the interpreter of matrices does, as
Mathics needs minutes for one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from converters.parity.inputs import IMAGES, make_input, make_mask
from converters.targets.wolfram.write import TEMPLATES
from parity_tests.support.mathics import Kernel
from parity_tests.support.wolfram_arrays import Definitions
from reference.canny import HIGH_THRESHOLD, LOW_THRESHOLD, LUMA, RADIUS, WEIGHTS, Canny

FILE = TEMPLATES / "EdgeConnectInpaint.wl"
TEXT = FILE.read_text(encoding="ascii").partition("(* canny:")[2].partition("*)")[2].partition("End[]")[0]
SIDE, PHOTOS = 64, 20
MASKS = ("small", "large", "none")
Bytes = NDArray[np.uint8]
Find = Callable[[Bytes, Bytes], NDArray[np.int64]]


def make_photos() -> list[Bytes]:
    """Photos, patterns and noise, and parts of the photos turned and mirrored."""
    made = [_levels(make_input([(image, "none")], (SIDE, SIDE)).photo) for image in IMAGES]
    for i in range(PHOTOS - len(made)):
        large = _levels(make_input([(IMAGES[i % 3], "none")], (3 * SIDE, 3 * SIDE)).photo)
        top, left = 13 * i % (2 * SIDE), 29 * i % (2 * SIDE)
        made.append(np.ascontiguousarray(np.rot90(large[top : top + SIDE, left : left + SIDE], i)[:, :: (-1) ** i]))
    return made


def _levels(photo: NDArray[np.float32]) -> Bytes:
    return np.rint(photo[0].transpose(1, 2, 0) * 255).astype(np.uint8)


def ours(rgb: Bytes, hole: Bytes) -> NDArray[np.int64]:
    edges = Canny()(torch.from_numpy(rgb)[None], torch.from_numpy(hole.astype(bool))[None])[1]
    return edges[0, 0].numpy().astype(int)


@pytest.fixture(scope="module")
def interpret() -> Find:
    definitions = Definitions(TEXT)
    return lambda rgb, hole: definitions.call("CannyEdges", rgb.astype(float), hole.astype(int))


def test_edges_of_twenty_photos_and_three_masks_are_ours(interpret: Find) -> None:
    photos = make_photos()
    assert len(photos) == PHOTOS
    counts = []
    for rgb in photos:
        for mask in MASKS:
            hole = make_mask(mask, (SIDE, SIDE)).astype(np.uint8).reshape(SIDE, SIDE)
            expected = ours(rgb, hole)
            assert np.array_equal(interpret(rgb, hole), expected)
            counts.append(expected.sum())
    assert np.median(counts) > 50  # planes without edges would agree with anything


def test_mathics_finds_our_edges_on_a_small_plane() -> None:
    height, width = 12, 16
    rgb = _levels(make_input([("astronaut", "none")], (height, width)).photo)
    hole = np.zeros((height, width), np.uint8)
    hole[3:6, 10:13] = 1
    kernel = Kernel()
    kernel.get(FILE)
    found = np.array(kernel.evaluate(f"CannyEdges[{_as_list(rgb)}, {_as_list(hole)}]"))
    assert kernel.said == []
    assert np.array_equal(found, ours(rgb, hole))
    assert found.sum() > 10


def _as_list(array: Bytes) -> str:
    return str(array.tolist()).replace("[", "{").replace("]", "}")


def test_numbers_in_the_text_are_those_of_the_definition() -> None:
    kernel = Kernel()
    text = TEXT.partition("weights = ")[2].partition(";")[0]
    assert kernel.evaluate(text) == WEIGHTS
    assert len(WEIGHTS) == RADIUS + 1 == 9
    for number in (*LUMA, LOW_THRESHOLD, HIGH_THRESHOLD):
        assert repr(number) in TEXT


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("strength - 0.2", "strength - 0.3"),
        ("strength - 0.1", "strength - 0.2"),
        ("1 - hole]", "1 - 0*hole]"),
        ("slope*2", "slope*1"),
        ("Sign[around[hole, 1]]", "Sign[around[hole, 0]]"),
        ("movedFilled[strength, -to, to, 0.]", "movedFilled[strength, to, -to, 0.]"),
        ("Range[8, 1, -1]", "Range[7, 1, -1]"),
        ("side[1]*side[-1]", "side[1]*side[1]"),
        ("Sign[around[edges, 0]]*weak", "edges*weak"),
    ],
)
def test_fault_shows(before: str, after: str) -> None:
    assert TEXT.count(before) == 1
    definitions = Definitions(TEXT.replace(before, after))
    hole = make_mask("large", (SIDE, SIDE)).astype(np.uint8).reshape(SIDE, SIDE)
    different = 0
    for rgb in make_photos()[:6]:
        found = definitions.call("CannyEdges", rgb.astype(float), hole.astype(int))
        different += (found != ours(rgb, hole)).sum()
    assert different > 0
