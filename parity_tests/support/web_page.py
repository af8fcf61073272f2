"""The browser's page with a bundle's net, served on this machine, and what a test expects of it."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from skimage.draw import line

import consumers.write_consumer
from converters.tensors import Array
from converters.terminal.page_files import read_page_files
from parity_tests.support.browser import find_chromium
from parity_tests.support.foreign_models import make_model
from parity_tests.support.places import ROOT

NODE_MODULES = ROOT / "build" / "web" / "node_modules"

# What the page says when it can be used, and that it says what went wrong.
READY = "document.getElementById('status').textContent.startsWith('Ready')"
BAD = "document.getElementById('status').classList.contains('bad')"
# In place of a pipeline: whole numbers only, so that every runtime on every machine gives the same bits. What it paints
# tells photo, mask and edits.
WHOLE_NUMBERS = make_model(
    18,
    """m = Cast<to = 9>(mask) u = Unsqueeze(m, last) e = Cast<to = 6>(edge_edits) c = Unsqueeze(e, last)
    p = Cast<to = 6>(photo) d = Div(p, eight) s = Mul(c, ninety) t = Add(d, s) v = Add(t, grey) w = Cast<to = 2>(v)
    result = Where(u, w, photo) f = Cast<to = 1>(edge_edits) edges = Unsqueeze(f, first)""",
    {
        "last": np.array([3], np.int64),
        "first": np.array([1], np.int64),
        "eight": np.array(8, np.int32),
        "ninety": np.array(90, np.int32),
        "grey": np.array(128, np.int32),
    },
    "(uint8[N, H, W, 3] photo, uint8[N, H, W] mask, int8[N, H, W] edge_edits) "
    "=> (uint8[N, H, W, 3] result, float[N, 1, H, W] edges)",
)


def require_runtime() -> None:
    """Skip the test where the npm packages are not."""
    if not (NODE_MODULES / "onnxruntime-web").is_dir():
        pytest.skip("onnxruntime-web is not in build/web: run `make build/web/tests.stamp`")


def require_node() -> str:
    """The program that runs JavaScript; skip the test where it is not."""
    require_runtime()
    node = shutil.which("node")
    if node is None:
        pytest.skip("this machine has no node")
    return node


def require_chromium() -> None:
    """Skip the test where no browser is."""
    require_runtime()
    if find_chromium() is None:
        pytest.skip("this machine has no Chromium: run `make build/web/tests.stamp`")


def write_page(folder: Path, bundle: Path) -> Path:
    """What `ganport consumers web FOLDER --bundle BUNDLE` writes, from the checkout's npm packages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consumers.write_consumer, "NODE_MODULES", (NODE_MODULES,))
        consumers.write_consumer.write_consumer("web", folder, consumers.write_consumer.Net(*read_page_files(bundle)))
    return folder


def load_server(folder: Path) -> ModuleType:
    """The serve.py of a written page."""
    spec = importlib.util.spec_from_file_location("serve", folder / "serve.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def serve(folder: Path, isolated: bool = True) -> Iterator[str]:
    """The address of a written page, served by its own serve.py."""
    module = load_server(folder)
    handler = type("Handler", (module.Handler,), {"is_isolated": isolated})
    server = module.make_server(folder, 0, handler)
    threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.05), daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def draw_marks(strokes: Sequence[Mapping[str, object]], width: int, height: int) -> tuple[Array, Array]:
    """Mask and edits of strokes, by other means than the page's: distances of all pixels, scikit-image's lines."""
    mask = np.zeros((height, width), np.uint8)
    edits = np.zeros((height, width), np.int8)
    y, x = np.mgrid[:height, :width] + 0.5
    for stroke in strokes:
        points = np.reshape(np.array(stroke["points"], float), (-1, 2))
        touched = np.zeros((height, width), bool)
        for (x0, y0), (x1, y1) in zip(points[[0, *range(len(points) - 1)]], points, strict=True):
            if stroke["tool"] == "draw":
                rows, columns = line(int(y0 // 1), int(x0 // 1), int(y1 // 1), int(x1 // 1))
                inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
                touched[rows[inside], columns[inside]] = True
                continue
            dx, dy = x1 - x0, y1 - y0
            length = dx * dx + dy * dy
            share = np.clip(((x - x0) * dx + (y - y0) * dy) / length, 0, 1) if length else 0.0
            touched |= (x - x0 - share * dx) ** 2 + (y - y0 - share * dy) ** 2 <= (float(str(stroke["size"])) / 2) ** 2
        if stroke["tool"] in ("hole", "rub"):
            mask[touched] = 255 if stroke["tool"] == "hole" else 0
        if stroke["tool"] != "hole":
            edits[touched] = {"draw": 1, "erase": -1, "rub": 0}[str(stroke["tool"])]
    return mask, edits


def fill(bundle: Path, photo: Array, mask: Array, edits: Array) -> Array:
    """What ONNX Runtime in Python makes of a pipeline's file."""
    file = bundle / f"{bundle.name}.onnx"  # a pipeline's may hold others beside it, which belong to its engines
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    feeds = {"photo": photo[None], "mask": mask[None], "edge_edits": edits[None]}
    (result,) = session.run(["result"], feeds)
    return np.asarray(result[0])


def read_picture(path: Path) -> Array:
    """(H, W, 3) uint8."""
    return np.asarray(Image.open(path).convert("RGB"))
