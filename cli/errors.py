"""What a person can mend: shown as one line, with an exit code and no traceback."""

DIVERGED = 3  # the exit code of a run whose numbers are not finite any more


class UserError(Exception):
    """A request that cannot be carried out; its message names what is wrong and the remedy.

    Attributes:
        exit_code: with which a script ends that shows it.
    """

    exit_code = 2


class CannotReadError(UserError):
    """The system refused to read a file, which may be whole: it says nothing about its content."""
