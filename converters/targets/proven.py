"""The record of what is supported: each pair of architecture and target, and how it was verified.

`benchmarks/proven_formats.py` converts a small net of every architecture to every target and writes the record. Nobody
edits it by hand.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

RECORD = Path(str(files("reference"))) / "proven.json"


@dataclass(frozen=True)
class Support:
    """The outcome of converting a small net of one architecture to one target.

    Attributes:
        architecture: Name in ARCHITECTURES.
        target: Name in TARGETS.
        precision: Element type of weights and arithmetic; empty if the target refused the net.
        verified: How the file was verified, or why it was not.
        max_abs: Largest absolute error over the parity inputs; None if the file was not run.
    """

    architecture: str
    target: str
    precision: str
    verified: str
    max_abs: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_support() -> tuple[Support, ...]:
    """Read the record."""
    return tuple(Support(**row) for row in json.loads(RECORD.read_text(encoding="utf-8"))["rows"])


def write_support(rows: Sequence[Support], environment: dict[str, Any]) -> None:
    """Overwrite the record with `rows` and the versions that they were made with."""
    content = {"environment": environment, "rows": [row.to_json() for row in rows]}
    RECORD.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def format_support(rows: Sequence[Support]) -> str:
    """The rows as a Markdown table."""
    lines = ["| architecture | target | precision | verified | max abs error |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        error = "" if row.max_abs is None else f"{row.max_abs:.1e}"
        lines.append(f"| {row.architecture} | {row.target} | {row.precision} | {row.verified} | {error} |")
    return "\n".join(lines) + "\n"
