"""How close the files of a LaMa of full size are to torch.fft: big-lama's 18 blocks, seeded weights, several sizes.

One ONNX file and one MXNet symbol with free sizes are made by `convert`, then run at each size. They are held to the
published net written out with torch.fft (parity_tests/support/lama_restated.py), in float32 and in float64.
`excess` is the largest error against float64, in units of that of torch.fft's own float32 run. The ONNX file is also
run at 2048x2048 in a process of its own, for its memory; float64 is left out there. Writes results/lama_full_size.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from converters.bench.measure import read_environment
from converters.bench.peak_memory import read_peak_gib
from converters.bundle.run_artifact import NotRun, open_artifact
from converters.convert import Settings, convert
from converters.parity.inputs import make_input
from converters.tensors import Array
from parity_tests.support import lama_states
from parity_tests.support.lama_restated import restate

RECORD = Path(__file__).parent / "results" / "lama_full_size.json"
SIZES = ((256, 256), (360, 488), (512, 512), (1024, 768))
LARGE = (2048, 2048)
BASE, BLOCKS, THREADS = 64, 18, 2


def measure(folder: Path) -> list[dict[str, Any]]:
    """Convert one seeded checkpoint and compare its files at every size."""
    checkpoint = lama_states.write_checkpoint(folder, "fourier", BASE, BLOCKS)
    state = lama_states.make_state("fourier", BASE, BLOCKS)
    bundle = next(convert([checkpoint], Settings(("onnx", "mxnet"), folder / "out"), _say)).bundle
    rows = []
    for height, width in SIZES:
        given = make_input([("astronaut", "most")], (height, width))
        image, mask = torch.from_numpy(given.photo), torch.from_numpy(given.mask)
        with torch.no_grad():
            plain, torch_s = _time(lambda: restate(state, "fourier", image, mask).numpy())  # noqa: B023
            exact = restate(state, "fourier", image.double(), mask.double()).numpy()
        hole = given.mask.repeat(3, axis=1) > 0
        own = _largest(plain - exact, hole)
        row: dict[str, Any] = {"size": f"{height}x{width}", "spread": float(exact[hole].std())}
        row["torch.fft"] = {"error": own, "seconds": torch_s}
        for artifact in bundle.manifest.artifacts:
            runner = open_artifact(bundle, artifact, THREADS)
            assert not isinstance(runner, NotRun), runner.why
            with runner:
                outputs, run_s = _time(lambda: runner.run({"image": given.photo, "mask": given.mask}))  # noqa: B023
            error = _largest(outputs["result"] - exact, hole)
            max_abs = _largest(outputs["result"] - plain, hole)
            row[artifact.target] = {"max_abs": max_abs, "error": error, "excess": error / own, "seconds": run_s}
        rows.append(row)
        _say(json.dumps(row))
    rows.append(_measure_large(state, bundle.folder / bundle.manifest.artifacts[0].files[0]))
    return rows


def _measure_large(state: dict[str, torch.Tensor], path: Path) -> dict[str, Any]:
    given = make_input([("astronaut", "most")], LARGE)
    feeds = {"image": given.photo, "mask": given.mask}
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        result, run_s, peak_gib = pool.submit(_run_alone, path, feeds).result()
    with torch.no_grad():
        plain = restate(state, "fourier", torch.from_numpy(given.photo), torch.from_numpy(given.mask)).numpy()
    max_abs = _largest(result - plain, given.mask.repeat(3, axis=1) > 0)
    row = {"size": f"{LARGE[0]}x{LARGE[1]}", "onnx": {"max_abs": max_abs, "seconds": run_s, "peak_gib": peak_gib}}
    _say(json.dumps(row))
    return row


def _run_alone(path: Path, feeds: dict[str, Array]) -> tuple[Array, float, float]:
    """The result, the seconds, and the process's largest memory in GiB."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (result,), run_s = _time(lambda: session.run(None, feeds))
    return result, run_s, read_peak_gib()


def _largest(difference: Array, hole: Array) -> float:
    return float(abs(difference[hole]).max())


def _time(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    record = {"environment": read_environment(THREADS), "base": BASE, "blocks": BLOCKS, "sizes": found}
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
