"""What the C library does with freed memory: kept for the next gradient step, and in one heap."""

from __future__ import annotations

import ctypes

import torch

# glibc follows the largest block that was freed, up to 32 MB (mallopt(3), M_MMAP_THRESHOLD), and
# keeps twice that at the top of its heap.
LARGEST_FOLLOWED = 31 * 2**20
M_ARENA_MAX = -8  # mallopt(3)


def keep_freed_memory() -> None:
    """Let the C library keep some 60 MB of freed memory: what a gradient step needs again at once.

    Otherwise it returns a step's activations to the system, which clears every page before the
    next step gets it: a tenth of the time of a PPO update. Fixing the thresholds by `mallopt` would
    do the same, but large blocks then never leave the heap, and it grows with the holes between
    them. Without effect on other C libraries.
    """
    block = torch.empty(LARGEST_FOLLOWED, dtype=torch.uint8)
    del block


def share_one_heap() -> None:
    """Have all threads take memory from one heap (glibc; without effect elsewhere).

    By default each thread that plays has a heap of its own, and keeps what it has freed: some 20 MB
    of a run. Large blocks, of which networks are made, are few, so nobody waits for the lock.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
