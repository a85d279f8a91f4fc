"""Record and restore the states of the global random generators."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cli.errors import UserError


def random_states() -> dict[str, Any]:
    """The states of numpy's and torch's global generators, ready for JSON."""
    legacy = np.random.get_state(legacy=False)  # noqa: NPY002 - the stream SB3 shuffles with
    assert isinstance(legacy, dict)
    keys = np.asarray(legacy["state"]["key"], dtype="<u4")
    return {
        "numpy": {"key": _encode(keys.tobytes()), "pos": int(legacy["state"]["pos"])},
        "torch": _encode(torch.get_rng_state().numpy().tobytes()),
        "cuda": [_encode(s.numpy().tobytes()) for s in torch.cuda.get_rng_state_all()]
        if torch.cuda.is_available()
        else [],
    }


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Continue the streams that `random_states` recorded.

    Raises:
        UserError: the states are damaged.
    """
    try:
        key = np.frombuffer(_decode(states["numpy"]["key"]), dtype="<u4").astype(np.uint32)
        if len(key) != 624 or not 0 <= int(states["numpy"]["pos"]) <= 624:
            raise ValueError("not a state of numpy's generator")  # numpy would accept it
        position = int(states["numpy"]["pos"])
        np.random.set_state(("MT19937", key, position, 0, 0.0))  # noqa: NPY002
        torch.set_rng_state(_byte_tensor(states["torch"]))
        if torch.cuda.is_available() and states["cuda"]:
            torch.cuda.set_rng_state_all([_byte_tensor(text) for text in states["cuda"]])
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise UserError(f"the checkpoint's random states are damaged: {error}") from error


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _byte_tensor(text: str) -> Tensor:
    return torch.frombuffer(bytearray(_decode(text)), dtype=torch.uint8)
