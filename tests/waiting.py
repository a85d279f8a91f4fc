"""Waiting for something that another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest


def wait_for(condition: Callable[[], object], seconds: float = 180) -> None:
    """Look again and again until it is so; the test fails if that takes longer than `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"what the test waits for did not happen in {seconds:.0f} seconds")
        time.sleep(0.05)
