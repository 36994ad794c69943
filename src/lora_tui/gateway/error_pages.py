"""Recognises an error (HTML, XML, JSON) that a server sent in place of a file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

PREFIX_BYTES: Final = 64 << 10
"""Bytes at the start of a file that are enough to tell."""

_PAGE: Final = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|title|meta|script|center>\s*<h1>\s*[45]\d\d)\b", re.I
)
_PART_OF_A_PAGE: Final = re.compile(
    rb"<(?:center|div|style|link|base|h1|form|table|iframe|noscript)\b", re.I
)
"""Markdown may begin so too."""
_XML: Final = re.compile(rb"<(?:\?xml\b|Error>|ListBucketResult\b)")
_ERROR_LINE: Final = re.compile(rb"error code: \d{3,5}\s*", re.I)
"""As Cloudflare writes it."""
_HTML_ENDS: Final = (".html", ".htm", ".xhtml")
_MARKUP_ENDS: Final = (*_HTML_ENDS, ".xml", ".svg")
_MARKDOWN_ENDS: Final = (".md", ".markdown", ".jinja")
_SPACE: Final = b" \t\r\n\f\v"
_KEYS: Final = frozenset(
    {"statusCode", "status", "error", "errors", "message", "msg", "code", "error_code"}
    | {"error_description", "details", "detail", "hint", "success", "requestId", "timestamp"}
    | {"request_id", "requestid", "trace_id", "traceId", "type", "title", "instance", "path"}
    | {"method", "reason", "error_uri", "errorCode", "status_code"}
)
_STORAGE: Final = frozenset({"requestId", "RequestId", "hostId", "HostId", "resource", "Resource"})
"""What an object storage says of the request it refuses."""
_TELLING: Final = ("error", "errors", "message", "msg", "error_description", "detail")
_STATUSES: Final = ("statusCode", "status", "status_code", "code")
_FAILURES: Final = ("error", "fail", "failed", "failure")


def find_error_page(
    start: bytes, size: int | None, name: str, content_type: str | None = None
) -> str | None:
    """A sentence about what was sent instead of the file `name`; None if it may be that file.

    `start`: the first bytes, up to `PREFIX_BYTES`. `size`: of the whole response, None if unknown.
    """
    name = name.lower()
    if "html" in (content_type or "").lower() and not name.endswith(_HTML_ENDS):
        return "The file is an HTML page, such as a server sends for an error"
    start = _as_utf8(start).lstrip(_SPACE)
    markup, cut_short = _without_comments(start)
    loose = name.endswith(_MARKDOWN_ENDS)
    if not name.endswith(_HTML_ENDS) and (
        _PAGE.match(markup)
        or (not loose and not name.endswith(_MARKUP_ENDS) and _PART_OF_A_PAGE.match(markup))
        or (cut_short and not loose and not name.endswith(_MARKUP_ENDS))
    ):
        return "The file is an HTML page, such as a server sends for an error"
    if _XML.match(markup) and not name.endswith(_MARKUP_ENDS):
        return "The file is an XML document, such as a storage sends for an error"
    if size is not None and size <= 200 and _ERROR_LINE.fullmatch(start):
        return "The file is the error of a server, in a line"
    if start[:1] == b"{" and (size is None or size <= PREFIX_BYTES) and is_error_body(start):
        return "The file is a JSON document that reports an error"
    return None


def is_error_body(text: bytes) -> bool:
    """Whether it is a JSON object as services send it for an error."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(body, Mapping) or not body:
        return False
    if _STORAGE & body.keys() and body.keys() <= _STORAGE | {"code", "Code", "Message", "message"}:
        return True
    failed = any(_is_failure(body[key]) for key in _STATUSES if key in body)
    if not any(_is_text(body.get(key)) for key in (*_TELLING, *(["title"] if failed else []))):
        return False
    if "statusCode" in body and _is_failure(body["statusCode"]):
        return True  # the storage's own form, whatever else is in it
    if not body.keys() <= _KEYS or body.get("success") is True:
        return False
    return failed or "status" not in body or "error" in body


def _is_text(value: object) -> bool:
    """A vocabulary has numbers where an error has text."""
    return bool(value) and (isinstance(value, (bool, str, list, Mapping)))


def _is_failure(status: object) -> bool:
    text = str(status).lower()
    return bool(re.fullmatch(r"[45]\d\d", text, re.ASCII)) or text in _FAILURES


def _as_utf8(start: bytes) -> bytes:
    if start.startswith(b"\xef\xbb\xbf"):
        return start[3:]
    for mark, first, coding in (
        (b"\xff\xfe", (b"<\0", b"{\0"), "utf-16-le"),
        (b"\xfe\xff", (b"\0<", b"\0{"), "utf-16-be"),
    ):
        if start.startswith((mark, *first)):
            return start.removeprefix(mark).decode(coding, "replace").encode("utf-8", "replace")
    return start


def _without_comments(start: bytes) -> tuple[bytes, bool]:
    """What comes after the comments at the beginning; whether one of them does not end."""
    while start.startswith(b"<!--"):
        end = start.find(b"-->", 4)
        if end < 0:
            return b"", True
        start = start[end + 3 :].lstrip(_SPACE)
    return start, False
