"""Shell commands that are printed to be copied."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable


def quoted(word: object) -> str:
    """A word quoted for a shell; bytes that are not text are written as in bash's $'...'."""
    text = str(word)
    try:
        text.encode()
    except UnicodeEncodeError:
        plain = (chr(byte) if _is_plain(byte) else f"\\x{byte:02x}" for byte in os.fsencode(text))
        return f"$'{''.join(plain)}'"
    return shlex.quote(text)


def joined(words: Iterable[object]) -> str:
    """These words as a command line."""
    return " ".join(map(quoted, words))


def _is_plain(byte: int) -> bool:
    return 32 <= byte < 127 and chr(byte) not in "\\'"
