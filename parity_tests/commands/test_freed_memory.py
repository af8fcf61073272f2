"""Freed memory stays in the process once asked to."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

MIB = 256


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.parametrize("keep", [False, True])
def test_freed_buffer_stays_resident_only_if_kept(keep: bool) -> None:
    code = f"""
import psutil
import numpy as np
from converters.freed_memory import keep_freed_memory

if {keep}:
    assert keep_freed_memory()
before = psutil.Process().memory_info().rss
buffer = np.ones({MIB} * 2**20, np.uint8)
del buffer
print((psutil.Process().memory_info().rss - before) / 2**20)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (float(run.stdout) > MIB / 2) == keep
