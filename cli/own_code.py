"""Code of a person's own, named on the command line as `their_package.module:NAME`.

Importing a module runs it. A name that stands in a file may come from anybody, so it is looked up
among what was loaded and never imported; `load` is for the names that the person has typed.
"""

from __future__ import annotations

import importlib
from typing import Any

from cli.errors import UserError

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
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # importing runs the person's code, which may raise anything
        raise UserError(f"{what} {name!r} cannot be imported: {error}") from error
    if not isinstance(found, kind):
        raise UserError(f"{what} {name!r} is not an instance of {kind.__module__}.{kind.__name__}")
    _loaded[name] = found
    return found


def loaded(name: str) -> Any | None:
    """What `load` found under a name; None if nobody asked for it in this process."""
    return _loaded.get(name)
