"""What is supported: every architecture and target, and how that was verified.

Nothing here is typed by hand: `benchmarks/proven_formats.py` converts a small net of each and records what it saw.
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
    """What one conversion of a small net showed.

    Attributes:
        architecture: Name in ARCHITECTURES.
        target: Name in TARGETS.
        precision: Of weights and arithmetic; empty if it was refused.
        verified: How, or why not.
        max_abs: Largest error over the parity inputs that were run, None if none was.
    """

    architecture: str
    target: str
    precision: str
    verified: str
    max_abs: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_support() -> tuple[Support, ...]:
    """The recorded rows."""
    return tuple(Support(**row) for row in json.loads(RECORD.read_text(encoding="utf-8"))["rows"])


def write_support(rows: Sequence[Support], environment: dict[str, Any]) -> None:
    """Record `rows`."""
    content = {"environment": environment, "rows": [row.to_json() for row in rows]}
    RECORD.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def format_support(rows: Sequence[Support]) -> str:
    """The rows as a Markdown table."""
    lines = ["| architecture | target | precision | verified | max abs error |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        error = "" if row.max_abs is None else f"{row.max_abs:.1e}"
        lines.append(f"| {row.architecture} | {row.target} | {row.precision} | {row.verified} | {error} |")
    return "\n".join(lines) + "\n"
