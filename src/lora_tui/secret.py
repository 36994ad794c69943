"""A string that must not be seen: it masks itself wherever it is printed, logged or pickled."""

from __future__ import annotations

from typing import Final, NoReturn

MASK: Final = "••••••"


def fits_header(text: str) -> bool:
    """Whether a key or token can be sent in a header: one line of ASCII, and not empty."""
    return bool(text) and text.isascii() and text.isprintable()


class Secret:
    """Wraps a key, password or token; only `reveal()` gives it back."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The bare value, for the one call that needs it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")
