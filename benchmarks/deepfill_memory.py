"""Seconds and memory of DeepFill v2 at full width on large photos: its attention compares every place with every other.

Seeded weights, both published layouts, the ONNX file and the MXNet symbol with free sizes. Each run is a process of its
own: the largest memory of the process, the first run's seconds, and the largest difference from torch in the hole.
Writes results/deepfill_memory.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converters.bench.measure import read_environment
from converters.bench.peak_memory import read_peak_gib
from converters.bundle.folder import read_bundle
from converters.bundle.run_artifact import NotRun, open_artifact
from converters.convert import Settings, convert
from converters.parity.inputs import make_input
from converters.tensors import Array
from parity_tests.support.deepfill_states import write_checkpoint

RECORD = Path(__file__).parent / "results" / "deepfill_memory.json"
SIDES = (256, 512, 1024)
BASE, THREADS = 48, 2


def measure(folder: Path, layout: str) -> list[dict[str, Any]]:
    """The rows of one layout."""
    checkpoint = write_checkpoint(folder, layout, BASE)
    made = next(convert([checkpoint], Settings(("onnx", "mxnet"), folder / layout), _say))
    rows = []
    for side in SIDES:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            expected = pool.submit(_run_torch, checkpoint, side).result()
        hole = make_input([("astronaut", "large")], (side, side)).mask.repeat(3, axis=1) > 0
        row: dict[str, Any] = {"layout": layout, "side": side}
        for artifact in made.bundle.manifest.artifacts:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                result, seconds, peak_gib = pool.submit(_run, made.bundle.folder, artifact.target, side).result()
            max_abs = float(np.abs(result - expected)[hole].max())
            row[artifact.target] = {"max_abs": max_abs, "seconds": seconds, "peak_gib": peak_gib}
        rows.append(row)
        _say(json.dumps(row))
    return rows


def _run(folder: Path, target: str, side: int) -> tuple[Array, float, float]:
    """The result, the seconds, and the process's largest memory in GiB."""
    bundle = read_bundle(folder)
    (artifact,) = (artifact for artifact in bundle.manifest.artifacts if artifact.target == target)
    given = make_input([("astronaut", "large")], (side, side))
    runner = open_artifact(bundle, artifact, THREADS)
    assert not isinstance(runner, NotRun), runner.why
    with runner:
        start = time.perf_counter()
        outputs = runner.run({"image": given.photo, "mask": given.mask})
        seconds = time.perf_counter() - start
    return outputs["result"], seconds, read_peak_gib()


def _run_torch(checkpoint: Path, side: int) -> Array:
    from reference.checkpoint import read_checkpoint
    from reference.registry import identify

    read = read_checkpoint(checkpoint)
    given = make_input([("astronaut", "large")], (side, side))
    with torch.no_grad():
        result = identify(read).build(read).module(torch.from_numpy(given.photo), torch.from_numpy(given.mask))
    output: Array = result.numpy()
    return output


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for layout in ("pt", "tf") for row in measure(Path(folder), layout)]
    record = {"environment": read_environment(THREADS), "base": BASE, "rows": rows}
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
