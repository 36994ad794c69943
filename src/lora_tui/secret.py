"""A string that must not be shown: printing, logging and pickling it show a mask.

A server may repeat it in a response: `without_held` removes all secrets that we hold from a text.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # `list` loads this module, and typing would be a tenth of its time
    from typing import Final, NoReturn

MASK: Final = "••••••"

_SHORTEST: Final = 8
"""Characters; a shorter one would be found within ordinary words."""
_MOST_HELD: Final = 64
"""A session has new tokens each hour."""
_held: tuple[str, ...] = ()


def without_held(text: str) -> str:
    """The text with each secret of this process masked."""
    for value in _held:  # nearly no text has one, so nothing is sorted for the others
        if value in text:
            break
    else:
        return text
    found = [value for value in _held if value in text]
    for value in sorted(found, key=len, reverse=True):  # one may be a part of another
        text = text.replace(value, MASK)
    return text


def is_held_in(content: bytes) -> bool:
    """Whether the content has a long secret of this process; short ones may be ordinary words."""
    return any(
        value.encode(errors="surrogatepass") in content
        for value in _held
        if len(value) >= 2 * _SHORTEST
    )


class Secret:
    """Wraps a key, password or token; only `reveal()` gives it back."""

    __slots__ = ("_value",)

    def __init__(self, value: str, *, public: bool = False) -> None:
        """`public`: it may be seen in the text of a server, as a project's anon key may."""
        global _held
        self._value = value
        if len(value) >= _SHORTEST and not public and value not in _held:
            _held = (*_held[-_MOST_HELD + 1 :], value)

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
