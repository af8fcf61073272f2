"""How far MXNet's own convolution is from float64, beside torch's: what the gate "mxnet" allows for.

3x3 convolutions of seeded numbers, on one input each in both; the errors are of rounding, not of time. Writes
results/mxnet_rounding.json, which says whether the processor has AVX-512.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converters.bench.measure import read_environment
from converters.targets.mxnet.runtime import load_mxnet
from converters.tensors import Array

RECORD = Path(__file__).parent / "results" / "mxnet_rounding.json"
CHANNELS = (16, 64, 256)
SIDE, SEED, THREADS = 64, 20190101, 2


def measure(channels: int) -> dict[str, Any]:
    """Errors of one layer of as many channels in as out."""
    mx = load_mxnet()
    random = np.random.default_rng(SEED)
    x = random.random((1, channels, SIDE, SIDE), np.float32) * 2 - np.float32(0.5)
    w = (random.normal(0, 1, (channels, channels, 3, 3)) / np.sqrt(channels * 9)).astype(np.float32)
    given = torch.from_numpy(x), torch.from_numpy(w)
    float64 = torch.nn.functional.conv2d(*(array.double() for array in given)).numpy()
    ours = mx.nd.Convolution(mx.nd.array(x), mx.nd.array(w), no_bias=True, num_filter=channels, kernel=(3, 3))
    errors = {"torch": torch.nn.functional.conv2d(*given).numpy(), "mxnet": ours.asnumpy()}
    rows = {name: summarize(result - float64) for name, result in errors.items()}
    ratios = {key: rows["mxnet"][key] / rows["torch"][key] for key in rows["torch"]}
    return {"channels": channels, **rows, "mxnet over torch": ratios}


def summarize(error: Array) -> dict[str, float]:
    return {"max_abs": float(np.abs(error).max()), "root_mean_square": float(np.sqrt(np.mean(error**2)))}


def main() -> None:
    torch.set_num_threads(THREADS)
    rows = [measure(channels) for channels in CHANNELS]
    for row in rows:
        print(json.dumps(row))
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    record = {"environment": read_environment(THREADS), "avx512": "avx512f" in flags, "layers": rows}
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
