"""Settings that are declared once, with type, default, bounds and a sentence of help.

    class Mine(Settings):
        epochs: Annotated[int, Field(ge=1, le=1000)] = 4
        '''Passes over the data.'''

The command line (`cli.command_line`), its help, bounds, JSON and the words that ask for the same
settings again all derive from the fields. Pydantic validates them, and its error becomes one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError
from pydantic import model_validator as model_validator  # for subclasses that add a check
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cli.errors import UserError

LONGEST_SHOWN = 80


class Settings(BaseModel):
    """A frozen record whose values are checked when it is created.

    Raises:
        UserError: a value is missing, of another type, out of bounds or not one of the choices, or
            a name is unknown; the message says which, and what is allowed.
    """

    # Strict: neither a file nor code may give "5" for a number, or true for a count.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )

    @model_validator(mode="wrap")
    @classmethod
    def _in_one_line(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            raise UserError(cls._message(error.errors()[0])) from None

    @classmethod
    def _message(cls, error: ErrorDetails) -> str:
        """The message for one of pydantic's errors."""
        name = cls._called(".".join(str(part) for part in error["loc"]) or cls.__name__)
        value, kind = shown(error["input"]), error["type"]
        if kind == "missing":
            return f"{name} is missing"
        if kind == "extra_forbidden":
            return f"unknown setting {shown(name)} (allowed: {', '.join(cls.model_fields)})"
        if kind == "literal_error":
            return unknown(name, error["input"], choices(cls.model_fields[str(error["loc"][0])]))
        if kind.startswith(("greater_than", "less_than", "finite_number")):
            lowest, highest = bounds(cls.model_fields[str(error["loc"][0])])
            return _out_of_bounds(name, lowest, highest, value)
        if kind.startswith("int_"):
            return f"{name} must be a whole number, got {value}"
        if kind.startswith("float_"):
            return f"{name} must be a number, got {value}"
        if kind.startswith("string_"):
            return f"{name} must be text, got {value}"
        if kind.startswith("bool_"):
            return f"{name} must be true or false, got {value}"
        return f"{name}: {error['msg']}, got {value}"

    @classmethod
    def _called(cls, name: str) -> str:
        """A setting's name in messages; a class filled only by options may return the option."""
        return name

    def replaced(self, **changes: Any) -> Self:
        """A copy with some other values, checked like a new record."""
        return type(self)(**{**self.values(), **changes})

    def values(self) -> dict[str, Any]:
        """Every setting by its name, in the order of declaration."""
        return {name: getattr(self, name) for name in type(self).model_fields}


def words(values: Mapping[str, Any]) -> list[str]:
    """The options that ask for these settings on a command line."""
    return [word for name, value in values.items() for word in (option(name), str(value))]


def option(name: str) -> str:
    """A setting's name on the command line."""
    return f"--{name.replace('_', '-')}"


def require_between(name: str, value: float, lowest: float, highest: float) -> None:
    """Raise UserError if a number that is no field of `Settings` is out of its bounds."""
    if not lowest <= value <= highest:
        raise UserError(_out_of_bounds(name, lowest, highest, value))


def _out_of_bounds(name: str, lowest: float, highest: float, value: object) -> str:
    return f"{name} must be between {lowest:,} and {highest:,}, got {value}"


def bounds(field: FieldInfo) -> tuple[float, float]:
    """Lowest and highest value that a number's declaration allows; infinite without a bound."""
    lowest, highest = float("-inf"), float("inf")
    for bound in field.metadata:
        lowest = getattr(bound, "ge", getattr(bound, "gt", lowest))
        highest = getattr(bound, "le", getattr(bound, "lt", highest))
    return lowest, highest


def choices(field: FieldInfo) -> tuple[Any, ...]:
    """The values of a field that is a Literal."""
    return tuple(getattr(field.annotation, "__args__", ()))


def unknown(name: str, value: object, allowed: Iterable[str]) -> str:
    """The message about a name that is not allowed, with the closest one that is."""
    known = list(allowed)
    near = difflib.get_close_matches(str(value)[:100].lower(), known, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown {name} {shown(value)}{hint} (allowed: {', '.join(known)})"


def shown(value: object) -> str:
    """A value as an error message shows it, shortened to `LONGEST_SHOWN` characters."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."
