"""Code of a person's own, named on the command line as `their_package.module:NAME`.

Importing a module runs it. A name that stands in a file may come from anybody, so it is looked up
among what was loaded and never imported; `load` is for the names that the person has typed.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from cli.errors import UserError
from cli.settings import unknown

T = TypeVar("T")

_loaded: dict[str, Any] = {}


def is_import_path(name: str) -> bool:
    """Whether a name is somebody's own code, `their_package.module:NAME`."""
    return ":" in name


def has_form_of_import_path(name: str) -> bool:
    """Whether a name could be imported; imports nothing."""
    module, _, attribute = name.partition(":")
    return all(part.isidentifier() for part in [*module.split("."), attribute])


def load(name: str, kind: type, what: str) -> Any:
    """Import what a person has named.

    Args:
        name: its import path.
        kind: the class that it has to be an instance of.
        what: the name of such a thing, for messages.

    Raises:
        UserError: the name has another form, the import fails, or it finds something else.
    """
    if not has_form_of_import_path(name):
        raise UserError(f"{what} {name[:80]!r} is not of the form their_package.module:NAME")
    try:
        found = import_own(name)
    except Exception as error:  # importing runs the person's code, which may raise anything
        raise UserError(f"{what} {name!r} cannot be imported: {error}") from error
    if not isinstance(found, kind):
        raise UserError(f"{what} {name!r} is not an instance of {kind.__module__}.{kind.__name__}")
    _loaded[name] = found
    return found


def import_own(name: str) -> Any:
    """What an import path stands for, whatever that is.

    It may lie in the folder that the person stands in, wherever the suite lies: python looks there
    last, so that nothing else in the folder takes the place of another module.

    Raises:
        Exception: whatever importing it raises.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def loaded(name: str) -> Any | None:
    """What `load` found under a name; None if nobody asked for it in this process."""
    return _loaded.get(name)


class Named(Generic[T]):
    """What goes by a short name in the suite, and by its import path where it is a person's own.

    Iterating gives the short names.

    Args:
        what: the option that names one, such as "algo".
        kind: the class that each is an instance of.
        ours: short names and the import paths they stand for, imported when they are asked for.
    """

    def __init__(self, what: str, kind: type[Any], ours: Mapping[str, str]) -> None:
        self._what, self._kind, self._ours = what, kind, ours

    def __iter__(self) -> Iterator[str]:
        return iter(self._ours)

    def find(self, name: str) -> T:
        """The one of that name.

        Raises:
            UserError: the name is unknown, or of code that nobody has named in this process.
        """
        found = self.known(name)
        if found is not None:
            return found
        self.check(name)
        raise UserError(
            f"the {self._what} {name} is code of somebody's own, and using it would run that: if "
            f"you trust it, name it with --{self._what} {name}"
        )

    def known(self, name: str) -> T | None:
        """The one of that name; None if there is none, or nobody has named its code."""
        if name in self._ours:
            module, _, attribute = self._ours[name].partition(":")
            ours: T = getattr(importlib.import_module(module), attribute)
            return ours
        found = loaded(name)
        return found if isinstance(found, self._kind) else None

    def check(self, name: str) -> None:
        """Raises UserError unless a name is known or could be an import path; imports nothing."""
        if name not in self._ours and not has_form_of_import_path(name):
            raise UserError(
                f"{unknown(self._what, name, self._ours)}, or your own as their_package.module:NAME"
            )
