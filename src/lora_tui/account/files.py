"""The files of an account: their names, and a stored session read without believing it.

The names are digests, so that no address and no id stands in a path. What a session file holds may
be anything by now, and the file itself a pipe or a directory; both readers of it (account.py, and
the quick `list`, for which this imports little) judge it here.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:  # as the standard library's `random` has it: hashlib loads OpenSSL, a tenth of `list`'s time
    from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found,no-redef,unused-ignore]
    except ImportError:
        from hashlib import sha256


def project_key(profile: str, project: str) -> str:
    """What the files of a profile and a project are named by; `project` is mostly its URL."""
    return f"{profile}-{digest(project)[:8]}"


def cache_name(key: str, user_id: str) -> str:
    """The file name of a user's cache; `key` is the `project_key`."""
    return f"{key}-{digest(user_id)[:12]}.sqlite3"


def digest(text: str) -> str:
    """The SHA-256 of a text, in hexadecimal."""
    return str(sha256(text.encode()).hexdigest())


def session_name(key: str) -> str:
    """Where the session is, below the directory of what must outlive a cleared cache."""
    return f"sessions/{key}.json"


def read_session_file(path: str) -> dict[str, Any]:
    """What it holds; nothing where it is no file of a session's size, or no JSON object.

    Raises OSError where the disk does not give it.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - pathlib loads slowly
            return {}
        # in between, a pipe may have taken the name: one that nobody writes to would block
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return {}
        raise
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return {}
        return read_object(file.read(_MOST_BYTES + 1))


def read_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object; an empty one for everything else, however long or deep."""
    from lora_tui.json_values import parse_json

    try:
        data = parse_json(text) if len(text) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def claims_of(token: str) -> dict[str, Any]:
    """What an access token says of itself; nothing where it is none."""
    from binascii import a2b_base64

    try:
        payload = token.split(".")[1].replace("-", "+").replace("_", "/")
        return read_object(a2b_base64(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):  # binascii.Error is a ValueError
        return {}


def fits_header(text: str) -> bool:
    """Whether a key or token can be sent in a header: one line of ASCII, and not empty."""
    return bool(text) and text.isascii() and text.isprintable()


def is_user_id(value: object) -> bool:
    """Whether it can be one: it stands in requests and names the cache."""
    return isinstance(value, str) and len(value) <= _LONGEST_ID and fits_header(value)


def is_session_of(user_id: object, access_token: object, refresh_token: object) -> bool:
    """Whether these belong together and can be sent. The refresh token may be empty."""
    return (
        is_user_id(user_id)
        and isinstance(access_token, str)
        and len(access_token) <= _LONGEST_TOKEN
        and fits_header(access_token)
        and not access_token.startswith("sb_")  # a key of the project
        and isinstance(refresh_token, str)
        and len(refresh_token) <= _LONGEST_TOKEN
        and (not refresh_token or fits_header(refresh_token))
        and claims_of(access_token).get("sub", user_id) == user_id
    )


_MOST_BYTES = 256 << 10
_LONGEST_TOKEN = 64 << 10
"""Servers take headers of 8 to 64 KiB."""
_LONGEST_ID = 200
