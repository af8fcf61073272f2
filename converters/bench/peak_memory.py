"""The largest memory that this process has held."""

from __future__ import annotations

import re
import resource
from pathlib import Path

STATUS = Path("/proc/self/status")


def read_peak_gib() -> float:
    """In GiB.

    Where the system tells it, not getrusage's, which is that of the process that started this one, if that was larger.
    """
    found = re.search(rb"VmHWM:\s+(\d+) kB", STATUS.read_bytes()) if STATUS.is_file() else None
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if found is None else int(found[1])
    return kib / 2**20
