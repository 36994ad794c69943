"""The border for remote names that become local paths: no separator, trick or reserved name."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from lora_tui.text import terminal_safe

_MOST_BYTES: Final = 200
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
)


def safe_file_name(name: str) -> str:
    """One path segment that says what `name` says and can lie in any directory of any system.

    Only the last segment of a path counts. Never empty, `.`, `..`, hidden, reserved on Windows,
    or longer than 200 bytes. Idempotent.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    # composed once more: what stood between a letter and its accent may be gone
    shown = unicodedata.normalize("NFC", terminal_safe(last, limit=1_000))
    cleaned = re.sub(r'[<>:"|?*\x00-\x1f]', "_", shown)
    cleaned = cleaned.strip(". ")
    if cleaned.split(".")[0].strip().lower() in _RESERVED:
        cleaned = f"_{cleaned}"
    if not cleaned:
        cleaned = "unnamed"
    if len(cleaned.encode()) > _MOST_BYTES:
        digest = hashlib.sha256(cleaned.encode()).hexdigest()[:8]
        stem, dot, suffix = cleaned.rpartition(".")
        if not dot or len(suffix.encode()) > 20:
            stem, dot, suffix = cleaned, "", ""
        room = _MOST_BYTES - len(f"-{digest}{dot}{suffix}".encode())
        cleaned = (
            f"{stem.encode()[:room].decode(errors='ignore').rstrip('. ')}-{digest}{dot}{suffix}"
        )
    return cleaned


def distinct_file_names(names: Iterable[str], *, taken: Iterable[str] = ()) -> dict[str, str]:
    """Map each remote name to a safe local one; no two collide, not even by letter case.

    None of them is in `taken` either.
    """
    result: dict[str, str] = {}
    used = {name.casefold() for name in taken}
    for name in names:
        candidate = safe_file_name(name)
        if candidate.casefold() in used:
            stem, dot, suffix = candidate.rpartition(".")
            if not dot:
                stem, suffix = candidate, ""
            digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
            candidate = safe_file_name(f"{stem}-{digest}{dot}{suffix}")
        used.add(candidate.casefold())
        result[name] = candidate
    return result


def slug(text: str, *, limit: int = 48) -> str:
    """Lower-case words of letters and digits joined by hyphens, for a directory's name."""
    plain = unicodedata.normalize("NFKD", terminal_safe(text)).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    return words[:limit].strip("-") or "model"
