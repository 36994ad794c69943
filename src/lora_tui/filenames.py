"""Makes safe local file names from remote names: no separators, hidden or reserved names."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from lora_tui.text import terminal_safe

_MOST_BYTES: Final = 200
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul", "clock$", "conin$", "conout$"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
)
_IGNORED: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0]"
)
"""Invisible characters that some file systems ignore."""


def safe_file_name(name: str) -> str:
    """One path segment like `name` that every file system accepts.

    Only the last segment of a path counts. Never empty, `.`, `..`, hidden, reserved on Windows,
    or longer than 200 bytes. Idempotent.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    # normalised again: a character between a letter and its accent may have been removed
    shown = unicodedata.normalize("NFC", terminal_safe(last, limit=1_000))
    cleaned = re.sub(r'[<>:"|?*\x00-\x1f]', "_", shown)
    cleaned = cleaned.strip(". ")
    device = unicodedata.normalize("NFKC", cleaned.split(".")[0]).strip().lower()
    if device in _RESERVED:  # COM¹ is reserved too
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


def distinct_file_names(
    names: Iterable[str], *, taken: Iterable[str] = (), endings: Iterable[str] = ()
) -> dict[str, str]:
    """Map each remote name to a safe local one, no two of which are equal on any file system.

    They differ by more than letter case, normal form and invisible marks. None is in `taken`, and
    none ends with one of `endings`. The order of `names` does not matter.
    """
    used = {same_file_key(name) for name in taken}
    reserved = tuple(ending.lower() for ending in endings)
    wanted = {name: _without_ending(safe_file_name(name), reserved) for name in names}
    result: dict[str, str] = {}
    # unchanged names come before names that were changed into the same one
    for name in sorted(wanted, key=lambda name: (wanted[name] != name, name)):
        key = same_file_key(wanted[name])
        if key not in used:
            used.add(key)
            result[name] = wanted[name]
    for name in sorted(wanted.keys() - result.keys()):
        salt = 0
        while (key := same_file_key(found := _marked(wanted[name], name, salt))) in used:
            salt += 1
        used.add(key)
        result[name] = found
    return {name: result[name] for name in wanted}


def same_file_key(name: str) -> str:
    """A key that is equal for names that some file system treats as the same."""
    text = _IGNORED.sub("", unicodedata.normalize("NFKC", name))
    for _ in range(2):  # the upper case of a letter may be two letters, not composed
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", text.upper()).casefold())
    return text


def _without_ending(name: str, reserved: tuple[str, ...]) -> str:
    if reserved and same_file_key(name).endswith(reserved):
        return safe_file_name(f"{name}_")
    return name


def _marked(local: str, name: str, salt: int) -> str:
    """The local name with a hash of the remote name."""
    seed = name if not salt else f"{name}\0{salt}"
    mark = hashlib.sha256(seed.encode(errors="surrogatepass")).hexdigest()[:8]
    stem, dot, suffix = local.rpartition(".")
    if not dot:
        stem, suffix = local, ""
    return safe_file_name(f"{stem}-{mark}{dot}{suffix}")


def slug(text: str, *, limit: int = 48) -> str:
    """Lower-case words of letters and digits joined by hyphens, for a directory's name."""
    plain = unicodedata.normalize("NFKD", terminal_safe(text)).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    return words[:limit].strip("-") or "model"
