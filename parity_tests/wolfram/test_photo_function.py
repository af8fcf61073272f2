"""The package's function from images to an image, and what makes its folder a paclet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.support.mathics import Call, Kernel, Symbol
from parity_tests.support.waist import Waist
from parity_tests.support.wolfram_bundle import load, read_weights, write_files

NAME, RUN = "edgeconnect-inpaint", "RunEdgeconnectInpaint"
HEIGHT, WIDTH = 13, 18  # neither is a multiple of 4: 16 x 20 goes through the net
FAILED = Symbol("$Failed")


@pytest.fixture
def folder(waists: Mapping[str, Waist], tmp_path: Path) -> Path:
    write_files(tmp_path, NAME, waists["inpaint"].graph, waists["inpaint"].model)
    return tmp_path


@pytest.fixture
def kernel(folder: Path) -> Kernel:
    kernel = load(folder / f"{NAME}.wl", list(read_weights(folder / f"{NAME}-weights.wxf")))
    for name, array in make_images().items():
        kernel.evaluate(f"{name} = Image[{as_list(array)}]; 1")
    return kernel


def make_images() -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (HEIGHT, WIDTH, 3)) / 255
    return {
        "photo": photo,
        "lines": rng.integers(0, 2, (HEIGHT, WIDTH)) / 1.0,
        "hole": rng.integers(0, 256, (HEIGHT, WIDTH)) / 255,
    }


def as_list(array: NDArray[np.float64]) -> str:
    return str(array.tolist()).replace("[", "{").replace("]", "}")


def fill_up(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.pad(plane, ((0, 16 - HEIGHT), (0, 20 - WIDTH)), mode="reflect")


@pytest.mark.parametrize("route", ["NetGraph", "ONNX"])
def test_images_go_in_filled_up_and_an_image_of_their_size_comes_out(route: str, folder: Path, kernel: Kernel) -> None:
    """The net gives the image plane back, which the kernel then crops; a batch of one on the ONNX route."""
    images = make_images()
    planes = np.stack([fill_up(images["photo"][:, :, channel]) for channel in range(3)])
    kernel.evaluate(f"System`NetGraph[___][fed_] := (System`fed = fed; {as_list(planes)})")
    kernel.evaluate('Import[_String, {"ONNX", "NetExternalObject"}] := System`OnnxNet[]')
    kernel.evaluate('System`OnnxNet[][fed_] := (System`fed = Map[First, fed]; <|"result" -> fed["image"]|>)')
    kernel.get(folder / f"{NAME}.wl")  # again, so that its NetGraph is the one above
    found = kernel.evaluate(f'ImageData[{RUN}[photo, lines, hole, "Route" -> "{route}"]]')
    assert kernel.said == []
    assert np.abs(np.array(found) - images["photo"]).max() < 1e-7
    fed = kernel.evaluate("System`fed")
    assert list(fed) == ["image", "edges", "mask"]
    assert np.abs(np.array(fed["image"]) - planes).max() < 1e-7
    assert np.array_equal(np.array(fed["mask"]), [fill_up(np.where(images["hole"] >= 0.5, 1, 0))])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("photo, lines", "images: 3 images are wanted, one for each of {image, edges, mask}."),
        ("photo", "images: 3 images are wanted, one for each of {image, edges, mask}."),
        ('"photo"', "images: 3 images are wanted, one for each of {image, edges, mask}."),
        ('photo, lines, hole, "Route" -> 1', 'route: "Route" is Automatic, "NetGraph" or "ONNX", not 1.'),
        ("small, small, small", "size: {5, 5} is no size of this net: sides are both multiples of 4 and 12 or more."),
        (
            "photo, lines, small",
            "size: {{18, 13}, {18, 13}, {5, 5}} is no size of this net: sides are the same for all images.",
        ),
        (
            'photo, lines, hole, "Route" -> "NetGraph"',
            f"failed: The route NetGraph gives no image in this version; run {NAME}-check.wl to see which does.",
        ),
    ],
)
def test_wrong_use_gives_a_message_and_no_image(arguments: str, said: str, kernel: Kernel) -> None:
    kernel.evaluate("small = Image[Table[0.5, {5}, {5}]]; 1")
    assert kernel.evaluate(f"{RUN}[{arguments}]") == FAILED
    assert kernel.said == [said]


def test_route_is_the_onnx_file_where_the_version_runs_it_and_the_file_is_there(folder: Path, kernel: Kernel) -> None:
    best = "Ganport`BuildEdgeconnectInpaint`Private`bestRoute[]"
    assert kernel.evaluate(best) == "NetGraph"
    kernel.evaluate("System`NetExternalObject")
    assert kernel.evaluate(best) == "NetGraph"
    (folder / f"{NAME}.onnx").touch()
    assert kernel.evaluate(best) == "ONNX"


def test_usage_names_the_images_in_order_and_the_routes(kernel: Kernel) -> None:
    usage = kernel.evaluate(f"{RUN}::usage")
    for words in (f"{RUN}[image, edges, mask] gives the image result", "reflection", "white, in the hole", '"Route"'):
        assert words in usage


def test_folder_is_a_paclet_that_names_the_package_and_the_version(folder: Path) -> None:
    paclet = Kernel().evaluate((folder / "PacletInfo.wl").read_text())
    assert isinstance(paclet, Call)
    (facts,) = paclet.arguments
    assert facts["Name"] == "GanportBuildEdgeconnectInpaint"
    assert facts["WolframVersion"] == "11.3+"
    ((kind, root, context),) = facts["Extensions"]
    assert (kind, root) == ("Kernel", Call("Rule", ("Root", ".")))
    assert context == Call("Rule", ("Context", [["Ganport`BuildEdgeconnectInpaint`", f"{NAME}.wl"]]))
    assert (folder / f"{NAME}.wl").exists()
