"""The tables that `convert`, `bench` and `formats` print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from converters.parity.report import EXCESS, METRIC_FORMS, format_metric, format_number
from converters.terminal.output import print_line
from converters.text import escape_controls

if TYPE_CHECKING:
    from converters.bench.measure import Measurement
    from converters.convert import Conversion
    from converters.targets.proven import Support

# Of every table, in characters.
WIDTH = 150
CONVERT_COLUMNS = ("model", "target", "parity", "max abs", "PSNR, dB", "excess", "MiB")
SUPPORT_COLUMNS = ("architecture", "target", "precision", "verified", "max abs")
BENCH_COLUMNS = (
    *("model", "runtime", "parity", "max abs"),
    *("p50", "min", "mean", "p90", "p95", "p99", "CoV", "img/s", "load", "RSS MiB", "MiB"),
)
# Columns of sentences; all others stay on one line.
WRAPPED = ("verified", "parity")
# Left-aligned; columns of numbers are right-aligned.
TEXT_COLUMNS = ("model", "architecture", "precision", "verified", "target", "runtime", "parity")


def print_conversions(conversions: Sequence[Conversion]) -> None:
    """Print one row for each artifact, then the bundles' folders."""
    rows = []
    for conversion in conversions:
        manifest = conversion.bundle.manifest
        for artifact in manifest.artifacts:
            size = sum(manifest.files[file].size for file in artifact.files) / 2**20
            rows.append((manifest.name, artifact.target, *_parity_cells(conversion, artifact.target), f"{size:.1f}"))
        held = {artifact.target for artifact in manifest.artifacts}
        for name, why in manifest.not_verified.items():
            if name not in held:
                rows.append((manifest.name, name, why if name == EXCESS else "refused: see below", *[""] * 4))
    _print_table(CONVERT_COLUMNS, rows)
    for conversion in conversions:
        print_line(f"{conversion.bundle.folder}/")


def _parity_cells(conversion: Conversion, target: str) -> tuple[str, ...]:
    """Verdict, max abs, PSNR and excess error of one target's rung; if it was not verified, the reason and blanks."""
    report = next((report for report in conversion.reports if report.rung == target), None)
    if report is None:
        return conversion.bundle.manifest.not_verified[target], "", "", ""
    summary = report.summarize()
    return report.describe_verdict(), *(format_metric(summary, key) for key in METRIC_FORMS)


def print_support(rows: Sequence[Support]) -> None:
    """Print one row for each pair of architecture and target."""
    cells = [
        (row.architecture, row.target, row.precision, row.verified, format_number(row.max_abs, ".1e")) for row in rows
    ]
    _print_table(SUPPORT_COLUMNS, cells)


def print_measurements(measurements: Sequence[Measurement]) -> None:
    """Print one row for each contestant, then an explanation of the columns."""
    _print_table(BENCH_COLUMNS, [_bench_cells(row) for row in measurements])
    print_line("Latencies in ms. max abs: largest difference from torch's row, or else the first row, of a model.")


def _bench_cells(row: Measurement) -> tuple[str, ...]:
    latency = row.latency_ms
    times = (latency.p50, latency.min, latency.mean, latency.p90, latency.p95, latency.p99)
    return (
        row.contestant.model,
        row.contestant.runtime,
        row.contestant.parity,
        f"{row.max_abs:.1e}",
        *(f"{time_ms:.1f}" for time_ms in times),
        f"{latency.cov:.2f}",
        f"{row.images_per_s:.2f}",
        f"{row.load_ms:.0f}",
        f"{row.peak_rss_mib:.0f}",
        f"{row.contestant.size / 2**20:.1f}",
    )


def _print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in TEXT_COLUMNS else "right", no_wrap=column not in WRAPPED)
    for row in rows:
        table.add_row(*(Text(escape_controls(cell)) for cell in row))
    Console(width=WIDTH).print(table)
