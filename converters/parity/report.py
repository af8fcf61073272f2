"""Parity reports for people (parity.md) and for programs (parity.json)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from converters.files import write_json
from converters.parity.compare import ParityReport, ParitySummary, TensorParity
from converters.parity.gates import ILL_CONDITIONED, ILL_CONDITIONED_PERTURBED, MAX_FLOAT64_DISAGREEMENT
from converters.parity.inputs import SEED
from converters.parity.judge import Verdict
from converters.text import escape_markdown

if TYPE_CHECKING:
    from converters.parity.expected import NamedInput

# Among what was not verified, beside targets: where the source has no float64 run to judge it by.
EXCESS = "excess error"
FILES = ("parity.json", "parity.md")
# The metrics that a table shows, and how.
METRIC_FORMS = {"max_abs": ".1e", "psnr_db": ".1f", "excess": ".2f"}


def write_parity(
    folder: Path, reports: Sequence[ParityReport], inputs: Sequence[NamedInput], unverified: Mapping[str, str]
) -> None:
    """Write parity.json and parity.md into `folder`."""
    write_json(
        folder / FILES[0],
        {
            "schema_version": 2,
            "seed": SEED,
            "inputs": [{"name": given.name, "sha256": given.sha256} for given in inputs],
            "ill_conditioned_above": ILL_CONDITIONED,
            "rungs": [report.to_json() for report in reports],
            "not_verified": dict(unverified),
        },
    )
    (folder / FILES[1]).write_text(format_parity(reports, inputs, unverified), encoding="utf-8")


def clear_failed(folder: Path) -> None:
    """Take away the report of an earlier run's miss, and nothing else."""
    with contextlib.suppress(OSError):  # not there, or the user keeps something else in it
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def format_parity(reports: Sequence[ParityReport], inputs: Sequence[NamedInput], unverified: Mapping[str, str]) -> str:
    """The report as Markdown."""
    parts = [
        "# Parity\n",
        "Every rung is compared, item by item, with what the files were made from; the worst item decides.\n",
        "A file is run on an input of other numbers first, and on the first input again at the end: a runtime may keep",
        "something from run to run.\n",
        "- A checkpoint: the untouched torch module, float32, spectral norm alive. Composited outputs are judged in",
        "  the hole, others on the whole plane. Excess error is the error against a float64 run of the module, in",
        "  units of torch float32's own. Errors of 8-bit outputs are in levels; those of an output whose range is not",
        "  known (partial-conv's, and style-transfer's of `--raw`; `relative` under `judging` in `manifest.json`) in",
        "  units of its largest value.",
        "- An ONNX file: ONNX Runtime on that file itself, the whole of every output. Errors are in units of an",
        "  output's largest value. Where a file misses a gate, onnx's reference implementation runs the original in",
        "  float64: if ONNX Runtime is itself far from it, the excess error over ONNX Runtime's own decides, or the",
        "  errors against float64 do.\n",
        "| rung | verdict | max abs | p99.9 | PSNR, dB | excess | worst input |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_format_rung(report) for report in reports),
        *(f"| {target} | {escape_markdown(reason)} | | | | | |" for target, reason in unverified.items()),
        "",
        "Allowed (an empty cell is not judged):\n",
        "| rung | max abs | p99.9 | PSNR, dB | excess |",
        "| --- | --- | --- | --- | --- |",
        *(_format_gate(report) for report in reports),
        "",
    ]
    for report in reports:
        parts += [f"## {report.rung}\n", *_format_items(report), ""]
        parts += [
            f"Not run, of a size that the file does not take: {escape_markdown(name)}\n" for name in report.outside
        ]
    parts += ["## Inputs\n", f"What is drawn at random comes from seed {SEED}.\n"]
    parts += [*(f"- {escape_markdown(given.name)}: sha256 {given.sha256}" for given in inputs), ""]
    return "\n".join(parts)


def _format_rung(report: ParityReport) -> str:
    summary = report.summarize()
    max_abs, psnr_db, excess = (format_metric(summary, key) for key in METRIC_FORMS)
    cells = (max_abs, format_number(summary.p99_9, ".1e"), psnr_db, excess)
    worst_case = escape_markdown(summary.worst_case or "")
    return f"| {report.rung} | {report.describe_verdict()} | {' | '.join(cells)} | {worst_case} |"


def _format_gate(report: ParityReport) -> str:
    gate = report.gate
    cells = [format_number(value, "g") for value in (gate.max_abs, gate.p99_9, gate.psnr_db, gate.excess)]
    return f"| {report.rung} | {' | '.join(cells)} |"


def _format_items(report: ParityReport) -> list[str]:
    rows = [
        "| input | item | output | verdict | max abs | PSNR, dB | excess |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    return rows + [_format_item(tensor) for tensor in report.tensors]


def _format_item(tensor: TensorParity) -> str:
    if tensor.verdict is Verdict.FAILED:
        verdict = f"**{escape_markdown('; '.join(tensor.failures))}**"
    elif tensor.metrics is None:
        verdict = "no hole: known pixels bit-equal" if tensor.region == "hole" else "no elements"
    elif tensor.verdict is Verdict.PASSED_BY_EXCESS:
        verdict = (
            f"passed by its excess error alone: the source's float32 is itself further than {ILL_CONDITIONED:g} "
            "from float64"
        )
    elif tensor.verdict is Verdict.PASSED_AGAINST_FLOAT64:
        verdict = "passed against float64: the source's own float32 is the far one of the two"
    elif tensor.verdict is Verdict.NOT_JUDGED:
        verdict = (
            "not judged: ill-conditioned, the source's float32 is itself further than "
            f"{MAX_FLOAT64_DISAGREEMENT:g} from float64, or {ILL_CONDITIONED_PERTURBED:g} on inputs moved by one "
            "float32 step"
        )
    else:
        verdict = "passed"
    start = f"| {escape_markdown(tensor.case)} | {tensor.item} | {tensor.tensor} | {verdict} |"
    if tensor.metrics is None:
        return f"{start} | | |"
    metrics = tensor.metrics
    return f"{start} {metrics.max_abs:.1e} | {metrics.psnr_db:.1f} | {format_number(metrics.excess, '.2f')} |"


def format_number(value: float | str | None, form: str) -> str:
    """A metric as text; nothing where there is none."""
    return "" if value is None else value if isinstance(value, str) else format(value, form)


def format_metric(summary: ParitySummary, key: str) -> str:
    """One of METRIC_FORMS as text; nothing where there is none."""
    return format_number(getattr(summary, key), METRIC_FORMS[key])
