"""The exported Canny against scikit-image's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import data
from skimage.color import rgb2gray
from skimage.feature import canny

from converters.onnx_graph.clean import check
from converters.onnx_graph.simplify import simplify
from converters.parity.inputs import MASKS, make_mask
from converters.sources.export_torch import export_onnx
from converters.tensors import TensorSpec
from reference.canny import SIGMA, Canny
from reference.model import ReferenceModel

Array = NDArray[np.generic]
FindEdges = Callable[[Array, Array], Array]

PHOTOS = (
    *("astronaut", "brick", "camera", "cat", "cell", "clock", "coffee", "coins", "colorwheel"),
    *("grass", "gravel", "hubble_deep_field", "immunohistochemistry", "logo", "microaneurysms", "moon", "page"),
    *("retina", "rocket", "text"),
)
# Required of every photo with every mask, and of all of them together.
SAME_PIXELS, SAME_CASES = 0.999, 0.5


def crop(image: Image.Image) -> Image.Image:
    return image.crop((3, 5, 3 + min(277, image.width - 3), 5 + min(190, image.height - 5)))


WAYS: tuple[Callable[[Image.Image], Image.Image], ...] = (
    lambda image: image.resize((256, 256), Image.Resampling.BICUBIC),
    crop,
    lambda image: image.resize((211, 333), Image.Resampling.NEAREST),
    lambda image: image.resize((96, 128), Image.Resampling.BOX),
)


def read_photo(name: str) -> Array:
    """(H, W, 3) uint8, each photo cropped or resized in one of four ways."""
    photo = Image.fromarray(getattr(data, name)()).convert("RGB")
    return np.array(WAYS[PHOTOS.index(name) % len(WAYS)](photo))


def expected_edges(photo: Array, hole: Array) -> Array:
    return canny(rgb2gray(photo), sigma=SIGMA, mask=~hole)


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    plane = ("N", "H", "W")
    photo = TensorSpec("photo", (*plane, 3), "uint8", "NHWC", minimum=12)
    hole = TensorSpec("hole", plane, "bool", "NHW", minimum=12)
    outputs = (TensorSpec("gray", ("N", 1, "H", "W"), "float64"), TensorSpec("edges", ("N", 1, "H", "W")))
    module = Canny().eval()
    model = ReferenceModel("canny", {}, (photo, hole), outputs, module, False, lambda photo, edges, mask: {})
    graph = simplify(export_onnx(model, module))
    graph.ir_version = 8
    check(graph)
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, photo: Array, hole: Array) -> Array:
    return run_with_gray(session, photo, hole)[1]


def run_with_gray(session: onnxruntime.InferenceSession, photo: Array, hole: Array) -> tuple[Array, Array]:
    gray, edges = session.run(["gray", "edges"], {"photo": photo[None], "hole": hole[None]})
    assert set(np.unique(edges)) <= {0, 1}
    return gray[0, 0], edges[0, 0] > 0


def test_every_photo_with_every_mask_gives_scikit_images_edges(session: onnxruntime.InferenceSession) -> None:
    equal: list[bool] = []
    found = 0
    for name in PHOTOS:
        photo = read_photo(name)
        for kind in MASKS:
            hole = make_mask(kind, photo.shape[:2]) > 0
            gray, edges = run_with_gray(session, photo, hole)
            assert np.array_equal(edges, canny(gray, sigma=SIGMA, mask=~hole)), (name, kind)
            expected = expected_edges(photo, hole)
            assert np.mean(edges == expected) >= SAME_PIXELS, (name, kind)
            outline = ndimage.binary_dilation(hole, np.ones((3, 3)))
            assert not (edges & outline & ~expected).any(), (name, kind)
            equal.append(bool((edges == expected).all()))
            found += int(expected.sum())
    assert len(equal) == len(PHOTOS) * len(MASKS) >= 120
    assert found > 100_000
    assert np.mean(equal) >= SAME_CASES


def test_outline_of_the_hole_is_an_edge_without_the_mask_argument_only(session: onnxruntime.InferenceSession) -> None:
    photo = read_photo("grass")
    hole = np.zeros(photo.shape[:2], bool)
    hole[40:90, 60:150] = True
    filled = np.where(hole[..., None], 255, photo).astype(np.uint8)
    outline = ndimage.binary_dilation(hole, np.ones((3, 3)), 2) & ~ndimage.binary_erosion(hole, np.ones((3, 3)), 2)
    assert canny(rgb2gray(filled), sigma=SIGMA)[outline].sum() > 100
    assert not run(session, filled, hole)[ndimage.binary_dilation(hole, np.ones((3, 3)))].any()


def test_checkerboard_differs_by_the_last_bit_of_its_gray_only(session: onnxruntime.InferenceSession) -> None:
    """A plateau's edge hangs on that bit, and scikit-image's comes from a matrix product, so from the processor."""
    photo = np.array(crop(Image.fromarray(data.checkerboard()).convert("RGB")))
    hole = make_mask("small", photo.shape[:2]) > 0
    gray, edges = run_with_gray(session, photo, hole)
    assert np.abs(gray - rgb2gray(photo)).max() <= 2 * np.finfo(np.float64).eps
    assert np.array_equal(edges, canny(gray, sigma=SIGMA, mask=~hole))


def test_weak_edge_grows_from_its_strong_end_to_the_other(session: onnxruntime.InferenceSession) -> None:
    photo = np.full((24, 400, 3), 60, np.uint8)
    photo[12:] = 82
    hole = np.zeros(photo.shape[:2], bool)
    assert not run(session, photo, hole).any()
    photo[12:, :12] = 110
    gray, edges = run_with_gray(session, photo, hole)  # its own gray: on planes edges hang on the last bit
    expected = canny(gray, sigma=SIGMA, mask=~hole)
    assert expected[10:14, 390].any()
    assert (edges == expected).all()


def test_items_of_a_batch_do_not_mix(session: onnxruntime.InferenceSession) -> None:
    photos = np.stack([read_photo("astronaut"), np.roll(read_photo("astronaut"), 40, 1)])
    holes = np.stack([make_mask("large", (256, 256)), make_mask("border", (256, 256))]) > 0
    (edges,) = session.run(["edges"], {"photo": photos, "hole": holes})
    for item in range(2):
        assert (edges[item, 0] > 0).tolist() == run(session, photos[item], holes[item]).tolist()


def test_torch_module_and_graph_agree(session: onnxruntime.InferenceSession) -> None:
    feeds: Mapping[str, Array] = {
        "photo": read_photo("coffee")[None],
        "hole": make_mask("small", read_photo("coffee").shape[:2])[None] > 0,
    }
    with torch.inference_mode():
        gray, edges = Canny()(*(torch.from_numpy(np.ascontiguousarray(array)) for array in feeds.values()))
    exported = session.run(["gray", "edges"], dict(feeds))
    assert np.array_equal(gray.numpy(), exported[0])
    assert np.array_equal(edges.numpy(), exported[1])
