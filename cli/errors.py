"""Errors that the user can fix: one line and an exit code instead of a traceback."""

DIVERGED = 3  # the exit code of a run whose numbers are no longer finite


class UserError(Exception):
    """A request that cannot be carried out; its message names what is wrong and the remedy.

    Attributes:
        exit_code: the exit code of a script that ends with this error.
    """

    exit_code = 2


class CannotReadError(UserError):
    """The system refused to read a file, whose content may be intact."""
