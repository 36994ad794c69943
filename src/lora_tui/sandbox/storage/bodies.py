"""The JSON bodies of Storage's requests, checked as its schemas check them: numbers may be text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lora_tui.sandbox.backend import Call
from lora_tui.sandbox.storage.errors import invalid_request


def object_body(call: Call) -> Mapping[str, Any]:
    """The body, which has to be a JSON object. Raises StorageError."""
    try:
        body = call.json()
    except ValueError:
        raise invalid_request(
            "Body is not valid JSON but content-type is set to 'application/json'"
        ) from None
    if not isinstance(body, Mapping):
        raise invalid_request("body must be object")
    return body


def required(body: Mapping[str, Any], name: str) -> Any:
    """A property that has to be there. Raises StorageError."""
    if name not in body:
        raise invalid_request(f"body must have required property '{name}'")
    return body[name]


def integer(value: object, name: str, *, least: int) -> int:
    """A whole number, as such or as text. Raises StorageError."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value):
        value = int(value)
    if value is None or isinstance(value, bool):
        value = int(value or 0)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int):
        raise invalid_request(f"body/{name} must be integer")
    if value < least:
        raise invalid_request(f"body/{name} must be >= {least}")
    return value
