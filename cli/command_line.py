"""Command lines made from dataclasses; every mistake on them is one line and exit code 2."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import tyro

from cli.errors import UserError
from cli.own_code import is_import_path, load
from cli.signals import ending_as_ctrl_c
from cli.streams import forgiving_streams

NARROWEST_HELP = 20  # columns

LOOKS = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)


def parse(arguments: Any, program: str, description: str, argv: Sequence[str]) -> Any:
    """Fill a dataclass (or a union of them, as subcommands) from a command line.

    Prints help and exits with 0 when asked for it.

    Raises:
        UserError: an option is unknown, missing or cannot be read.
    """
    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured), _room_for_help():
            return tyro.cli(
                arguments,
                prog=program,
                description=description,
                args=list(argv),
                config=LOOKS,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(f"{_one_line(captured.getvalue())} (see --help)") from None


def values_of(option: str, argv: Sequence[str]) -> list[str]:
    """What is said of an option on a command line, before it is parsed.

    Which options there are depends on some of them: the settings of an algorithm on its name.
    """
    values: list[str] = []
    taking = False
    for word in argv:
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            taking = name == option
            if taking:
                values = [value] if equals else []
        elif taking:
            values.append(word)
    return values


def names_in(argv: Sequence[str]) -> list[str]:
    """The names of all options on a command line, as fields are named."""
    options = (word.partition("=")[0] for word in argv if word.startswith("--"))
    return [option.removeprefix("--").replace("-", "_") for option in options]


def load_own(names: Iterable[str], kind: type, what: str) -> None:
    """Import what a person has named of their own code; other names are left alone.

    Raises:
        UserError: it cannot be imported, or is not an instance of `kind`.
    """
    for name in names:
        if is_import_path(name):
            load(name, kind, what)


def run(program: str, main: Callable[[Sequence[str]], int]) -> None:
    """Run a script's main and exit with its code: one line, and an error's own, for a UserError."""
    with forgiving_streams(), ending_as_ctrl_c():
        try:
            try:
                code: str | int | None = main(sys.argv[1:])
            except SystemExit as stop:  # help was asked for
                code = stop.code
            sys.stdout.flush()
        except UserError as error:
            print(f"{program}: error: {' '.join(str(error).split())}", file=sys.stderr)
            code = error.exit_code
        except KeyboardInterrupt:
            print(f"{program}: interrupted", file=sys.stderr)
            code = 130
        except BrokenPipeError:  # whoever read our output has gone: `evaluate.py ... | head`
            code = 1
        except OSError as error:
            # What no place of ours expected: a disk that fails, say.
            where = f"{error.filename}: " if error.filename else ""
            print(f"{program}: error: {where}{error.strerror or error}", file=sys.stderr)
            code = 2
    raise SystemExit(code)


@contextlib.contextmanager
def _room_for_help() -> Iterator[None]:
    """Within this a terminal has some columns at least: tyro never comes to an end of a few."""
    said = os.environ.get("COLUMNS")
    if shutil.get_terminal_size().columns < NARROWEST_HELP:
        os.environ["COLUMNS"] = str(NARROWEST_HELP)
    try:
        yield
    finally:
        os.environ.pop("COLUMNS", None)
        if said is not None:
            os.environ["COLUMNS"] = said


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
