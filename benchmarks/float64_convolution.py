"""What the float64 run of a source costs with torch's own convolutions, and with ours for many channels to few.

    python benchmarks/float64_convolution.py [--runs 5]

EdgeConnect's inpaint net of the published size, seeded. Seconds at 256x256, in turn, and the peak memory at 512x512,
each in a process of its own. Writes results/float64_convolution.json.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import click
import torch

from converters.bench.measure import read_environment
from converters.bench.peak_memory import read_peak_gib
from converters.parity.inputs import make_input
from converters.sources import torch_source
from parity_tests.support.seeded_checkpoints import FULL_BASE, FULL_BLOCKS, write_checkpoint
from reference.checkpoint import read_checkpoint
from reference.registry import identify

RESULTS = Path(__file__).parent / "results" / "float64_convolution.json"
THREADS = 2
WAYS = {"torch": contextlib.nullcontext, "ganport": torch_source.ThinConvolutions}


def run(path: Path, way: str, side: int) -> tuple[float, float]:
    """Seconds of one run, and the process's peak memory in GiB since it began."""
    torch.set_num_threads(THREADS)
    checkpoint = read_checkpoint(path)
    model = identify(checkpoint).build(checkpoint)
    given = make_input([("astronaut", "most")], (side, side))
    feeds = model.make_feeds(given.photo, given.edges, given.mask)
    with patch.object(torch_source, "ThinConvolutions", WAYS[way]):
        start = time.perf_counter()
        assert torch_source._run_in_float64(model, [feeds]) is not None
        return time.perf_counter() - start, read_peak_gib()


@click.command()
@click.option("--runs", default=5, show_default=True)
def main(runs: int) -> None:
    """Measure and record."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    peaks = {}
    with tempfile.TemporaryDirectory() as scratch:
        path = write_checkpoint(Path(scratch), "inpaint", FULL_BASE, FULL_BLOCKS)
        for _ in range(runs):
            for way in WAYS:
                seconds[way].append(run(path, way, 256)[0])
        for way in WAYS:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                peaks[way] = pool.submit(run, path, way, 512).result()[1]
    rows = {way: {"median_s": statistics.median(seconds[way]), "peak_gib": peaks[way]} for way in WAYS}
    RESULTS.write_text(
        json.dumps({"environment": read_environment(THREADS), "runs": runs, "ways": rows}, indent=2) + "\n"
    )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
