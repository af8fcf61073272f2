"""Which architecture goes to which target, and how that was verified.

Converts a small net of every architecture (parity_tests/architecture_cases.py) to every target, with all gates, and
records what came of it in reference/proven.json, which `ganport formats` reads, and in README.md's table.
"""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

from converters.bench import read_environment
from converters.errors import ConversionError
from converters.formats import Support, format_support, write_support
from converters.pipeline import Settings, convert
from converters.targets import TARGETS, Artifact
from parity_tests.architecture_cases import CASES

README = Path(__file__).parent.parent / "README.md"
START, END = "<!-- formats: written by benchmarks/proven_formats.py -->\n", "<!-- end of formats -->\n"
RUNTIMES = {"onnx": "onnxruntime", "mxnet": "mxnet"}
THREADS = 2


def measure_support(architecture: str, checkpoint: Path, target: str, folder: Path) -> Support:
    """Convert one checkpoint to one target."""
    try:
        (conversion,) = convert([checkpoint], Settings((target,), folder), lambda step: None)
    except ConversionError as error:
        return Support(architecture, target, "", f"refused: {error.where}: {error.met}", None)
    artifact = next(artifact for artifact in conversion.artifacts if artifact.target == target)
    report = next((report for report in conversion.reports if report.rung == target), None)
    if report is None:
        return Support(architecture, target, artifact.precision, conversion.unverified[target], None)
    runtime, number = (RUNTIMES[target], version(RUNTIMES[target])) if target in RUNTIMES else _builder(artifact)
    return Support(
        architecture,
        target,
        artifact.precision,
        f"against PyTorch, run in {runtime} {number}",
        report.summary()["max_abs"],
    )


def _builder(artifact: Artifact) -> tuple[str, str]:
    """An engine is run by the package that built it."""
    return next(iter(artifact.versions.items()))


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for case in CASES:
            checkpoint = case.write(Path(scratch))
            for target in TARGETS:
                row = measure_support(case.name, checkpoint, target, Path(scratch) / target)
                rows.append(row)
                print(*row.to_json().values())
    write_support(rows, read_environment(THREADS))
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    README.write_text(before + START + format_support(rows) + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
