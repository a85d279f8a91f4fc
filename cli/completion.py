"""Completion of command lines in bash and zsh.

tyro writes a shell's script that holds every option of a command line, so that pressing the key
runs none of our code. The names that an option takes beside a person's own are unknown to tyro, and
filled in here.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tyro

from cli.command_line import LOOKS, PlainHelp
from cli.errors import UserError
from cli.settings import option

ASKED = "--tyro-print-completion"
SHELLS = ("bash", "zsh")
SPEC = re.compile(r"^COMPLETION_SPEC = (.*)$", re.MULTILINE)

# The last part of bash's script. Where nothing else fits, bash completes files. To bash,
# `python train.py` is a command line of python.
REGISTERED = """
complete -o bashdefault -o default -F {function} {program} {command}

_coordconv_python() {{
  local script="${{COMP_WORDS[1]##*/}}"
  local complete="_tyro_${{script%.py}}_py"
  COMPREPLY=()
  if [[ $COMP_CWORD -gt 1 && $script == *.py ]] && declare -F "$complete" >/dev/null; then
    COMP_WORDS=("${{COMP_WORDS[@]:1}}")
    COMP_CWORD=$((COMP_CWORD - 1))
    "$complete"
  fi
}}
complete -o bashdefault -o default -F _coordconv_python python python3
"""


def is_asked(argv: Sequence[str]) -> bool:
    """Whether a command line asks for a shell's script."""
    return argv[:1] == [ASKED]


def script(
    kinds: Iterable[Any], program: str, argv: Sequence[str], names: Mapping[str, Iterable[str]]
) -> str:
    """What a shell has to read to complete a command line.

    Args:
        kinds: every dataclass that it may fill (or unions of them, as subcommands).
        program: the script's name; the installed command's is `coordconv-<name>`.
        argv: what was asked.
        names: what options take, by the field's name.

    Raises:
        UserError: the shell is none of `SHELLS`.
    """
    shell = " ".join(argv[1:])
    if shell not in SHELLS:
        raise UserError(f"{ASKED} takes {' or '.join(SHELLS)}, got {shell[:40]!r}")
    written = [_written(kind, program, shell) for kind in kinds]
    specs = [ast.literal_eval(SPEC.findall(text)[0]) for text in written]
    options = {tuple(o["flags"]): o for spec in reversed(specs) for o in spec["options"]}
    whole = {**specs[0], "options": list(options.values())}
    _fill(whole, {option(name): list(values) for name, values in names.items()})
    text = SPEC.sub(lambda _: f"COMPLETION_SPEC = {whole!r}", written[0])
    stem = program.removesuffix(".py")
    if shell == "zsh":
        return text.replace(f"#compdef {program}", f"#compdef {program} coordconv-{stem}", 1)
    text = text.partition("# Register completion")[0]
    # Nothing found lets bash complete files itself, which knows folders from files.
    text = text.replace('COMPREPLY=($(compgen -f -- "$cur"))', "COMPREPLY=()")
    words = {"function": f"_tyro_{stem}_py", "program": program, "command": f"coordconv-{stem}"}
    return text + REGISTERED.format(**words)


def _written(kind: Any, program: str, shell: str) -> str:
    """Tyro's script for a dataclass."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        tyro.cli(kind, prog=program, args=[ASKED, shell], config=LOOKS, registry=PlainHelp())
    return printed.getvalue()


def _fill(spec: dict[str, Any], names: Mapping[str, list[str]]) -> None:
    """Give the options of a command line, and of its subcommands, the names that they take."""
    for one in spec["options"]:
        one["description"] = " ".join(one["description"].split())  # the shell reads lines
        for flag in one["flags"]:
            if flag in names:
                one.update(type="choice", choices=names[flag])
    for subcommand in spec["subcommands"].values():
        _fill(subcommand, names)
