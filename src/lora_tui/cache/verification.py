"""How a downloaded file was verified, and the words for it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

_MD5: Final = re.compile(r'"?([0-9a-f]{32})"?', re.IGNORECASE)


class Checked(StrEnum):
    """The strongest check that a file has passed. Each includes its length."""

    SHA256 = "sha256"
    """With the manifest's checksum."""
    ETAG = "etag-md5"
    """With the storage's ETag, which is the MD5 of the bytes."""
    STRUCTURE = "structure"
    """There was no checksum; what is inside (safetensors, JSON, zip) makes sense."""
    LENGTH = "length"
    """There was no checksum, and nothing inside that could be looked at."""

    @property
    def proven(self) -> bool:
        """Whether every byte was compared with what was stored."""
        return self in (Checked.SHA256, Checked.ETAG)

    @property
    def sentence(self) -> str:
        """For a line about one file."""
        return _SENTENCES[self]

    @property
    def word(self) -> str:
        """For a narrow column."""
        return "verified" if self.proven else self.value


_SENTENCES: Final = {
    Checked.SHA256: "verified by its sha256",
    Checked.ETAG: "verified by the MD5 in its ETag",
    Checked.STRUCTURE: "structure checked; there is no checksum to compare",
    Checked.LENGTH: "only its length was checked; there is no checksum to compare",
}


def checked_of(value: object) -> Checked | None:
    """From the text of a record or of the cache; None for an unknown text or none."""
    return Checked(value) if isinstance(value, str) and value in list(Checked) else None


def md5_of_etag(etag: str | None) -> str | None:
    """The MD5 in an ETag, in lower case; None for any other, as `md5-N` of an upload in parts."""
    found = _MD5.fullmatch(etag or "")
    return found[1].lower() if found else None
