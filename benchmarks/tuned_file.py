"""What a tuned ONNX file costs beside the plain one: bytes, seconds to load it, and memory; with --small and without.

EdgeConnect's inpainting net of the published size and a LaMa of 6 blocks, seeded weights, ONNX Runtime with two
threads, each measurement in a process of its own. Writes results/tuned_file.json.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent / "results" / "tuned_file.json"
SIDES = (256, 512, 1024)
THREADS, LOADS = 2, 5


def write_files(checkpoint: Path, folder: Path) -> dict[str, Path]:
    """The plain file, the tuned one and the small one."""
    # Imported here because they import torch, and the processes that are measured import this file.
    from converters.onnx_graph.serialize import serialize
    from converters.onnx_graph.simplify import simplify
    from converters.rewrites.accurate_norm import rewrite_accurate_norm
    from converters.rewrites.tune_cpu import tune_for_cpu
    from converters.sources.export_torch import export_onnx
    from converters.sources.spectral_norm import fold_spectral_norm
    from reference.checkpoint import read_checkpoint
    from reference.registry import identify

    read = read_checkpoint(checkpoint)
    model = identify(read).build(read)
    waist = simplify(export_onnx(model, fold_spectral_norm(model.module)))
    *_, tuned = tune_for_cpu(waist)
    *_, small = tune_for_cpu(waist, small=True)
    files = {}
    for name, graph in (("plain", waist), ("tuned", tuned.graph), ("small", small.graph)):
        files[name] = folder / f"{checkpoint.stem}-{name}.onnx"
        files[name].write_bytes(serialize(rewrite_accurate_norm(graph)))
    return files


def run(file: Path, side: int | None) -> tuple[float, float]:
    """Load the file, run it twice on a plane of this side; the seconds of loading, and this process's peak in GiB."""
    import numpy as np
    import onnxruntime

    from converters.bench.peak_memory import read_peak_gib

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    start = time.perf_counter()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    seconds = time.perf_counter() - start
    if side is not None:
        feeds = {x.name: np.zeros((1, x.shape[1], side, side), np.float32) for x in session.get_inputs()}
        for _ in range(2):
            session.run(None, feeds)
    return seconds, read_peak_gib()


def measure(files: dict[str, Path]) -> list[dict[str, Any]]:
    """A row for each file; their loads take turns."""

    def alone(file: Path, side: int | None = None) -> tuple[float, float]:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(run, file, side).result()

    loads: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(LOADS):
        for name, file in files.items():
            loads[name].append(alone(file)[0])
    return [
        {
            "file": name,
            "bytes": file.stat().st_size,
            "load_s": round(statistics.median(loads[name]), 3),
            "peak_gib": {f"{side}x{side}": round(alone(file, side)[1], 2) for side in SIDES},
        }
        for name, file in files.items()
    ]


def main() -> None:
    """Measure and record."""
    from converters.bench.measure import read_environment
    from parity_tests.support.lama_states import write_checkpoint as write_lama
    from parity_tests.support.seeded_checkpoints import FULL_BASE, FULL_BLOCKS, write_checkpoint

    nets = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for net, checkpoint in (
            ("edgeconnect-inpaint", write_checkpoint(folder, "inpaint", FULL_BASE, FULL_BLOCKS)),
            ("lama of 6 blocks", write_lama(folder, "fourier", FULL_BASE, 6)),
        ):
            rows = measure(write_files(checkpoint, folder))
            nets.append({"net": net, "files": rows})
            print(net, *rows, sep="\n")
    RECORD.write_text(
        json.dumps({"environment": read_environment(THREADS), "loads": LOADS, "nets": nets}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
