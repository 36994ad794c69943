"""The ASGI application: routes, and which function answers each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from lora_tui.sandbox import auth, worker
from lora_tui.sandbox.backend import GPU_ENDPOINT, Backend, Call, json_response, read_call
from lora_tui.sandbox.faults import UnknownSettingError
from lora_tui.sandbox.middleware import CONTROL_PREFIX, Connections, FaultsMiddleware, RequestLog
from lora_tui.sandbox.postgrest import rest
from lora_tui.sandbox.storage import browsing, downloads, resumable, signing, uploads

Handler = Callable[[Backend, Call], Response]
Streamer = Callable[[Backend, Request], Awaitable[Response]]


class _KeyConvertor(PathConvertor):
    """The name of an object: the rest of the path, which may contain line breaks."""

    regex = "(?s:.*)"


register_url_convertor("key", _KeyConvertor())


def build_application(backend: Backend, connections: Connections) -> ASGIApp:
    """The whole application on one port. `connections` maps client addresses to transports."""
    log = RequestLog()

    def small(path: str, handler: Handler, methods: Sequence[str] = ("GET",)) -> Route:
        async def endpoint(request: Request) -> Response:
            call = await read_call(request)
            return await run_in_threadpool(handler, backend, call)

        return Route(path, endpoint, methods=list(methods))

    def versioned(handler: Handler) -> Handler:
        return lambda backend, call: auth.answer_in_version(call, handler(backend, call))

    def streamed(path: str, handler: Streamer, methods: Sequence[str] = ("GET",)) -> Route:
        async def endpoint(request: Request) -> Response:
            return await handler(backend, request)

        return Route(path, endpoint, methods=list(methods))

    async def requests(request: Request) -> Response:
        return await _requests(log, request)

    stored = "/storage/v1/object"
    named = "{bucket}/{name:key}"
    routes: list[Any] = [
        small("/auth/v1/token", versioned(auth.token), ["POST"]),
        small("/auth/v1/user", versioned(auth.user)),
        small("/auth/v1/logout", versioned(auth.logout), ["POST"]),
        small("/auth/v1/health", auth.health),
        small("/rest/v1/", rest.description),
        small("/rest/v1/rpc/{name}", rest.function, ["GET", "HEAD", "POST"]),
        small("/rest/v1/{table}", rest.table, ["GET", "HEAD", "POST", "PATCH", "DELETE"]),
        small(f"{stored}/sign/{{bucket}}", signing.sign_many, ["POST"]),
        small(f"{stored}/sign/{named}", signing.sign, ["POST"]),
        streamed(f"{stored}/sign/{named}", downloads.download_signed),
        small(f"{stored}/info/authenticated/{named}", browsing.info),
        small(f"{stored}/info/{named}", browsing.info),
        small(f"{stored}/list/{{bucket}}", browsing.list_objects, ["POST"]),
        streamed(f"{stored}/authenticated/{named}", downloads.download),
        streamed(f"{stored}/{named}", downloads.download),
        streamed(f"{stored}/{named}", uploads.upload, ["POST", "PUT"]),
        small(f"{stored}/{named}", browsing.delete_one, ["DELETE"]),
        small(f"{stored}/{{bucket}}", browsing.delete_many, ["DELETE"]),
        small("/storage/v1/bucket", browsing.buckets),
        small("/storage/v1/bucket/{bucket}", browsing.buckets),
        streamed(resumable.PATH, resumable.uploads, ["POST", "OPTIONS"]),
        streamed(
            f"{resumable.PATH}/{{upload}}", resumable.upload, ["HEAD", "PATCH", "DELETE", "OPTIONS"]
        ),
        small(f"{GPU_ENDPOINT}/training/artifacts/{{job}}", worker.artifacts),
        small(f"{GPU_ENDPOINT}/status/{{job}}", worker.status),
        streamed(f"{worker.FILES_PATH}/{{job}}/{{file}}", worker.file),
        streamed(f"{CONTROL_PREFIX}faults", _faults, ["GET", "POST"]),
        streamed(f"{CONTROL_PREFIX}clear", _clear, ["POST"]),
        Route(f"{CONTROL_PREFIX}requests", requests, methods=["GET", "DELETE"]),
    ]
    return FaultsMiddleware(
        Starlette(routes=routes),
        faults=backend.faults,
        log=log,
        connections=connections,
        now=backend.now,
    )


async def _faults(backend: Backend, request: Request) -> Response:
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


async def _clear(backend: Backend, request: Request) -> Response:
    """`POST /_control/clear` switches every fault off."""
    del request
    backend.faults.clear()
    return json_response([])


async def _requests(log: RequestLog, request: Request) -> Response:
    """`GET /_control/requests` lists the logged requests, `DELETE` clears the log."""
    if request.method == "DELETE":
        log.clear()
    return json_response(log.entries())
