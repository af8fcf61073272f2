"""Which points of the Toom-Cook method err least in float32, for each size of tile.

    python benchmarks/winograd_points.py

Data are like those of a trunk of 3x3 convolutions: rectified normal numbers of 256 channels, normal weights. The error
is that of float32 against float64: root mean square and largest, in units of the outputs' root mean square. All sets
of `CANDIDATES` with 0 and infinity are screened on fewer channels, the best are measured on all. Writes
results/winograd_points.json.
"""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from converters.bench.measure import read_environment
from converters.rewrites.cook_toom import POINTS, cook_toom_on
from converters.tensors import Array

RECORD = Path(__file__).parent / "results" / "winograd_points.json"
# Outputs of a tile and taps, along an axis. The rewrites use all but the last two, which have more than 6 points.
SIZES = ((2, 2), (2, 3), (4, 2), (2, 4), (4, 3), (2, 5), (5, 3), (6, 3))
CANDIDATES = tuple(Fraction(sign * n, d) for n, d in ((1, 1), (1, 2), (2, 1), (1, 4), (4, 1)) for sign in (1, -1))
OLD = tuple(map(Fraction, ("0", "1", "-1", "2", "-2", "1/2", "-1/2")))
CHANNELS, OUT_CHANNELS, TILES = 256, 64, 256
SCREENED_CHANNELS = 32
KEPT = 6
SEED = 20260101
Points = tuple[Fraction, ...]


class Data:
    """Tiles and weights, and the outputs in float64.

    Args:
        outputs: Of a tile, along an axis.
    """

    def __init__(self, outputs: int, taps: int, channels: int) -> None:
        random = np.random.default_rng(SEED)
        reads = outputs + taps - 1
        self.outputs, self.taps = outputs, taps
        self.tiles = np.maximum(random.standard_normal((reads, reads, TILES, channels)), 0).astype(np.float32)
        spread = random.standard_normal((taps, taps, channels, OUT_CHANNELS)) / np.sqrt(channels * taps**2)
        self.weights = spread.astype(np.float32)
        exact = np.zeros((outputs, outputs, TILES, OUT_CHANNELS))
        for a in range(taps):
            for b in range(taps):
                exact += self.tiles[a : a + outputs, b : b + outputs].astype(np.float64) @ self.weights[a, b]
        self.exact = exact

    def measure(self, points: Points) -> dict[str, float]:
        """The errors of these finite points and infinity, transforms rounded to float32 once, as the rewrites do."""
        m = cook_toom_on(points, self.outputs, self.taps)
        reads = len(points) + 1
        both = {name: np.kron(part, part) for name, part in (("b", m.inputs), ("g", m.weights), ("a", m.outputs))}
        weights = both["g"] @ self.weights.reshape(self.taps**2, -1).astype(np.float64)
        channels = self.weights.shape[2]
        kernels = weights.astype(np.float32).reshape(reads**2, channels, OUT_CHANNELS)
        transformed = both["b"].astype(np.float32) @ self.tiles.reshape(reads**2, -1)
        products = transformed.reshape(reads**2, TILES, channels) @ kernels
        given = both["a"].astype(np.float32) @ products.reshape(reads**2, -1)
        error = given.reshape(self.exact.shape) - self.exact
        scale = _root_mean_square(self.exact)
        return {"root_mean_square": _root_mean_square(error) / scale, "largest": float(np.abs(error).max()) / scale}


def _root_mean_square(array: Array) -> float:
    return float(np.sqrt(np.mean(array.astype(np.float64) ** 2)))


def search(outputs: int, taps: int) -> dict[str, Any]:
    """The best points of one size, beside those of `cook_toom` and those that it had before."""
    count = outputs + taps - 2
    screen, data = Data(outputs, taps, SCREENED_CHANNELS), Data(outputs, taps, CHANNELS)
    sets = [(Fraction(0), *others) for others in combinations(CANDIDATES, count - 1)]
    sets.sort(key=lambda points: screen.measure(points)["root_mean_square"])
    measured = {points: data.measure(points) for points in (*sets[:KEPT], POINTS[count], OLD[:count])}
    best = min(sets[:KEPT], key=lambda points: measured[points]["root_mean_square"])
    named = {"best": best, "used": POINTS[count], "before": OLD[:count]}
    rows = {name: {"points": [str(p) for p in points], **measured[points]} for name, points in named.items()}
    return {
        "outputs": outputs,
        "taps": taps,
        "multiplications": ((count + 1) / outputs) ** 2,
        "sets": len(sets),
        **rows,
    }


def main() -> None:
    rows = [search(outputs, taps) for outputs, taps in SIZES]
    for row in rows:
        print(f"F({row['outputs']}, {row['taps']}), {row['multiplications']:.2f} multiplications an output")
        for name in ("best", "used", "before"):
            facts = row[name]
            errors = f"{facts['root_mean_square']:.2e}, largest {facts['largest']:.2e}"
            print(f"  {name:7} {errors}: {' '.join(facts['points'])}")
    record = {"environment": read_environment(1), "channels": CHANNELS, "sizes": rows}
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
