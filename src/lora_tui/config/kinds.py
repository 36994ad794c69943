"""Kinds of values that a setting can have: how each is written, checked and shown.

A kind reads a value with `from_file` or `from_text`, writes it with `to_file` or `file_text`, and
gives the Settings screen `display` and `edit_text`. `written` is the value as the configuration
file has it (text, number, true or false). Checks raise ConfigError with `what`, the name of the
setting and its place, and never quote a secret.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from lora_tui import formats
from lora_tui.errors import ConfigError

Written = str | bool | int | float

ON: Final = "on"
OFF: Final = "off"
_TRUE: Final = ("1", "true", "yes", ON)
_FALSE: Final = ("0", "false", "no", OFF)


_NOT_IN_A_LINE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NOT_UTF_8: Final = re.compile("[\ud800-\udfff]")
_IN_FILE: Final = "correct it in the file that `lora-tui config path` names"


class Kind:
    """One kind of value. This class itself is for text in one line."""

    choices: tuple[str, ...] = ()
    """All values in the order of the Settings screen, where they can be listed."""

    def from_file(self, written: object, what: str) -> Any:
        """The value for the program, of what is written in the file."""
        if not isinstance(written, str):
            raise ConfigError(f"{what} must be a text in quotes", remedy=_IN_FILE)
        return self.from_text(written.strip(), what)

    def from_text(self, text: str, what: str) -> Any:
        """The value for the program, of the text in an environment variable."""
        if _NOT_IN_A_LINE.search(text):
            raise ConfigError(
                f"{what} takes one line of text",
                remedy="write it without line breaks and control characters",
            )
        return text

    def to_file(self, text: str, what: str) -> Written:
        """What the file gets for a text that a user typed; it is one that can be read back."""
        if _NOT_UTF_8.search(text):
            raise ConfigError(f"{what} is not valid text", remedy="write it in UTF-8")
        self.from_text(text, what)
        return text

    def file_text(self, value: object) -> str:
        """A value of the program as the file would have it, without quotes."""
        return str(value)

    def display(self, written: object) -> str:
        """For the Settings screen."""
        return str(written)

    def edit_text(self, written: object) -> str:
        """What the line for typing begins with on that screen."""
        return self.display(written)


class Url(Kind):
    """The address of a service; see `checked_url`."""

    def from_text(self, text: str, what: str) -> str:
        """Without a slash at the end."""
        return checked_url(text, what)

    def to_file(self, text: str, what: str) -> str:
        """The checked address."""
        return checked_url(text, what)


class UrlOrOff(Kind):
    """The address of a service, or `off`."""

    def from_text(self, text: str, what: str) -> str:
        """Without a slash at the end; `off` as it is."""
        return OFF if text.lower() == OFF else checked_url(text, what)

    def to_file(self, text: str, what: str) -> str:
        """The checked address, or `off`."""
        return self.from_text(text, what)


class SecretUrl(Kind):
    """An address that is a secret itself, as that of a webhook; messages never quote it."""

    def from_text(self, text: str, what: str) -> str:
        """As it is."""
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ConfigError(f"{what} is not a URL", remedy="write it like this: https://host/…")
        if not fits_header(text) or " " in text:
            raise ConfigError(
                f"{what} has characters that no URL has", remedy="copy it again, as one line"
            )
        if parts.scheme == "http" and not _is_this_machine(parts.hostname):
            raise ConfigError(
                f"{what} is not encrypted",
                remedy="use https:// (plain http is accepted for this machine only)",
            )
        return text

    def display(self, written: object) -> str:
        """That there is one: also the host may tell who may write there."""
        return "set, hidden" if written else ""

    def edit_text(self, written: object) -> str:
        """Nothing: it is typed anew."""
        del written
        return ""


class Key(Kind):
    """A key or token that is sent in a header."""

    def from_text(self, text: str, what: str) -> str:
        """As it is."""
        check_in_header(text, what)
        return text


class Directory(Kind):
    """A directory; `~` stands for the home directory."""

    def from_text(self, text: str, what: str) -> Path:
        """With `~` filled in."""
        return expanded(text, what)


class Amount(Kind):
    """Bytes, such as 500M or 4G."""

    name, example = "an amount of bytes", '"500M" or "4G"'

    def from_file(self, written: object, what: str) -> float:
        """In bytes; a plain number is accepted too."""
        if isinstance(written, int | float) and not 0 < written < _MOST_RATE:
            written = ""  # Python has no text of a very long number
        return self.from_text(str(written) if isinstance(written, str | int | float) else "", what)

    def from_text(self, text: str, what: str) -> float:
        """In bytes."""
        try:
            return bytes_of(text)
        except ValueError:
            raise ConfigError(
                f"{what} is not {self.name}", remedy=f"write it like this: {self.example}"
            ) from None

    def file_text(self, value: object) -> str:
        """In the largest unit that keeps the number short."""
        return rate_text(float(str(value)))


class Rate(Amount):
    """Bytes a second, such as 800K or 5M."""

    name, example = "a rate", '"5M" or "800K"'

    def display(self, written: object) -> str:
        """With its unit of time."""
        return f"{written}/s"

    def edit_text(self, written: object) -> str:
        """Without it."""
        return str(written)


class Switch(Kind):
    """True or false; on and off for users."""

    choices = (OFF, ON)

    def from_file(self, written: object, what: str) -> bool:
        """True or false."""
        if not isinstance(written, bool):
            raise ConfigError(f"{what} is true or false, without quotes", remedy=_IN_FILE)
        return written

    def from_text(self, text: str, what: str) -> bool:
        """True or false, of any usual word for it."""
        word = text.lower()
        if word not in _TRUE + _FALSE:
            raise ConfigError(f"{what} is neither true nor false", remedy="set it to true or false")
        return word in _TRUE

    def to_file(self, text: str, what: str) -> bool:
        """True or false."""
        return self.from_text(text, what)

    def file_text(self, value: object) -> str:
        """True or false, in TOML's words."""
        return "true" if value else "false"

    def display(self, written: object) -> str:
        """On or off."""
        return ON if written else OFF


