"""Command lines made from dataclasses; every mistake on them is one line and exit code 2."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from cli.errors import UserError


def parse(arguments: Any, program: str, description: str, argv: Sequence[str]) -> Any:
    """Fill a dataclass (or a union of them, as subcommands) from a command line.

    Prints help and exits with 0 when asked for it.

    Raises:
        UserError: an option is unknown, missing or cannot be read.
    """
    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured):
            return tyro.cli(
                arguments,
                prog=program,
                description=description,
                args=list(argv),
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(f"{_one_line(captured.getvalue())} (see --help)") from None


def run(program: str, main: Callable[[Sequence[str]], int]) -> None:
    """Run a script's main and exit with its code: 2 and one line for what a person can mend."""
    try:
        code = main(sys.argv[1:])
    except UserError as error:
        print(f"{program}: error: {' '.join(str(error).split())}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        # Whoever read our output has gone: `evaluate.py ... | head`.
        sys.stderr.close()
        code = 1
    except OSError as error:
        # What no place of ours expected: a disk that fails, say.
        where = f"{error.filename}: " if error.filename else ""
        with contextlib.suppress(OSError):
            print(f"{program}: error: {where}{error.strerror or error}", file=sys.stderr)
        code = 2
    raise SystemExit(code)


def _one_line(boxed: str) -> str:
    """The message inside the frame that the parser draws, without the help it repeats."""
    words: list[str] = []
    for line in boxed.splitlines():
        text = line.strip("╭╮╰╯│ ")
        if line.startswith("│") and set(text) == {"─"}:
            break
        if line.startswith("│") and text:
            words.append(text)
    return " ".join(words) or boxed.strip()
