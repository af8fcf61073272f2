"""Does int8 pay on this CPU? The inpaint net as static QDQ against its float32 files, on stock ONNX Runtime.

Full-size net with seeded weights for time; the trained pair that ships for the PSNR in the hole, photo by photo.
Calibrated on the photos that ship; activations uint8, weights int8 per channel; norms and the last convolution stay in
float32.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from converters.bench.measure import read_environment
from converters.convert import Settings, convert
from converters.parity.inputs import PHOTOS, make_input
from converters.parity.metrics import measure
from converters.tensors import Tensors
from parity_tests.support.seeded_checkpoints import FULL_BASE, FULL_BLOCKS, write_checkpoint
from reference.registry import shipped_checkpoints

RESULTS = Path(__file__).parent / "results" / "int8_latency.json"
THREADS = 2
RUNS = 15
SIZE = (256, 256)
NAME = "edgeconnect-inpaint"
REQUIRED_PSNR_DB = 32.0


class Photos(CalibrationDataReader):
    """Every photo with two holes."""

    def __init__(self) -> None:
        self._left = [make_feeds(photo, mask) for photo in PHOTOS for mask in ("large", "border")]

    def get_next(self) -> Tensors | None:
        return self._left.pop() if self._left else None


def make_feeds(photo: str, mask: str) -> Tensors:
    given = make_input([(photo, mask)], SIZE)
    return {"image": given.photo, "edges": given.edges, "mask": given.mask}


def write_int8(plain: Path, path: Path) -> None:
    """The plain file with its convolutions quantized, but for the last."""
    last = [node.name for node in onnx.load(plain).graph.node if node.op_type == "Conv"][-1]
    quantize_static(
        plain,
        path,
        Photos(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "ConvTranspose"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=[last],
    )


def open_session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def write_files(checkpoint: Path, folder: Path) -> dict[str, Path]:
    """Plain and tuned float32, and int8."""
    for kind, tune in (("plain", False), ("tuned", True)):
        list(convert([checkpoint], Settings(("onnx",), folder / kind, tune=tune), lambda step: None))
    files = {kind: folder / kind / NAME / f"{NAME}.onnx" for kind in ("plain", "tuned")}
    files["int8"] = folder / "int8.onnx"
    write_int8(files["plain"], files["int8"])
    return files


def measure_latency(files: dict[str, Path]) -> dict[str, float]:
    """Median ms, the files in turn."""
    sessions = {kind: open_session(path) for kind, path in files.items()}
    feeds = dict(make_feeds("coffee", "large"))
    times: dict[str, list[float]] = {kind: [] for kind in files}
    for _ in range(RUNS + 1):
        for kind, session in sessions.items():
            start = time.perf_counter()
            session.run(None, feeds)
            times[kind].append(1000 * (time.perf_counter() - start))
    return {kind: statistics.median(values[1:]) for kind, values in times.items()}


def measure_psnr(files: dict[str, Path], photos: Sequence[str]) -> dict[str, float]:
    """PSNR in dB of int8 against float32 in the hole."""
    sessions = {kind: open_session(files[kind]) for kind in ("plain", "int8")}
    found = {}
    for photo in photos:
        feeds = dict(make_feeds(photo, "large"))
        (plain,), (quantized,) = (sessions[kind].run(None, feeds) for kind in ("plain", "int8"))
        hole = np.broadcast_to(feeds["mask"] > 0, plain.shape)
        found[photo] = measure(quantized, plain, region=hole).psnr_db
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        full = write_files(write_checkpoint(folder, "inpaint", FULL_BASE, FULL_BLOCKS), folder / "full")
        latency = measure_latency(full)
        trained = write_files(shipped_checkpoints()[1], folder / "shipped")
        psnr = {"seeded, full size": measure_psnr(full, PHOTOS), "shipped pair": measure_psnr(trained, PHOTOS)}
    record = {
        "environment": read_environment(THREADS),
        "size": list(SIZE),
        "runs": RUNS,
        "median_ms": latency,
        "int8_to_tuned_float32": latency["int8"] / latency["tuned"],
        "hole_psnr_db": psnr,
        "required_psnr_db": REQUIRED_PSNR_DB,
    }
    RESULTS.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({key: record[key] for key in ("median_ms", "int8_to_tuned_float32", "hole_psnr_db")}, indent=2))


if __name__ == "__main__":
    main()
