"""The addresses under `/_control/`: faults on and off, and the list of requests."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lora_tui.sandbox.backend import json_response
from lora_tui.sandbox.faults import Faults, UnknownSettingError
from lora_tui.sandbox.middleware import CONTROL_PREFIX, RequestLog


def control_routes(faults: Faults, log: RequestLog) -> list[Route]:
    """The routes of an application whose middleware has these."""

    async def settings(request: Request) -> Response:
        """`GET /_control/faults` shows the rules, `POST` merges settings (see faults.py)."""
        if request.method == "POST":
            try:
                given = await request.json()
                if not isinstance(given, Mapping):
                    raise ValueError("the settings are a JSON object")
                faults.merge(given)
            except (UnknownSettingError, ValueError) as error:
                return json_response({"error": str(error)}, 400)
        return json_response(faults.rules())

    async def clear(request: Request) -> Response:
        """`POST /_control/clear` switches every fault off."""
        del request
        faults.clear()
        return json_response([])

    async def requests(request: Request) -> Response:
        """`GET /_control/requests` lists the logged requests, `DELETE` clears the log."""
        if request.method == "DELETE":
            log.clear()
        return json_response(log.entries())

    return [
        Route(f"{CONTROL_PREFIX}faults", settings, methods=["GET", "POST"]),
        Route(f"{CONTROL_PREFIX}clear", clear, methods=["POST"]),
        Route(f"{CONTROL_PREFIX}requests", requests, methods=["GET", "DELETE"]),
    ]