class Choice(Kind):
    """One of some words."""

    def __init__(self, words: tuple[str, ...], unset: str) -> None:
        """`unset`: the word for no choice, which is not written into the file; may be empty."""
        self.words = words
        self.choices = (unset, *words) if unset else words

    def from_file(self, written: object, what: str) -> str:
        """The word."""
        if written not in self.words:
            raise ConfigError(
                f"{what} has a value that is not known", remedy=f"one of {', '.join(self.words)}"
            )
        return str(written)

    def from_text(self, text: str, what: str) -> str:
        """The word."""
        return self.from_file(text, what)


class Number(Kind):
    """A number with limits: whole, or of seconds."""

    def __init__(self, least: int, most: int, *, unit: str = "") -> None:
        """`unit`: written behind the number on the Settings screen; fractions are allowed then."""
        self.least, self.most, self.unit = least, most, unit

    def from_file(self, written: object, what: str) -> Any:
        """The number."""
        whole = isinstance(written, int) and not isinstance(written, bool)
        fits = whole or (bool(self.unit) and isinstance(written, float))
        if not fits or not self.least <= written <= self.most:  # type: ignore[operator]
            name = "a number of seconds" if self.unit else "a whole number"
            raise ConfigError(f"{what} is {name} from {self.least} to {formats.count(self.most)}")
        return written

    def from_text(self, text: str, what: str) -> Any:
        """The number."""
        return self.from_file(self._number(text), what)

    def to_file(self, text: str, what: str) -> Written:
        """The number, without a fraction that is zero."""
        number: Written = self.from_text(text, what)
        return number

    def file_text(self, value: object) -> str:
        """Without a fraction that is zero."""
        return f"{value:.15g}"

    def display(self, written: object) -> str:
        """With its unit."""
        return f"{written:g} {self.unit}".rstrip() if self.unit else str(written)

    def _number(self, text: str) -> Written:
        digits = text.removesuffix(self.unit).strip() if self.unit else text
        try:
            number = float(digits) if self.unit else int(digits)
        except ValueError:
            return text
        return int(number) if number == number // 1 else number


def checked_url(value: str, what: str, *, plain_http: bool = False) -> str:
    """An address of a service, without a slash at its end. Raises ConfigError.

    Without `plain_http` an address that begins with http:// may only be one of this machine.
    """
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable():
        raise ConfigError(f"{what} is not a URL", remedy="write it like this: https://host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            f"{what} must be a URL without credentials and without a query",
            remedy="write it like this: https://host",
        )
    if parts.scheme == "http" and not plain_http and not _is_this_machine(parts.hostname):
        raise ConfigError(
            f"{what} is not encrypted: keys would be sent in clear text",
            remedy="use https:// (plain http is accepted for this machine only)",
        )
    return value.rstrip("/")


_PLACEHOLDERS = ("_YOUR_KEY", "_…")
"""The ends of the keys that the documentation shows, in this version and in earlier ones."""


def check_in_header(value: str, what: str) -> None:
    """Raise ConfigError if a key can't be sent in a header; the message does not quote it."""
    if value.endswith(_PLACEHOLDERS):
        raise ConfigError(
            f"{what} is the placeholder of the documentation, not a key",
            remedy="copy your key from the project's API settings",
        )
    if not fits_header(value):
        raise ConfigError(
            f"{what} can't be a key: it has a line break, a control character"
            " or a letter beyond ASCII in it",
            remedy="copy it again, as one line; a long key may have been wrapped",
        )


def fits_header(text: str) -> bool:
    """Whether a key or token can be sent in a header: one line of ASCII, and not empty."""
    return bool(text) and text.isascii() and text.isprintable()


def bytes_of(text: str) -> float:
    """`800K`, `5M`, `1.5G` (powers of 1024, as in curl) or plain bytes. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)", text.strip().upper(), re.ASCII)
    amount = 0.0 if match is None else float(match[1]) * _UNITS[match[2]]
    if not 0 < amount < _MOST_RATE:
        raise ValueError("not an amount of bytes")
    return amount


def rate_text(amount: float) -> str:
    """An amount of bytes for `bytes_of`: in the largest unit that gives at most two decimals."""
    for unit, size in reversed(_UNITS.items()):
        if amount >= size and round(amount / size, 2) * size == amount:
            return f"{amount / size:.15g}{unit}"
    return f"{amount:.15g}"


_MOST_RATE: Final = 2.0**63
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def expanded(path: str, what: str) -> Path:
    """A path with `~` filled in. Raises ConfigError where the home directory is not known."""
    if "\0" in path:
        raise ConfigError(f"{what} contains a null character", remedy="write it without one")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{what} begins with ~, but the home directory is not known",
            details=path,
            remedy="give the whole path, or set HOME",
        ) from None


def _is_this_machine(host: str) -> bool:
    from lora_tui.config.addresses import is_loopback  # late: most addresses are https

    return is_loopback(host)
