"""Reads a configuration file of the plainest form, which is what most are, without a TOML parser.

Loading that parser takes longer than `list` takes for all else. Tables, and keys with a text, a
whole number, true or false, each on one line: everything beyond that is left to tomllib.
"""

from __future__ import annotations

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def read_plain(text: str) -> dict[str, dict[str, str | int | bool]] | None:
    """The tables by their dotted names; None where tomllib has to read it, or to refuse it."""
    tables: dict[str, dict[str, str | int | bool]] = {}
    table: dict[str, str | int | bool] | None = None
    for line in text.split("\n"):
        line = line.strip(" \t")
        if not line or line.startswith("#"):
            if not line.isprintable():
                return None
        elif line.startswith("["):
            name = line[1:-1]
            if line[-1] != "]" or name in tables or not all(map(_is_bare, name.split("."))):
                return None
            table = tables[name] = {}
        else:
            key, equals, written = line.partition("=")
            key = key.strip(" \t")
            value = _value(written.strip(" \t"))
            if table is None or not equals or not _is_bare(key) or key in table or value is None:
                return None
            table[key] = value
    # [a] with a key b, and [a.b] or [a.b.c]: tomllib refuses the one or the other order
    for name in tables:
        parts = name.split(".")
        for end in range(1, len(parts)):
            if parts[end] in tables.get(".".join(parts[:end]), {}):
                return None
    return tables


def _is_bare(name: str) -> bool:
    return bool(name) and _BARE.issuperset(name)


def _value(written: str) -> str | int | bool | None:
    if written in ("true", "false"):
        return written == "true"
    if written.isascii() and written.isdecimal() and (written == "0" or written[0] != "0"):
        return int(written) if len(written) < 19 else None
    quote, inner = written[:1], written[1:-1]
    if quote not in ('"', "'") or len(written) < 2 or written[-1] != quote:
        return None
    if quote in inner or "\\" in inner or not inner.isprintable():
        return None
    return inner
