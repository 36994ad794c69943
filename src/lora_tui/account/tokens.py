"""What access tokens and session files say, checked before anything uses it.

A session file may hold anything, and may itself be a pipe or a directory.
"""

from __future__ import annotations

import errno
import os
import stat
from binascii import a2b_base64
from pathlib import Path
from typing import Any, Final

from lora_tui.config.kinds import fits_header
from lora_tui.json_values import parse_json

_MOST_BYTES: Final = 256 << 10
_LONGEST_TOKEN: Final = 64 << 10
"""Servers take headers of 8 to 64 KiB."""
_LONGEST_ID: Final = 200


def claims_of(token: str) -> dict[str, Any]:
    """The claims of an access token; empty where it is none."""
    try:
        payload = token.split(".")[1].replace("-", "+").replace("_", "/")
        return parse_object(a2b_base64(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):  # binascii.Error is a ValueError
        return {}


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


def is_user_id(value: object) -> bool:
    """Whether this can be a user's id: it is sent in requests and names the cache."""
    return isinstance(value, str) and len(value) <= _LONGEST_ID and fits_header(value)


def read_session_file(path: Path) -> dict[str, Any]:
    """The object in a session file; empty where there is no regular file or no JSON object.

    Raises OSError where the disk can't be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return {}
        # O_NONBLOCK: a pipe may have taken the name since, and would block
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
        return parse_object(file.read(_MOST_BYTES + 1))


def parse_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object; empty for anything else, however long or deep."""
    try:
        data = parse_json(text) if len(text) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
