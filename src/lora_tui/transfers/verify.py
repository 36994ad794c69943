"""Whether a file on this disk is what it claims to be."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from lora_tui.errors import IntegrityError
from lora_tui.json_check import check_document
from lora_tui.safetensors_header import PREFIX_BYTES, header_length, parse_header

_LARGEST_JSON: Final = 128 << 20


def sha256_of(path: Path) -> str:
    """The digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_structure(path: Path, name: str) -> None:
    """Look into what `name` says it is: safetensors or JSON; anything else passes.

    Raises IntegrityError with the reason.
    """
    if name.endswith(".safetensors"):
        check_safetensors(path)
    elif name.endswith(".json"):
        check_json(path)


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
