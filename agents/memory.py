"""Freed memory kept for the next gradient step in place of being handed back."""

from __future__ import annotations

import ctypes
import sys

# glibc's malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask the C library to reuse large blocks that this process frees.

    A gradient step frees its activations, some 100 MB, and the next one wants them back. glibc
    returns such blocks to the system, which clears every page anew: a tenth of a PPO update. Peak
    memory stays what it was, as all of it is in use once in every step.

    Returns:
        Whether it was done: only glibc can be asked.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST)) and bool(mallopt(M_TRIM_THRESHOLD, LARGEST))
