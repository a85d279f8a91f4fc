"""What a person can mend: shown as one line, with exit code 2 and no traceback."""


class UserError(Exception):
    """A request that cannot be carried out; its message names what is wrong and the remedy."""


class CannotReadError(UserError):
    """The system refused to read a file, which may be whole: it says nothing about its content."""
