"""Keep freed memory in the process, where the C library is glibc.

A conversion frees and takes the same large buffers again and again. Handed back each time, they come again as fresh
pages, which the kernel has to clear.
"""

from __future__ import annotations

import ctypes

# Of glibc's malloc.h; see mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask malloc to hand nothing back, and to map no block on its own, until the process ends; whether it will."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, LARGEST_INT))
