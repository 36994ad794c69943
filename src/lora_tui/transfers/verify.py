"""Checks the contents of files on this disk: checksums, structure, error pages."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PurePosixPath
from typing import Final

from lora_tui.adapters.header import read_header_at
from lora_tui.errors import IntegrityError
from lora_tui.gateway.error_pages import PREFIX_BYTES, find_error_page
from lora_tui.transfers.json_check import check_document

_LARGEST_JSON: Final = 128 << 20
_OBJECTS: Final = (
    "adapter_config.json", "config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "generation_config.json",
)  # fmt: skip
"""JSON files that are always objects."""
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
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5_of(path: Path) -> str:
    """The MD5 of a file, in hexadecimal; storages use it as an ETag."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, _md5).hexdigest()


def check_structure(path: Path, name: str, *, proven: bool = False) -> bool:
    """Check the structure of a file by its name; whether there is a check for this kind.

    Checks safetensors, JSON, zip archives, and what PyTorch saves (pickles are not read); of every
    other file only that it is not an error page. If a checksum has `proven` the bytes, only
    safetensors are checked. Raises IntegrityError with the reason.
    """
    lower = name.lower()
    if not proven:
        check_no_error_page(path, lower)
    if lower.endswith(".safetensors"):
        check_safetensors(path)
    elif proven:
        return False
    elif lower.endswith(".json"):
        check_json(path, lower)
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
    """Raises IntegrityError if it is the error of a server in place of the file."""
    with path.open("rb") as file:
        problem = find_error_page(file.read(PREFIX_BYTES), path.stat().st_size, name)
    if problem is not None:
        raise IntegrityError(problem)


def check_json(path: Path, name: str = "") -> None:
    """Raises IntegrityError unless the file is one JSON document: an object or a list.

    Some files, by their `name`, must be objects.
    """
    if path.stat().st_size > _LARGEST_JSON:
        raise IntegrityError("The file is too large to be a JSON document of an adapter")
    with path.open("rb") as file:
        check_document(file)
        file.seek(0)
        start = file.read(PREFIX_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start.startswith(b"{" if PurePosixPath(name.lower()).name in _OBJECTS else (b"{", b"[")):
        raise IntegrityError("The JSON in the file is not an object")


def check_safetensors(path: Path) -> None:
    """Raises IntegrityError unless the header fits the length of the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        read_header_at(lambda count, at: os.pread(file.fileno(), count, at), size)


def check_zip(path: Path) -> None:
    """Raises IntegrityError unless the file is a zip archive with its directory at the end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(len(_ZIP))
        file.seek(max(0, size - _ZIP_TAIL))
        end = file.read(_ZIP_TAIL)
    if start not in (_ZIP, _ZIP_END):  # the latter: an empty archive
        raise IntegrityError("The file is not a zip archive")
    if not _has_end(end, size):
        raise IntegrityError("The file is a zip archive that was cut short")


def check_torch(path: Path, *, strict: bool = True) -> bool:
    """Whether the file is a zip, a pickle or a tar, as PyTorch saves them. Nothing is unpickled.

    Raises IntegrityError if a zip is cut short, and with `strict` if it is none of these.
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
    """Whether the archive's directory is where its end record says."""
    at = end.rfind(_ZIP_END)
    if at < 0 or len(end) - at < 22:
        return False
    length, offset = (int.from_bytes(end[at + i : at + i + 4], "little") for i in (12, 16))
    if offset == 0xFFFF_FFFF or length == 0xFFFF_FFFF:
        return True  # zip64 has it elsewhere
    return offset + length <= size - len(end) + at


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)
