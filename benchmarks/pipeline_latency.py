"""How long from photo to photo: one ONNX file, plain and tuned, against Canny by scikit-image and both nets in torch.

    python benchmarks/pipeline_latency.py [EDGE.pth INPAINT.pth] [--runs 5] [--size 256x256 --size 512x512]

All take the same photo and mask in turn, in one process, with the same number of threads. Writes
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
PLAIN, TUNED, UPSTREAM = "one ONNX file", "one ONNX file, --tune cpu", "scikit-image and torch eager"
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
@click.option("--size", "sizes", type=read_size, multiple=True, default=["256x256", "512x512"], show_default=True)
def main(checkpoints: tuple[Path, ...], runs: int, sizes: tuple[tuple[int, int], ...]) -> None:
    """Measure and record."""
    paths = list(checkpoints or reference.registry.shipped_checkpoints())
    torch.set_num_threads(THREADS)
    sessions = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, tune in ((PLAIN, False), (TUNED, True)):
            settings = Settings(("onnx",), Path(scratch) / str(tune), pipeline=True, tune=tune)
            (conversion,) = convert(paths, settings, print)
            sessions[name] = OnnxRunner(conversion.bundle.folder / "edgeconnect.onnx", threads=THREADS)
    hyperparameters = conversion.bundle.manifest.hyperparameters
    torch_eager = open_torch_eager(paths)
    records = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for size in sizes:
        record = {
            "environment": read_environment(THREADS),
            "hyperparameters": hyperparameters,
            **measure(sessions, torch_eager, size, runs),
        }
        records[f"{hyperparameters['edge_base_channels']} base channels, {size[0]}x{size[1]}"] = record
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(records, indent=2) + "\n")


def measure(
    sessions: dict[str, OnnxRunner],
    torch_eager: Callable[[np.ndarray, np.ndarray], np.ndarray],
    size: tuple[int, int],
    runs: int,
) -> dict[str, object]:
    """Everybody's times at one size, and how far the files' results are from torch's."""
    given = make_input([("coffee", "large")], size)
    photo = np.rint(given.photo[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    mask = (given.mask[0, 0] * 255).astype(np.uint8)
    feeds = {"photo": photo[None], "mask": mask[None], "edge_edits": np.zeros((1, *size), np.int8)}

    def run_file(session: OnnxRunner) -> Callable[[], np.ndarray]:
        return lambda: session.run(feeds)["result"][0]

    contestants = {name: run_file(session) for name, session in sessions.items()}
    contestants[UPSTREAM] = lambda: torch_eager(photo, mask)
    results = {name: run() for name, run in contestants.items() for _ in range(WARM_UP)}
    latencies_ms: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(runs):
        for name, run in contestants.items():
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            run()
            latencies_ms[name].append(1000 * (time.perf_counter() - start))
    medians = {name: statistics.median(values) for name, values in latencies_ms.items()}
    ratios = {name: medians[name] / medians[UPSTREAM] for name in sessions}
    theirs = results[UPSTREAM]
    levels = {name: int(np.abs(results[name].astype(int) - theirs).max()) for name in sessions}
    print(f"{size[0]}x{size[1]}, medians of {runs}")
    for name, median in medians.items():
        told = f", {ratios[name]:.2f} of torch's, at most {levels[name]} levels from it" if name in sessions else ""
        print(f"  {name}: {median:.0f} ms{told}")
    return {
        "size": list(size),
        "latencies_ms": latencies_ms,
        "median_ms": medians,
        "ratios": ratios,
        "largest_difference_in_levels": levels,
    }


if __name__ == "__main__":
    main()
