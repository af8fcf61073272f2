"""How long from photo to photo: the single ONNX file against Canny by scikit-image and both nets in torch eager.

    python benchmarks/pipeline_latency.py [EDGE.pth INPAINT.pth] [--runs 5] [--size 256x256]

Both take the same photo and mask in turn, in one process, with the same number of threads. Writes
results/pipeline_latency.json; several runs with different checkpoints are kept side by side.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from skimage.color import rgb2gray
from skimage.feature import canny

import reference.registry
from converters.bench.measure import read_environment
from converters.convert import Settings, convert
from converters.parity.inputs import make_input
from converters.runners import OnnxRunner
from converters.terminal.options import read_size
from reference.checkpoint import read_checkpoint
from reference.registry import identify_model

RESULTS = Path(__file__).parent / "results" / "pipeline_latency.json"
THREADS = 2
WARM_UP = 2
# Idle threads of either runtime spin for some milliseconds after a run.
PAUSE_S = 0.1


def open_torch_eager(checkpoints: list[Path]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """What upstream's inference does: Canny outside the nets, two nets, compositing."""
    read = [read_checkpoint(path) for path in checkpoints]
    stages = identify_model(read).checkpoints
    edge_net, inpaint_net = (identify_model([stage]).build(raw=True).module for stage in stages)

    def run(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
        hole = mask > 0
        gray = rgb2gray(photo)
        edges = torch.from_numpy(canny(gray, sigma=2, mask=~hole)).float()[None, None]
        gray_plane, hole_plane = torch.from_numpy(gray).float()[None, None], torch.from_numpy(hole).float()[None, None]
        image = torch.from_numpy(photo).permute(2, 0, 1).float()[None] / 255
        known = 1 - hole_plane
        with torch.inference_mode():
            completed = edge_net(torch.cat([gray_plane * known + hole_plane, edges * known, hole_plane], 1))
            filled = inpaint_net(torch.cat([image * known + hole_plane, completed], 1))
        result = filled * hole_plane + image * known
        return (result[0].permute(1, 2, 0) * 255).round().byte().numpy()

    return run


@click.command()
@click.argument("checkpoints", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--runs", default=5, show_default=True)
@click.option("--size", type=read_size, default="256x256", show_default=True)
def main(checkpoints: tuple[Path, ...], runs: int, size: tuple[int, int]) -> None:
    """Measure and record."""
    paths = list(checkpoints or reference.registry.shipped_checkpoints())
    torch.set_num_threads(THREADS)
    given = make_input([("coffee", "large")], size)
    photo = np.rint(given.photo[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    mask = (given.mask[0, 0] * 255).astype(np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        (conversion,) = convert(paths, Settings(("onnx",), Path(scratch), pipeline=True), print)
        session = OnnxRunner(conversion.bundle.folder / "edgeconnect.onnx", threads=THREADS)
    feeds = {"photo": photo[None], "mask": mask[None], "edge_edits": np.zeros((1, *size), np.int8)}
    torch_eager = open_torch_eager(paths)
    contestants: dict[str, Callable[[], np.ndarray]] = {
        "one ONNX file": lambda: session.run(feeds)["result"][0],
        "scikit-image and torch eager": lambda: torch_eager(photo, mask),
    }
    results = {name: run() for name, run in contestants.items() for _ in range(WARM_UP)}
    latencies_ms: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(runs):
        for name, run in contestants.items():
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            run()
            latencies_ms[name].append(1000 * (time.perf_counter() - start))
    medians = {name: statistics.median(values) for name, values in latencies_ms.items()}
    ours, theirs = results.values()
    record = {
        "environment": read_environment(THREADS),
        "hyperparameters": conversion.bundle.manifest.hyperparameters,
        "size": list(size),
        "latencies_ms": latencies_ms,
        "median_ms": medians,
        "ratio": medians["one ONNX file"] / medians["scikit-image and torch eager"],
        "largest_difference_in_levels": int(np.abs(ours.astype(int) - theirs).max()),
    }
    width = conversion.bundle.manifest.hyperparameters["edge_base_channels"]
    key = f"{width} base channels, {size[0]}x{size[1]}"
    records = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**records, key: record}, indent=2) + "\n")
    for name, median in medians.items():
        print(f"{name}: median {median:.0f} ms of {runs}")
    print(f"ratio {record['ratio']:.2f}, largest difference {record['largest_difference_in_levels']} levels")


if __name__ == "__main__":
    main()
