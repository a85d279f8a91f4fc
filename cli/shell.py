"""Commands that a person copies from what is printed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable


def quoted(word: object) -> str:
    """A word as a shell takes it; bytes that are no text as in bash's $'...'."""
    text = str(word)
    try:
        text.encode()
    except UnicodeEncodeError:
        plain = (chr(byte) if _is_plain(byte) else f"\\x{byte:02x}" for byte in os.fsencode(text))
        return f"$'{''.join(plain)}'"
    return shlex.quote(text)


def joined(words: Iterable[object]) -> str:
    """A command line of these words."""
    return " ".join(map(quoted, words))


def _is_plain(byte: int) -> bool:
    return 32 <= byte < 127 and chr(byte) not in "\\'"
