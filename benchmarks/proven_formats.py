"""Which architecture goes to which target, and how that was verified.

Converts a small net of every architecture (parity_tests/support/architecture_cases.py) to every target, with all gates,
and records what came of it in reference/proven.json, which `ganport formats` reads, and in docs/formats.md. With
`--only TARGET` it records that target's rows anew and leaves the others, and the versions that they name, as they are.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from converters.bench.measure import read_environment
from converters.convert import Conversion, Settings, convert
from converters.targets.proven import RECORD, Support, format_support, read_support, write_support
from converters.targets.registry import TARGETS
from converters.targets.target import Artifact
from parity_tests.support.architecture_cases import CASES

PAGE = Path(__file__).parent.parent / "docs" / "formats.md"
START, END = "<!-- formats: written by benchmarks/proven_formats.py -->\n", "<!-- end of formats -->\n"
RUNTIMES = {"onnx": "onnxruntime", "mxnet": "mxnet"}
THREADS = 2


def measure_support(architecture: str, checkpoint: Path, folder: Path, targets: Sequence[str]) -> list[Support]:
    """Convert one checkpoint to some targets."""
    (conversion,) = convert([checkpoint], Settings(tuple(targets), folder), lambda step: None)
    return [_read_support(architecture, target, conversion) for target in targets]


def _read_support(architecture: str, target: str, conversion: Conversion) -> Support:
    artifact = next((artifact for artifact in conversion.bundle.manifest.artifacts if artifact.target == target), None)
    if artifact is None:
        return Support(architecture, target, "", conversion.bundle.manifest.not_verified[target], None)
    report = next((report for report in conversion.reports if report.rung == target), None)
    if report is None:
        return Support(architecture, target, artifact.precision, conversion.bundle.manifest.not_verified[target], None)
    runtime, number = (RUNTIMES[target], version(RUNTIMES[target])) if target in RUNTIMES else _builder(artifact)
    return Support(
        architecture,
        target,
        artifact.precision,
        f"against PyTorch, run in {runtime} {number}",
        report.summarize().max_abs,
    )


def _builder(artifact: Artifact) -> tuple[str, str]:
    """An engine is run by the package that built it."""
    return next(iter(artifact.versions.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=tuple(TARGETS), help="one target")
    only = parser.parse_args().only
    old = {(row.architecture, row.target): row for row in read_support()} if only else {}
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for case in CASES:
            targets = (only,) if only else tuple(TARGETS)
            measured = measure_support(case.name, case.write(Path(scratch)), Path(scratch) / "out", targets)
            for row in measured:
                print(*row.to_json().values(), flush=True)
            new = {row.target: row for row in measured}
            rows += [new.get(target) or old[case.name, target] for target in TARGETS]
    environment = json.loads(RECORD.read_text(encoding="utf-8"))["environment"] if only else read_environment(THREADS)
    write_support(rows, environment)
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    PAGE.write_text(before + START + format_support(rows) + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
