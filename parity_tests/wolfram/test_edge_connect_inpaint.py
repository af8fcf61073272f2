"""EdgeConnectInpaint.wl from photo to photo, against the pipeline of reference/edgeconnect_pipeline.py.

The nets are stand-ins here, the same on both sides; the packages' own nets are proven elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from converters.parity.inputs import make_input
from converters.targets.wolfram.write import TEMPLATES
from parity_tests.support.mathics import Kernel, Symbol, quote
from parity_tests.support.waist import Waist
from parity_tests.support.wolfram_bundle import read_weights, write_files
from reference.edgeconnect_pipeline import EdgeConnectPipeline

HEIGHT, WIDTH = 13, 14  # 16 x 16 goes through the nets
FAILED = Symbol("$Failed")


class EdgeStandIn(nn.Module):
    """Half of the gray, and of the edges."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, gray: Tensor, edges: Tensor, mask: Tensor) -> Tensor:
        return self.factor * gray + self.factor * edges * (1 - mask)


class InpaintStandIn(nn.Module):
    """The negative, darker at edges; some values lie outside of 0 and 1, none in the middle of two levels."""

    def forward(self, image: Tensor, edges: Tensor, mask: Tensor) -> Tensor:
        return 1.21 - 1.43 * image * (1 - 0.37 * edges)


STAND_INS = """
    System`NetGraph[___][fed_] := <|"any" -> If[MemberQ[Keys[fed], "gray"],
      {0.5 fed["gray"][[1]] + 0.5 fed["edges"][[1]] (1 - fed["mask"][[1]])},
      Map[1.21 - 1.43 # (1 - 0.37 fed["edges"][[1]]) &, fed["image"]]
    ]|>
"""


def make_pictures() -> dict[str, NDArray[np.uint8]]:
    photo = make_input([("astronaut", "none")], (HEIGHT, WIDTH)).photo
    pictures = {"photo": np.rint(photo[0].transpose(1, 2, 0) * 255).astype(np.uint8)}
    for name, rows, columns in (("mask", (3, 9), (4, 12)), ("draw", (6, 7), (0, 14)), ("erase", (0, 13), (10, 11))):
        pictures[name] = np.zeros((HEIGHT, WIDTH), np.uint8)
        pictures[name][slice(*rows), slice(*columns)] = 255
    return pictures


@pytest.fixture
def packages(waists: Mapping[str, Waist], tmp_path: Path) -> tuple[Path, Path]:
    made = []
    for net in ("edge", "inpaint"):
        write_files(tmp_path, f"edgeconnect-{net}", waists[net].graph, waists[net].model)
        made.append(tmp_path / f"edgeconnect-{net}.wl")
    return made[0], made[1]


@pytest.fixture
def kernel(packages: tuple[Path, Path]) -> Kernel:
    kernel = Kernel()
    kernel.store({name for path in packages for name in read_weights(path.with_name(f"{path.stem}-weights.wxf"))})
    kernel.get(TEMPLATES / "EdgeConnectInpaint.wl")
    for name, levels in make_pictures().items():
        kernel.evaluate(f"{name} = Image[{as_list(levels / 255)}]; 1")
    return kernel


def as_list(array: NDArray[np.float64]) -> str:
    return str(array.tolist()).replace("[", "{").replace("]", "}")


def run_pipeline(edits: NDArray[np.int8]) -> NDArray[np.uint8]:
    pictures = make_pictures()
    given = (pictures["photo"], pictures["mask"], edits)
    with torch.no_grad():
        result = EdgeConnectPipeline(EdgeStandIn(), InpaintStandIn())(
            *(torch.from_numpy(array)[None] for array in given)
        )
    levels: NDArray[np.uint8] = result[0][0].numpy()
    return levels


def model_of(packages: tuple[Path, Path]) -> str:
    return f'"Model" -> {{{", ".join(quote(str(path)) for path in packages)}}}'


@pytest.mark.parametrize("edited", [False, True])
def test_result_is_that_of_the_pipeline(edited: bool, packages: tuple[Path, Path], kernel: Kernel) -> None:
    pictures = make_pictures()
    edits = np.zeros((HEIGHT, WIDTH), np.int8)
    options = model_of(packages)
    if edited:
        edits[pictures["erase"] > 0] = -1
        edits[pictures["draw"] > 0] = 1
        options += ', "Draw" -> draw, "Erase" -> erase'
    kernel.evaluate(STAND_INS)
    found = kernel.evaluate(f"ImageData[EdgeConnectInpaint[photo, mask, {options}]]")
    assert kernel.said == []
    levels = np.rint(np.array(found) * 255).astype(np.uint8)
    expected = run_pipeline(edits)
    assert np.array_equal(levels, expected)
    assert (expected != pictures["photo"]).any()
    assert np.array_equal(levels == run_pipeline(0 * edits), np.ones_like(levels, bool)) is not edited


def test_pipelines_file_gets_bytes_hole_and_edits_and_its_result_becomes_an_image(kernel: Kernel) -> None:
    kernel.evaluate('Import["any.onnx", {"ONNX", "NetExternalObject"}] := System`OnnxNet[]')
    kernel.evaluate('System`OnnxNet[][fed_] := (System`fed = fed; <|"edges" -> 1, "result" -> 255 - fed["photo"]|>)')
    call = 'EdgeConnectInpaint[photo, mask, "Model" -> "any.onnx", "Draw" -> draw, "Erase" -> erase]'
    found = kernel.evaluate(f"ImageData[{call}]")
    assert kernel.said == []
    pictures = make_pictures()
    assert np.array_equal(np.rint(np.array(found) * 255), 255 - pictures["photo"])
    fed = kernel.evaluate("System`fed")
    assert np.array_equal(fed["photo"], pictures["photo"][None])
    assert np.array_equal(fed["mask"], pictures["mask"][None] // 255)
    edits = np.where(pictures["draw"] > 0, 1, np.where(pictures["erase"] > 0, -1, 0))
    assert np.array_equal(fed["edge_edits"], edits[None])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("photo", "images: Photo and mask are wanted, both images: EdgeConnectInpaint[photo, mask, options]."),
        ("photo, mask", 'model: "Model" is the pipeline\'s ONNX file or {edge, inpaint}, two packages, not None.'),
        (
            "tiny, tiny",
            "size: Photo of the size {5, 6} does not fit the photo of the size {5, 6}, or is smaller than 12 x 12.",
        ),
        (
            "photo, tiny",
            "size: Mask of the size {5, 6} does not fit the photo of the size {14, 13}, or is smaller than 12 x 12.",
        ),
        (
            'photo, mask, "Erase" -> tiny',
            "size: Erase of the size {5, 6} does not fit the photo of the size {14, 13}, or is smaller than 12 x 12.",
        ),
        (
            'photo, mask, "Model" -> "any.onnx"',
            "failed: any.onnx gives no result in this version of the language, 13..",
        ),
    ],
)
def test_wrong_use_gives_a_message_and_no_image(arguments: str, said: str, kernel: Kernel) -> None:
    kernel.evaluate("tiny = Image[Table[0.5, {6}, {5}]]; 1")
    assert kernel.evaluate(f"EdgeConnectInpaint[{arguments}]") == FAILED
    assert kernel.said == [said]


def test_usage_tells_of_every_option(kernel: Kernel) -> None:
    usage = kernel.evaluate("EdgeConnectInpaint::usage")
    for option in ("Model", "Draw", "Erase"):
        assert f'"{option}"' in usage
    assert set(kernel.evaluate('Names["Ganport`EdgeConnectInpaint`*"]')) == {"CannyEdges", "EdgeConnectInpaint"}
