"""The largest memory that this process has held."""

from __future__ import annotations

import re
from pathlib import Path


def read_peak_gib() -> float:
    """In GiB. Not getrusage's, which is that of the process that started this one, if that was larger."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) / 2**20
