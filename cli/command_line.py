"""Parse command lines into dataclasses; every mistake is reported in one line, with exit code 2."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import inspect
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, get_args, get_origin

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from cli.errors import UserError
from cli.own_code import is_import_path, load
from cli.signals import ending_as_ctrl_c
from cli.streams import forgiving_streams

NARROWEST_HELP = 20  # columns

LOOKS = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
UNREMARKABLE_DEFAULTS = ("", "None", "False")
SUBCOMMANDS = "Available subcommands:"  # as tyro lists them below a mistake


class PlainHelp(ConstructorRegistry):
    """tyro's rules, except that an option's help is one paragraph without trivial defaults.

    tyro keeps a line break if the next line does not begin with a letter. In the docstring of a
    dataclass's attribute every further line begins with its indentation.
    """

    def __init__(self) -> None:
        super().__init__()
        self._asks_tyro = False
        self.struct_rule(self._with_plain_help)

    def _with_plain_help(self, info: StructTypeInfo) -> StructConstructorSpec | None:
        if self._asks_tyro:
            return None
        self._asks_tyro = True
        try:
            spec = self.get_struct_spec(info)
        finally:
            self._asks_tyro = False
        if not isinstance(spec, StructConstructorSpec):
            return None
        return dataclasses.replace(spec, fields=tuple(map(_with_plain_help, spec.fields)))


def _with_plain_help(field: StructFieldSpec) -> StructFieldSpec:
    def paragraph() -> str | None:
        text = field.helptext() if callable(field.helptext) else field.helptext
        return None if text is None else " ".join(text.split())

    is_annotated = get_origin(field.type) is Annotated
    kind, *further = get_args(field.type) if is_annotated else (field.type,)
    # tyro lets later annotations take precedence: the field's own come after this one.
    shown: Any = Annotated[(kind, tyro.conf.arg(help_behavior_hint=_default_shown), *further)]
    return dataclasses.replace(field, helptext=paragraph, type=shown)


def _default_shown(default: str) -> str:
    return "" if default in UNREMARKABLE_DEFAULTS else f"(default: {default})"


def parse(arguments: Any, program: str, description: str, argv: Sequence[str]) -> Any:
    """Fill a dataclass (or a union of them, as subcommands) from a command line.

    With --help it prints help and exits with 0.

    Raises:
        UserError: an option is unknown or missing, or its value cannot be read.
    """
    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured), _room_for_help():
            return tyro.cli(
                arguments,
                prog=program,
                description=inspect.cleandoc(description),
                args=list(argv),
                config=LOOKS,
                registry=PlainHelp(),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(f"{_one_line(captured.getvalue())} (see --help)") from None


def values_of(option: str, argv: Sequence[str]) -> list[str]:
    """The values of an option on a command line that is not parsed yet.

    Some options decide which others exist: each algorithm has its own settings.
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
    """The field names of all options on a command line."""
    options = (word.partition("=")[0] for word in argv if word.startswith("--"))
    return [option.removeprefix("--").replace("-", "_") for option in options]


def load_own(names: Iterable[str], kind: type, what: str) -> None:
    """Import the names that are import paths of custom code; ignore the others.

    Raises:
        UserError: a name cannot be imported, or is not an instance of `kind`.
    """
    for name in names:
        if is_import_path(name):
            load(name, kind, what)


def run(program: str, main: Callable[[Sequence[str]], int]) -> None:
    """Run a script's main and exit with its code; a UserError is one line and its own exit code."""
    with forgiving_streams(), ending_as_ctrl_c():
        try:
            try:
                code: str | int | None = main(sys.argv[1:])
            except SystemExit as stop:  # after --help
                code = stop.code
            sys.stdout.flush()
        except UserError as error:
            print(f"{program}: error: {' '.join(str(error).split())}", file=sys.stderr)
            code = error.exit_code
        except KeyboardInterrupt:
            print(f"{program}: interrupted", file=sys.stderr)
            code = 130
        except BrokenPipeError:  # the reader of our output has exited: `evaluate.py ... | head`
            code = 1
        except OSError as error:
            # An error that no other code expected, such as a failing disk.
            where = f"{error.filename}: " if error.filename else ""
            print(f"{program}: error: {where}{error.strerror or error}", file=sys.stderr)
            code = 2
    raise SystemExit(code)


@contextlib.contextmanager
def _room_for_help() -> Iterator[None]:
    """Pretend that the terminal has a minimum width: tyro never ends on one of a few columns."""
    before = os.environ.get("COLUMNS")
    if shutil.get_terminal_size().columns < NARROWEST_HELP:
        os.environ["COLUMNS"] = str(NARROWEST_HELP)
    try:
        yield
    finally:
        os.environ.pop("COLUMNS", None)
        if before is not None:
            os.environ["COLUMNS"] = before


def _one_line(boxed: str) -> str:
    """The message inside the frame that tyro draws, with what it suggests but without its help."""
    sections: list[list[str]] = [[]]
    for line in boxed.splitlines():
        text = line.strip("╭╮╰╯│ ")
        if line.startswith("│") and set(text) == {"─"}:
            sections.append([])
        elif line.startswith("│") and text:
            sections[-1].append(text)
    message, *further = [" ".join(section) for section in sections]
    if not message:
        return boxed.strip()
    options = [text.split()[0] for section in sections[1:] for text in section if text[:2] == "--"]
    named = [word.rstrip(",:") for word in message.split() if word.startswith("--")]
    unknown = [word for word in named if word not in options]  # a known one has a wrong value
    near = [close for word in unknown for close in difflib.get_close_matches(word, options, n=1)]
    if near:
        message += f"; did you mean {' and '.join(dict.fromkeys(near))}?"
    commands = [text for text in further if text.startswith(SUBCOMMANDS)]
    return "; ".join([message, *(text.replace(SUBCOMMANDS, "allowed:") for text in commands)])
