"""The packages for Mathematica on the long set of inputs, by their layers' documentation, for every architecture.

No kernel runs here. Mathics evaluates each package, and an interpreter computes what the pages of its layers say
(parity_tests/support/wolfram_interpreter.py). Nets of one size are written for two. Records the worst errors.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from converters.bench.measure import read_environment
from converters.parity.inputs import long_inputs, short_inputs
from converters.sources.torch_source import run_reference
from converters.targets.wolfram.target import WolframTarget
from parity_tests.support.architecture_cases import CASES
from parity_tests.support.wolfram_nets import OF_ONE_SIZE, write_net

THREADS = 2
SIZES = ((64, 96), (128, 80))
VERSION = 13.0
# Pixels of the largest input: the long set has larger ones, of which one takes minutes here.
MOST_PIXELS = 256 * 256


def measure(architecture: str, *, raw: bool, size: tuple[int, int] | None) -> dict[str, Any]:
    """The row of one net."""
    with tempfile.TemporaryDirectory() as scratch:
        written = write_net(architecture, Path(scratch), raw=raw, size=size)
        inputs = written.model.inputs
        given = short_inputs(inputs, size) if size else long_inputs(inputs)
        given = tuple(case for case in given if case.photo.shape[2] * case.photo.shape[3] <= MOST_PIXELS)
        reference = run_reference(written.model, given)
        (report,) = reference.compare("wolfram", WolframTarget.gate, written.open(VERSION))
    row = {
        "architecture": architecture,
        "raw": raw,
        "size": size,
        "inputs": len(given),
        "passed": report.passed,
        "max_abs": report.summarize().max_abs,
    }
    print(*row.values(), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="where the record goes")
    parser.add_argument("--only", help="one architecture")
    options = parser.parse_args()
    rows = []
    for case in CASES:
        if options.only not in (None, case.name):
            continue
        for raw in (False, True):
            for size in SIZES if case.name in OF_ONE_SIZE else (None,):
                rows.append(measure(case.name, raw=raw, size=size))
                record = {"environment": read_environment(THREADS), "version": VERSION, "rows": rows}
                options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
