"""What a person can mend: shown as one line, with exit code 2 and no traceback."""


class UserError(Exception):
    """A request that cannot be carried out; its message names what is wrong and the remedy."""
