"""The names of an account's files: digests, so that no address and no id stands in a path."""

from __future__ import annotations

try:  # as the standard library's `random` has it: hashlib loads OpenSSL, a tenth of `list`'s time
    from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found,no-redef,unused-ignore]
    except ImportError:
        from hashlib import sha256


def project_key(profile: str, project: str) -> str:
    """What the files of a profile and a project are named by; `project` is mostly its URL."""
    return f"{profile}-{sha256(project.encode()).hexdigest()[:8]}"


def cache_name(key: str, user_id: str) -> str:
    """The file name of a user's cache; `key` is the `project_key`."""
    return f"{key}-{sha256(user_id.encode()).hexdigest()[:12]}.sqlite3"


def session_name(key: str) -> str:
    """Where the session is, below the directory of what must outlive a cleared cache."""
    return f"sessions/{key}.json"
