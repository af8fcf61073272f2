"""How close the files of a LaMa of full size are to torch.fft: big-lama's 18 blocks, seeded weights, several sizes.

One ONNX file and one MXNet symbol with free sizes are made by `convert`, then run at each size. They are held to the
published net written out with torch.fft (parity_tests/support/lama_restated.py), in float32 and in float64.
`excess` is the largest error against float64, in units of that of torch.fft's own float32 run. Writes
results/lama_full_size.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from converters.bench.measure import read_environment
from converters.bundle.run_artifact import NotRun, open_artifact
from converters.convert import Settings, convert
from converters.parity.inputs import make_input
from converters.tensors import Array
from parity_tests.support import lama_states
from parity_tests.support.lama_restated import restate

RECORD = Path(__file__).parent / "results" / "lama_full_size.json"
SIZES = ((256, 256), (360, 488), (512, 512))
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
    return rows


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
