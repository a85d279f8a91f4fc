"""What every test has in common: hypothesis' examples and torch's threads."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

# `--hypothesis-profile long`: what is run once, before a release.
settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("long", max_examples=8_000, deadline=None)
settings.load_profile("quick")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """One thread of torch at the start of every test, whatever the test before it has set.

    Two threads beside another busy process wait for each other by spinning.
    """
    torch.set_num_threads(1)
