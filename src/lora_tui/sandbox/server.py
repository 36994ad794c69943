"""Starts and stops the sandbox.

The ASGI application that it serves is here too: routes, and which function answers each of them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from lora_tui.sandbox import auth, worker
from lora_tui.sandbox.asgi_server import AsgiServer
from lora_tui.sandbox.backend import (
    ANON_KEY,
    GPU_ENDPOINT,
    GPU_KEY,
    SERVICE_KEY,
    Backend,
    Call,
    StorageKind,
    read_call,
)
from lora_tui.sandbox.control import control_routes
from lora_tui.sandbox.database import Database, has_other_layout
from lora_tui.sandbox.faults import Faults
from lora_tui.sandbox.middleware import Connections, FaultsMiddleware, RequestLog
from lora_tui.sandbox.objects import Objects
from lora_tui.sandbox.postgrest import rest
from lora_tui.sandbox.seed.fill import seed_backend
from lora_tui.sandbox.seed.seeding import DEMO, OTHER, SeedSettings
from lora_tui.sandbox.storage import browsing, downloads, resumable, s3, uploads
from lora_tui.sandbox.storage.s3_signature import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from lora_tui.sandbox.training.trainer import Trainer
from lora_tui.sandbox.vllm import LLAMA_8B, Behavior, VllmStandIn

Handler = Callable[[Backend, Call], Response]
Streamer = Callable[[Backend, Request], Awaitable[Response]]


class Sandbox:
    """A running sandbox, started by `Sandbox.start`; a context manager."""

    anon_key = ANON_KEY
    service_key = SERVICE_KEY
    gpu_key = GPU_KEY
    email, password, user_id = DEMO.email, DEMO.password, DEMO.id
    other_email, other_password, other_user_id = OTHER.email, OTHER.password, OTHER.id

    def __init__(
        self,
        server: AsgiServer,
        backend: Backend,
        *,
        temporary: bool,
        model_server: VllmStandIn | None,
    ) -> None:
        self._server = server
        self._backend = backend
        self._temporary = temporary
        self._trainer = Trainer(backend)
        self.model_server = model_server
        """The stand-in for vLLM, where it was started with one."""
        self.directory = backend.directory
        self.url = server.url
        self.gpu_url = f"{server.url}{GPU_ENDPOINT}"

    @classmethod
    def start(
        cls,
        directory: Path | None = None,
        *,
        seed: int = 7,
        models: int = 36,
        waiting_jobs: int = 4,
        hostile: bool = False,
        migrated: bool = True,
        storage: StorageKind = "s3",
        reset: bool = False,
        training: bool = False,
        serving: bool = False,
        now: datetime | None = None,
    ) -> Self:
        """Start one, and return when it serves.

        `directory` keeps the state between starts. It is seeded once, and again after `reset` or
        if another version of the program made it. Without a directory the state is temporary.
        `models`: the number of models of the demo account (a deleted one may be added).
        `waiting_jobs`: the number of completed jobs that are not harvested yet. `hostile`: give
        some models, from the 20th on, names, paths and JSON that break a careless program.
        `migrated`: whether our additive migration has been applied. `storage`: where Storage keeps
        its bytes, which changes its answers: s3 as on the hosted service, or file. `training`:
        whether running and queued jobs are trained while it serves; else no row changes by itself.
        `serving`: start a stand-in for vLLM too, whose base most of the adapters fit.
        `now`: the time of the newest seeded rows, by default the current minute.
        """
        temporary = directory is None
        place = (
            Path(tempfile.mkdtemp(prefix="lora-tui-sandbox-")) if directory is None else directory
        )
        file = place / "sandbox.sqlite3"
        if place.exists() and (reset or has_other_layout(file)):
            shutil.rmtree(place)
        (place / "uploads").mkdir(parents=True, exist_ok=True)
        database = Database(file)
        objects = Objects(database, place / "objects")
        backend = Backend(place, database, objects, Faults(seed), migrated, storage)
        try:
            seed_backend(backend, seed, SeedSettings(models, waiting_jobs, hostile), now)
            server = AsgiServer(partial(build_application, backend))
            model_server = _start_model_server(hostile=hostile) if serving else None
            sandbox = cls(server, backend, temporary=temporary, model_server=model_server)
        except BaseException:
            database.close()
            if temporary:
                shutil.rmtree(place, ignore_errors=True)
            raise
        if training:
            sandbox._trainer.start()
        return sandbox

    def train(self, seconds: int) -> None:
        """What the training does in so many seconds, at once; for tests, without `training`."""
        self._trainer.train(seconds)

    def stop(self) -> None:
        """Stop serving and remove a temporary state. May be called again."""
        self._trainer.stop()
        if self.model_server is not None:
            self.model_server.stop()
        self._server.stop()
        self._backend.database.close()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def faults(self, **settings: Any) -> None:
        """Switch faults on: `POST /_control/faults`. Raises ValueError for an unknown setting."""
        answer = self._control("POST", "faults", json=settings)
        if answer.status_code != 200:
            raise ValueError(answer.json()["error"])

    def environment(self) -> dict[str, str]:
        """The environment variables with which lora-tui works on it as the demo account."""
        model_server = self.model_server
        return {
            **({} if model_server is None else {"LORA_TUI_DEMO_SERVER": model_server.url}),
            "SUPABASE_URL": self.url,
            "SUPABASE_ANON_KEY": self.anon_key,
            "SUPABASE_SERVICE_ROLE_KEY": self.service_key,
            "GPU_CLUSTER_API_URL": self.gpu_url,
            "GPU_CLUSTER_API_KEY": self.gpu_key,
            "LORA_TUI_EMAIL": self.email,
            "LORA_TUI_PASSWORD": self.password,
            "LORA_TUI_ALLOW_PRIVATE_URLS": "1",
        }

    def s3_environment(self) -> dict[str, str]:
        """The variables that add the keys of its S3 protocol to `environment`."""
        return {
            "LORA_TUI_S3_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "LORA_TUI_S3_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        }

    def clear_faults(self) -> None:
        """Switch every fault off."""
        self._control("POST", "clear")

    def requests(self) -> list[dict[str, Any]]:
        """The requests so far, in order: method, path, query, status and more (middleware.py)."""
        entries: list[dict[str, Any]] = self._control("GET", "requests").json()
        return entries

    def forget_requests(self) -> None:
        """Clear the list of requests."""
        self._control("DELETE", "requests")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _control(self, method: str, name: str, **options: Any) -> httpx.Response:
        # plain http: loading the certificate authorities would take most of the time
        with httpx.Client(trust_env=False, timeout=30, verify=False) as client:  # noqa: S501 - no TLS
            return client.request(method, f"{self.url}/_control/{name}", **options)


def _start_model_server(*, hostile: bool) -> VllmStandIn:
    """One at the pace of a busy GPU, so that an answer is seen as it comes."""
    return VllmStandIn.start(
        base=LLAMA_8B,
        max_lora_rank=64,
        max_loras=8,
        mixes_batches=False,  # as on a GPU
        behavior=Behavior(first_token_seconds=0.2, token_seconds=1 / 60, hostile=hostile),
    )


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
        small(f"{stored}/sign/{{bucket}}", downloads.sign_many, ["POST"]),
        small(f"{stored}/sign/{named}", downloads.sign, ["POST"]),
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
        streamed(f"{s3.PATH}/{{bucket}}", s3.bucket, ["HEAD", "GET"]),
        streamed(f"{s3.PATH}/{{bucket}}/", s3.bucket, ["HEAD", "GET"]),
        streamed(f"{s3.PATH}/{named}", s3.key, ["HEAD", "GET", "POST", "PUT", "DELETE"]),
        small(f"{GPU_ENDPOINT}/training/artifacts/{{job}}", worker.artifacts),
        small(f"{GPU_ENDPOINT}/status/{{job}}", worker.status),
        small(f"{GPU_ENDPOINT}/cancel/{{job}}", worker.cancel, ["POST"]),
        streamed(f"{worker.FILES_PATH}/{{job}}/{{file}}", worker.file),
        *control_routes(backend.faults, log),
    ]
    return FaultsMiddleware(
        Starlette(routes=routes),
        faults=backend.faults,
        log=log,
        connections=connections,
        now=backend.now,
    )
