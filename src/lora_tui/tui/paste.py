"""Keeps what is pasted from acting: a parser of the terminal's input without keys of a paste.

Textual's parser takes an escape character inside a bracketed paste for the beginning of a key, and
hands on up to 32 characters after it as keys: a copied text with colours could cancel a run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from textual._xterm_parser import XTermParser
from textual.message import Message

_ESCAPE: Final = "\x1b"
_BEGIN: Final = "\x1b[200~"
_END: Final = "\x1b[201~"


class PasteFilter:
    """Removes the escape characters from pastes, which may come in several parts."""

    def __init__(self) -> None:
        self._pastes = False
        self._held = ""
        """The last characters, which may be the beginning of the mark of the end."""
        self._before = ""
        """The last characters before a paste, which may be the beginning of its mark."""

    def clean(self, text: str) -> str:
        """The input without the escape characters of pastes. Hands on nothing late but a mark."""
        kept: list[str] = []
        text, self._held = self._held + text, ""
        while text:
            if self._pastes:
                inside, end, text = text.partition(_END)
                if not end:
                    self._held = _begun_mark(inside)
                    inside = inside[: len(inside) - len(self._held)]
                kept.append(inside.replace(_ESCAPE, "") + end)
                self._pastes = not end
                continue
            known = self._before
            place = (known + text).find(_BEGIN)
            if place < 0:
                self._before = (known + text)[1 - len(_BEGIN) :]
                return "".join((*kept, text))
            after = place + len(_BEGIN) - len(known)
            kept.append(text[:after])
            text, self._before, self._pastes = text[after:], "", True
        return "".join(kept)


class PasteParser(XTermParser):
    """Textual's parser behind a `PasteFilter`."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._filter = PasteFilter()

    def feed(self, data: str) -> Iterable[Message]:
        """The events in the input; "" is its end."""
        if data:
            data = self._filter.clean(data)
            if not data:
                return ()
        return super().feed(data)


def _begun_mark(text: str) -> str:
    """The end of the text that may be the beginning of the mark of the end."""
    for length in range(len(_END) - 1, 0, -1):
        if text.endswith(_END[:length]):
            return text[-length:]
    return ""
