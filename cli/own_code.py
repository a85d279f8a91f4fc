"""Custom code, named on the command line as `their_package.module:NAME`.

Importing a module runs it. A name in a file may come from anybody, so it is never imported, only
looked up among the code that was loaded. `load` is for names that the user has typed.
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
    """Whether a name means custom code, `their_package.module:NAME`."""
    return ":" in name


def has_form_of_import_path(name: str) -> bool:
    """Whether a name has the form of an import path; imports nothing."""
    module, _, attribute = name.partition(":")
    return all(part.isidentifier() for part in [*module.split("."), attribute])


def load(name: str, kind: type, what: str) -> Any:
    """Import the custom code that the user has named.

    Args:
        name: its import path.
        kind: the class that it must be an instance of.
        what: what it is called in messages.

    Raises:
        UserError: the name has another form, the import fails, or it is no instance of `kind`.
    """
    if not has_form_of_import_path(name):
        raise UserError(f"{what} {name[:80]!r} is not of the form their_package.module:NAME")
    try:
        found = import_own(name)
    except Exception as error:  # importing runs the user's code, which may raise anything
        raise UserError(f"{what} {name!r} cannot be imported: {error}") from error
    if not isinstance(found, kind):
        raise UserError(f"{what} {name!r} is not an instance of {kind.__module__}.{kind.__name__}")
    _loaded[name] = found
    return found


def import_own(name: str) -> Any:
    """The object that an import path names, of any type.

    The module may be in the current folder, wherever the suite is installed. Python searches that
    folder last, so that no file in it replaces another module.

    Raises:
        Exception: whatever the import raises.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def loaded(name: str) -> Any | None:
    """The object that `load` imported under a name; None if it was not loaded in this process."""
    return _loaded.get(name)


class Named(Generic[T]):
    """A registry of objects with short names; custom ones are named by their import path.

    Iterating gives the short names.

    Args:
        what: the option that names one, such as "algo".
        kind: the class that each object is an instance of.
        ours: import paths by short name; each is imported when it is looked up.
    """

    def __init__(self, what: str, kind: type[Any], ours: Mapping[str, str]) -> None:
        self._what, self._kind, self._ours = what, kind, ours

    def __iter__(self) -> Iterator[str]:
        return iter(self._ours)

    def find(self, name: str) -> T:
        """The object of that name.

        Raises:
            UserError: the name is unknown, or custom code that was not loaded in this process.
        """
        found = self.known(name)
        if found is not None:
            return found
        self.check(name)
        raise UserError(
            f"the {self._what} {name} is custom code, and using it would run that code: if you "
            f"trust it, name it with --{self._what} {name}"
        )

    def known(self, name: str) -> T | None:
        """The object of that name; None if there is none, or its code was not loaded."""
        if name in self._ours:
            module, _, attribute = self._ours[name].partition(":")
            ours: T = getattr(importlib.import_module(module), attribute)
            return ours
        found = loaded(name)
        return found if isinstance(found, self._kind) else None

    def check(self, name: str) -> None:
        """Raise UserError unless a name is known or has the form of an import path."""
        if name not in self._ours and not has_form_of_import_path(name):
            raise UserError(
                f"{unknown(self._what, name, self._ours)}, or your own as their_package.module:NAME"
            )
