"""`/_control/`: where tests and demos switch faults on and read what was asked of the sandbox."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from lora_tui.sandbox.backend import Backend, json_response
from lora_tui.sandbox.faults import UnknownSettingError
from lora_tui.sandbox.middleware import RequestLog


async def faults(backend: Backend, request: Request) -> Response:
    """`GET /_control/faults` shows the rules, `POST` merges settings (see faults.py)."""
    if request.method == "POST":
        try:
            settings = await request.json()
            if not isinstance(settings, Mapping):
                raise ValueError("the settings are a JSON object")
            backend.faults.merge(settings)
        except (UnknownSettingError, ValueError) as error:
            return json_response({"error": str(error)}, 400)
    return json_response(backend.faults.rules())


async def clear(backend: Backend, request: Request) -> Response:
    """`POST /_control/clear`: every fault off."""
    del request
    backend.faults.clear()
    return json_response([])


async def requests(log: RequestLog, request: Request) -> Response:
    """`GET /_control/requests` lists what was asked, `DELETE` forgets it."""
    if request.method == "DELETE":
        log.clear()
    return json_response(log.entries())
