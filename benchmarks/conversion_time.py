"""How long a conversion takes, step by step: EdgeConnect's two nets of the published size to onnx, mxnet and trt.

    python benchmarks/conversion_time.py [CHECKPOINT ...] [--runs 3]

Every run is a process of its own, as a user's is. `wall_s` and `processor_s` are medians over the runs. Writes
results/conversion_time.json. Needs the extras mxnet and trt.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import click

from converters.bench.measure import read_environment
from parity_tests.support.seeded_checkpoints import FULL_BASE, FULL_BLOCKS, NETS, write_checkpoint

RESULTS = Path(__file__).parent / "results" / "conversion_time.json"
TARGETS = ("onnx", "mxnet", "trt")
TOTAL = "all"
# Wall and processor seconds of each step.
Steps = dict[str, tuple[float, float]]


def convert_once(paths: list[Path]) -> Steps:
    """Seconds of every step. The 2 s that torch takes to be imported are not in them: this file imports it."""
    steps: Steps = {}
    start = last = (time.perf_counter(), time.process_time())
    current = "importing"

    def begin(step: str) -> None:
        nonlocal current, last
        now = (time.perf_counter(), time.process_time())
        steps[current] = (now[0] - last[0], now[1] - last[1])
        current, last = step, now

    from converters.convert import Settings, convert

    with tempfile.TemporaryDirectory() as scratch:
        for _ in convert(paths, Settings(TARGETS, Path(scratch)), begin):
            pass
        begin("done")
    steps[TOTAL] = (last[0] - start[0], last[1] - start[1])
    return steps


@click.command()
@click.argument("checkpoints", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--runs", default=3, show_default=True)
def main(checkpoints: tuple[Path, ...], runs: int) -> None:
    """Measure and record."""
    made: list[Steps] = []
    with tempfile.TemporaryDirectory() as scratch:
        seeded = (write_checkpoint(Path(scratch), net, FULL_BASE, FULL_BLOCKS) for net in NETS)
        paths = list(checkpoints or seeded)
        for _ in range(runs):
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                made.append(pool.submit(convert_once, paths).result())
            print(f"{made[-1][TOTAL][0]:.0f} s")
    steps = [
        {
            "step": step,
            "wall_s": round(statistics.median(run[step][0] for run in made), 2),
            "processor_s": round(statistics.median(run[step][1] for run in made), 2),
        }
        for step in made[0]
    ]
    record = {"environment": read_environment(os.cpu_count() or 1), "runs": runs, "steps": steps}
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")
    for row in steps:
        print(f"{row['wall_s']:7.1f} s wall {row['processor_s']:7.1f} s of processors  {row['step']}")


if __name__ == "__main__":
    main()
