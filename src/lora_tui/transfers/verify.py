"""Checks the contents of a file on this disk: structure, checksum, error pages."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lora_tui.errors import IntegrityError
from lora_tui.json_check import check_document
from lora_tui.safetensors_header import PREFIX_BYTES, header_length, parse_header

_LARGEST_JSON: Final = 128 << 20
_LOOK: Final = 64 << 10
"""Bytes at the start of a file that tell an error page from data."""
_PAGE: Final = re.compile(
    rb"\s*(?:<!--.{0,500}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_XML: Final = re.compile(rb"\s*<(?:\?xml\b|Error>|ListBucketResult\b)")
_PAGES: Final = (".html", ".htm", ".xhtml")
_MARKUP: Final = (*_PAGES, ".xml", ".svg")
_ERROR_KEYS: Final = frozenset(
    {"statusCode", "status", "error", "errors", "message", "msg", "code", "error_code"}
    | {"error_description", "details", "detail", "hint", "success", "requestId", "timestamp"}
)
_TORCH: Final = re.compile(
    r".*\.(pt|pth|ckpt|pkl)|(training_args|adapter_model|pytorch_model|optimizer|scheduler"
    r"|scaler|rng_state|random_states)\b.*\.bin",
    re.IGNORECASE,
)
_ZIPS: Final = (".zip", ".npz")
_MAYBE_TORCH: Final = re.compile(r".*\.bin", re.IGNORECASE)
_OLD_PICKLE: Final = re.compile(rb"[(\]}]|c[\w.]+\n")
_ZIP, _ZIP_END, _TAR = b"PK\x03\x04", b"PK\x05\x06", b"ustar"
_ZIP_TAIL: Final = 22 + 0xFFFF


def sha256_of(path: Path) -> str:
    """The digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5_of(path: Path) -> str:
    """Its MD5, which storages use as an ETag, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, _md5).hexdigest()


def check_structure(path: Path, name: str) -> bool:
    """Look into what `name` says it is; whether there was something to look at.

    safetensors, JSON, and what PyTorch saves (a zip or a pickle, which is not read). Of every other
    file only that it is not an error page of a server. Raises IntegrityError with the reason.
    """
    lower = name.lower()
    check_no_error_page(path, lower)
    if lower.endswith(".safetensors"):
        check_safetensors(path)
    elif lower.endswith(".json"):
        check_json(path)
    elif lower.endswith(_ZIPS):
        check_zip(path)
    elif _TORCH.fullmatch(lower):
        return check_torch(path)
    elif _MAYBE_TORCH.fullmatch(lower):
        return check_torch(path, strict=False)
    else:
        return False
    return True


def check_no_error_page(path: Path, name: str) -> None:
    """Raises IntegrityError where a server's error was sent in place of the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_LOOK).removeprefix(b"\xef\xbb\xbf")
    if _PAGE.match(start) and not name.endswith(_PAGES):
        raise IntegrityError("The file is an HTML page, such as a server sends for an error")
    if _XML.match(start) and not name.endswith(_MARKUP):
        raise IntegrityError("The file is an XML document, such as a storage sends for an error")
    if size <= _LOOK and start.lstrip()[:1] == b"{" and _is_error(start):
        raise IntegrityError("The file is a JSON document that tells of an error")


def check_json(path: Path) -> None:
    """Raises IntegrityError unless the file is one JSON document."""
    if path.stat().st_size > _LARGEST_JSON:
        raise IntegrityError("The file is too large to be a JSON document of an adapter")
    with path.open("rb") as file:
        check_document(file)


def check_safetensors(path: Path) -> None:
    """Raises IntegrityError unless header and length agree."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = header_length(file.read(PREFIX_BYTES), size)
        parse_header(file.read(length), file_size=size)


def check_zip(path: Path) -> None:
    """Raises IntegrityError unless the file is a zip archive with its directory at the end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(len(_ZIP))
        file.seek(max(0, size - _ZIP_TAIL))
        end = file.read(_ZIP_TAIL)
    if start not in (_ZIP, _ZIP_END):  # the latter: an archive of nothing
        raise IntegrityError("The file is not a zip archive")
    if not _has_end(end, size):
        raise IntegrityError("The file is a zip archive that was cut short")


def check_torch(path: Path, *, strict: bool = True) -> bool:
    """Whether the file is a zip, a pickle or a tar, as PyTorch saves them. Nothing is unpickled.

    Raises IntegrityError where a zip is cut short, and with `strict` where it is none of these.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(512)
        file.seek(max(0, size - 1))
        last = file.read(1)
    if start.startswith(_ZIP):
        check_zip(path)
        return True
    if start[:1] == b"\x80" and 2 <= (start[1:2] or b"\0")[0] <= 5:
        return True
    if start[257:262] == _TAR or (_OLD_PICKLE.match(start) and last == b"."):
        return True
    if strict:
        raise IntegrityError("The file is neither a zip archive nor a pickle, as PyTorch saves it")
    return False


def _has_end(end: bytes, size: int) -> bool:
    """Whether the directory of the archive is where its end says it is."""
    at = end.rfind(_ZIP_END)
    if at < 0 or len(end) - at < 22:
        return False
    length, offset = (int.from_bytes(end[at + i : at + i + 4], "little") for i in (12, 16))
    if offset == 0xFFFF_FFFF or length == 0xFFFF_FFFF:
        return True  # zip64 says it elsewhere
    return offset + length <= size - len(end) + at


def _is_error(text: bytes) -> bool:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(body, Mapping) or not body or not body.keys() <= _ERROR_KEYS:
        return False
    tells = {"error", "errors", "message", "msg", "error_description", "detail"} & body.keys()
    return bool(tells)


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)
