"""Checks whether a file is one JSON document, piece by piece, in little memory.

`json.loads` needs up to thirty times the size of a document. This checks only the grammar: regular
expressions skip runs of plain values, a stack follows the nesting.
"""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO, Final

from lora_tui import formats
from lora_tui.errors import IntegrityError

MOST_DEPTH: Final = 1000
"""The limit of nesting; programs that load adapters allow less."""

PIECE_BYTES: Final = 256 << 10
_LONGEST_WORD: Final = 64 << 10
"""Bytes; longer numbers are refused."""
_BOM: Final = b"\xef\xbb\xbf"
_MOST_REPEATS: Final = 1000
"""The most values in one match, to limit the memory of backtracking."""
_REPEATED: Final = b"{0,%d}" % _MOST_REPEATS

# No possessive quantifiers and no atomic groups: CPython before 3.11.5 gets them wrong. A match
# that fails backtracks over each byte only once, as no two alternatives match the same bytes.
_SPACE: Final = rb"[ \t\n\r]*"
_CHARACTERS: Final = rb'[^"\\\x00-\x1f]*'
_INNER: Final = (
    _CHARACTERS + rb'(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})' + _CHARACTERS + rb")" + _REPEATED
)
_STRING: Final = rb'"' + _INNER + rb'"'
_WORD: Final = (
    rb"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|NaN|-?Infinity)"
)
_SCALAR: Final = rb"(?:" + _STRING + rb"|" + _WORD + rb")" + _SPACE


def _or_collections_of(value: bytes) -> bytes:
    """A value, or a list or a table of such values."""
    pair = _STRING + _SPACE + rb":" + _SPACE + value
    several = [
        opens + _SPACE + rb"(?:" + one + _more(rb"," + _SPACE + one) + rb")?" + closes + _SPACE
        for opens, one, closes in ((rb"\[", value, rb"\]"), (rb"\{", pair, rb"\}"))
    ]
    return rb"(?:" + rb"|".join([value, *several]) + rb")"


def _more(pattern: bytes) -> bytes:
    return rb"(?:" + pattern + rb")" + _REPEATED


_PLAIN: Final = _or_collections_of(_or_collections_of(_SCALAR))
"""What is skipped at once."""
_GAP: Final = re.compile(_SPACE)
_REST_OF_STRING: Final = re.compile(_INNER)
_VALUE_WORD: Final = re.compile(_WORD)
_VALUES: Final = re.compile(_more(_PLAIN + rb"," + _SPACE))
_PAIRS: Final = re.compile(_more(_STRING + _SPACE + rb":" + _SPACE + _PLAIN + rb"," + _SPACE))
_LONGEST_ESCAPE: Final = 6

_PENDING: Final = re.compile(rb"[-+.0-9A-Za-z]*")
_VALUE, _FIRST_VALUE, _KEY, _FIRST_KEY, _COLON, _NEXT = range(6)
"""What may come next: a value; a value or the end of the list; a key; a key or the end of the
object; a colon; a comma or the end."""


def check_document(file: BinaryIO) -> None:
    """Raises IntegrityError unless the bytes of the file, to its end, are one JSON document.

    It is UTF-8, with a byte order mark or without.
    """
    checker = _Checker()
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        first = True
        while piece := file.read(PIECE_BYTES):
            decoder.decode(piece)
            checker.feed(piece.removeprefix(_BOM) if first else piece)
            first = False
        decoder.decode(b"", final=True)
        checker.close()
    except ValueError as error:
        raise IntegrityError("The file is not valid JSON", details=_reason(error)) from error


def _reason(error: ValueError) -> str:
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


class _Checker:
    """Fed with pieces; raises ValueError where they can't be JSON."""

    def __init__(self) -> None:
        self._expected = _VALUE
        self._open = bytearray()
        """The open brackets."""
        self._text = b""
        self._passed = 0
        """Bytes before `_text`."""
        self._in_string = False
        self._after_string = _NEXT

    def feed(self, piece: bytes) -> None:
        """Check the next bytes of the document."""
        self._text += piece
        self._consume(last=False)
        if len(self._text) > _LONGEST_WORD:
            raise self._wrong(0)

    def close(self) -> None:
        """Check that the document is complete."""
        self._consume(last=True)
        if self._text or self._in_string or self._open or self._expected != _NEXT:
            raise ValueError("it ends in the middle")

    def _consume(self, *, last: bool) -> None:
        """Consume all that can be decided without more input."""
        at, before = 0, -1
        while at > before:
            before = at
            if self._in_string:
                at = self._string(at, last)
                continue
            at = self._plain(_GAP.match(self._text, at).end())  # type: ignore[union-attr]
            if at < len(self._text):
                at = self._token(at, last)
        self._passed += at
        self._text = self._text[at:]

    def _string(self, at: int, last: bool) -> int:
        text = self._text
        end = _REST_OF_STRING.match(text, at).end()  # type: ignore[union-attr]
        if end > at or end == len(text):
            return end
        if text[at] == ord('"'):
            self._in_string, self._expected = False, self._after_string
            return at + 1
        if last or text[at] != ord("\\") or len(text) - at >= _LONGEST_ESCAPE:
            raise self._wrong(at)
        return at

    def _plain(self, at: int) -> int:
        """Consume values, or pairs, without nested ones, each with the comma after it."""
        in_list = self._open[-1:] == b"["
        if self._expected in (_KEY, _FIRST_KEY):
            run = _PAIRS
        elif in_list and self._expected in (_VALUE, _FIRST_VALUE):
            run = _VALUES
        else:
            return at
        end = run.match(self._text, at).end()  # type: ignore[union-attr]
        if end > at:
            self._expected = _VALUE if in_list else _KEY
        return end

    def _token(self, at: int, last: bool) -> int:
        """Consume one punctuation character or one literal."""
        sign, expected = self._text[at : at + 1], self._expected
        if expected == _NEXT and sign == b"," and self._open:
            self._expected = _VALUE if self._open[-1:] == b"[" else _KEY
        elif self._is_closing(sign):
            self._open.pop()
            self._expected = _NEXT
        elif expected == _COLON and sign == b":":
            self._expected = _VALUE
        elif sign == b'"' and expected not in (_NEXT, _COLON):
            self._in_string = True
            self._after_string = _COLON if expected in (_KEY, _FIRST_KEY) else _NEXT
        elif expected not in (_VALUE, _FIRST_VALUE):
            raise self._wrong(at)
        elif sign in (b"[", b"{"):
            if len(self._open) >= MOST_DEPTH:
                raise ValueError("it is nested too deeply")
            self._open += sign
            self._expected = _FIRST_VALUE if sign == b"[" else _FIRST_KEY
        else:
            return self._word(at, last)
        return at + 1

    def _is_closing(self, sign: bytes) -> bool:
        if sign == b"]":
            return self._open[-1:] == b"[" and self._expected in (_NEXT, _FIRST_VALUE)
        if sign == b"}":
            return self._open[-1:] == b"{" and self._expected in (_NEXT, _FIRST_KEY)
        return False

    def _word(self, at: int, last: bool) -> int:
        text = self._text
        if not last and _PENDING.match(text, at).end() == len(text):  # type: ignore[union-attr]
            return at  # it may continue in the next piece
        word = _VALUE_WORD.match(text, at)
        if word is None:
            raise self._wrong(at)
        self._expected = _NEXT
        return word.end()

    def _wrong(self, at: int) -> ValueError:
        return ValueError(f"the syntax is wrong at byte {formats.count(self._passed + at)}")
