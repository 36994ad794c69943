"""Answers in the shapes of vLLM: errors, plain text, and the checks that all requests pass."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from lora_tui.sandbox.middleware import LOG_ENTRY
from lora_tui.sandbox.vllm.settings import HOSTILE, HUGE_BYTES, Behavior

_PATH: Final = re.compile(r"/(?:home|usr|opt|var|tmp|root|lib|mnt|srv)(?:/[\w.\-]+)+")
"""Paths of the server's disk, which vLLM takes out of its messages."""


class RefusedError(Exception):
    """Ends a handler with an error in vLLM's shape."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param

    def body(self, behavior: Behavior) -> dict[str, Any]:
        """The JSON of the answer, with dangerous or much text where that is switched on."""
        message = _PATH.sub("<path>", str(self))
        if behavior.hostile:
            message += HOSTILE
        if behavior.huge:
            message += "x" * HUGE_BYTES
        return {
            "error": {
                "message": message,
                "type": self.kind,
                "param": self.param,
                "code": self.status,
            }
        }


def bad_request(message: str, param: str | None = None) -> RefusedError:
    """400 for a request that is understood and not possible."""
    return RefusedError(400, "BadRequestError", message, param)


def json_answer(content: object, status: int = 200) -> Response:
    """JSON as Starlette writes it for vLLM. Raises ValueError for NaN."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(
        text.encode("utf-8", "replace"), status, headers={"content-type": "application/json"}
    )


def plain_answer(text: str) -> Response:
    """200 with text and without Content-Type, as loading and unloading answer."""
    return Response(text.encode())


async def read_fields(request: Request, *required: str) -> Mapping[str, Any]:
    """The JSON object of a request. Raises RefusedError where it is none or lacks a field."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise _invalid("Unsupported Media Type: Only 'application/json' is allowed")
    try:
        fields = json.loads(await request.body())
    except ValueError as error:
        raise _invalid(
            "1 validation error:\n  {'type': 'json_invalid', 'loc': 'body.0', 'msg': 'JSON decode"
            " error', 'input': '<dict of 0 items>', 'ctx': {'error': 'Expecting value'}}",
            "body.0",
        ) from error
    request.scope[LOG_ENTRY]["body"] = fields
    if not isinstance(fields, dict):
        raise _invalid("Input should be a valid dictionary")
    for name in required:
        if name not in fields:
            raise _invalid(
                f"1 validation error:\n  {{'type': 'missing', 'loc': 'body.{name}',"
                " 'msg': 'Field required'}"
            )
        if not isinstance(fields[name], str):
            raise _invalid(
                f"1 validation error:\n  {{'type': 'string_type', 'loc': 'body.{name}',"
                " 'msg': 'Input should be a valid string'}"
            )
    return fields


def _invalid(message: str, param: str | None = None) -> RefusedError:
    return RefusedError(400, "Bad Request", message, param)
