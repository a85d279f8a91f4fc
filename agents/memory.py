"""Make the C library keep freed memory for the next gradient step, and in one heap."""

from __future__ import annotations

import ctypes

import torch

# glibc's threshold follows the largest block that was freed, up to 32 MB (mallopt(3),
# M_MMAP_THRESHOLD), and it keeps twice that at the top of its heap.
LARGEST_FOLLOWED = 31 * 2**20
M_ARENA_MAX = -8  # mallopt(3)


def keep_freed_memory() -> None:
    """Let the C library keep about 60 MB of freed memory, which the next gradient step needs again.

    Otherwise it returns a step's activations to the system, which clears every page before the
    next step gets it: a tenth of the time of a PPO update. Fixing the thresholds with `mallopt`
    would do the same, but then large blocks never leave the heap, and fragmentation makes it grow.
    It has no effect on other C libraries.
    """
    block = torch.empty(LARGEST_FOLLOWED, dtype=torch.uint8)
    del block


def share_one_heap() -> None:
    """Make all threads allocate from one heap (only glibc; no effect elsewhere).

    By default each thread that plays has its own heap and keeps what it has freed, about 20 MB in a
    run. Networks allocate few, large blocks, so threads do not wait for the lock.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
