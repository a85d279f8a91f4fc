"""Completion of command lines in bash and zsh.

tyro writes a shell script that lists every option of a command line, so completion runs none of our
code. tyro does not know the built-in names that an option takes; they are filled in here.
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

# The last part of bash's script. bash completes files if nothing else matches. For bash,
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
    """Whether a command line asks for a completion script."""
    return argv[:1] == [ASKED]


def script(
    kinds: Iterable[Any], program: str, argv: Sequence[str], names: Mapping[str, Iterable[str]]
) -> str:
    """The completion script of a command line, which a shell reads.

    Args:
        kinds: every dataclass that the command line may fill (or unions, as subcommands).
        program: the script's name; the installed command is named `coordconv-<name>`.
        argv: the command line that asks for the script.
        names: the values to offer for an option, by field name.

    Raises:
        UserError: the shell is not one of `SHELLS`.
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
    # An empty result lets bash complete files itself, which tells folders from files.
    text = text.replace('COMPREPLY=($(compgen -f -- "$cur"))', "COMPREPLY=()")
    words = {"function": f"_tyro_{stem}_py", "program": program, "command": f"coordconv-{stem}"}
    return text + REGISTERED.format(**words)


def _written(kind: Any, program: str, shell: str) -> str:
    """The script that tyro writes for a dataclass."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        tyro.cli(kind, prog=program, args=[ASKED, shell], config=LOOKS, registry=PlainHelp())
    return printed.getvalue()


def _fill(spec: dict[str, Any], names: Mapping[str, list[str]]) -> None:
    """Add the names that options take, to a command line and its subcommands."""
    for described in spec["options"]:
        # The script needs each description on one line.
        described["description"] = " ".join(described["description"].split())
        for flag in described["flags"]:
            if flag in names:
                described.update(type="choice", choices=names[flag])
    for subcommand in spec["subcommands"].values():
        _fill(subcommand, names)
