"""A server that behaves like vLLM 0.32 with adapters, on loopback: start it, ask it, look inside.

What it copies, and what it does not, is in docs/contract.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lora_tui import clock
from lora_tui.sandbox.asgi_server import AsgiServer
from lora_tui.sandbox.control import control_routes
from lora_tui.sandbox.faults import Faults
from lora_tui.sandbox.middleware import CONTROL_PREFIX, Connections, FaultsMiddleware, RequestLog
from lora_tui.sandbox.vllm import adapter_routes, completion_routes
from lora_tui.sandbox.vllm.base_model import BaseModel, DataType, tiny_base
from lora_tui.sandbox.vllm.engine import Engine, EngineDeadError
from lora_tui.sandbox.vllm.language import LanguageModel, tokens_of
from lora_tui.sandbox.vllm.responses import RefusedError, bad_request, json_answer, read_fields
from lora_tui.sandbox.vllm.settings import HOSTILE, Behavior, ServerSettings

VERSION: Final = "0.32.0"
Endpoint = Callable[[Request], Awaitable[Response]]


class VllmStandIn:
    """A running stand-in, started by `VllmStandIn.start`; a context manager."""

    def __init__(self, engine: Engine, settings: ServerSettings, behavior: Behavior) -> None:
        self.engine = engine
        self.settings = settings
        self.behavior = behavior
        """Change its fields to make the server slow, hostile or wrong."""
        self._faults = Faults(seed=7)
        self._log = RequestLog()
        self._stopped = False
        self._server = AsgiServer(self._application)
        self.url = self._server.url
        """Without `/v1`."""

    @classmethod
    def start(
        cls,
        *,
        base: str | BaseModel = "tiny-random-llama",
        hidden_size: int = 64,
        layers: int = 2,
        key_value_size: int | None = None,
        dtype: DataType = "float32",
        max_lora_rank: int = 16,
        max_loras: int = 1,
        enable_lora: bool = True,
        runtime_updating: bool = True,
        key: str | None = None,
        chat_template: bool = True,
        mixes_batches: bool = True,
        behavior: Behavior | None = None,
    ) -> Self:
        """Start one, and return when it serves.

        `base`: the name of the base model, whose modules have the sizes that the next arguments
        give, or a whole BaseModel. `max_loras`: adapters whose weights the engine holds (max_loras
        and max_cpu_loras of vLLM in one). `key`: what every path below `/v1` needs as Bearer.
        `mixes_batches`: give the base the answers of an adapter that is asked at the same time, as
        vLLM does on the CPU.
        """
        if isinstance(base, str):
            base = tiny_base(base, hidden_size, layers, key_value_size, dtype)
        engine = Engine(
            base,
            max_lora_rank,
            max_loras,
            mixes_batches,
            LanguageModel(base.name.encode(), base.dtype),
        )
        settings = ServerSettings(enable_lora, runtime_updating, key, chat_template)
        return cls(engine, settings, behavior or Behavior())

    @property
    def base(self) -> str:
        """The name of the base model."""
        return self.engine.base.name

    @property
    def loaded(self) -> list[str]:
        """The names of the adapters that it serves, in the order of loading."""
        return list(self.engine.adapters)

    @property
    def alive(self) -> bool:
        """Whether it accepts connections."""
        return not self._stopped and self.engine.died is None

    @property
    def died(self) -> str | None:
        """Why the engine ended, or None."""
        return self.engine.died

    @property
    def most_at_once(self) -> int:
        """The largest number of completions that were answered at the same time."""
        return self.engine.most_at_once

    def requests(self) -> list[dict[str, Any]]:
        """The requests so far, in order: method, path, status and more, and JSON as `body`."""
        return self._log.entries()

    def forget_requests(self) -> None:
        """Clear the list of requests."""
        self._log.clear()

    def faults(self, **settings: Any) -> None:
        """Switch faults of sandbox/faults.py on. Raises ValueError for an unknown setting."""
        self._faults.merge(settings)

    def clear_faults(self) -> None:
        """Switch off all faults, and what `behavior` has."""
        self._faults.clear()
        self.behavior.__dict__.update(Behavior().__dict__)

    def forget_adapters(self) -> None:
        """Forget all adapters and caches, as after a restart."""
        self.engine.forget_all()

    def stop(self) -> None:
        """Stop serving. May be called again, and after the engine has ended."""
        self._stopped = True
        self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _application(self, connections: Connections) -> ASGIApp:
        async def refused(request: Request, error: Exception) -> Response:
            del request
            assert isinstance(error, RefusedError)
            return json_answer(error.body(self.behavior), error.status)

        async def dead(request: Request, error: Exception) -> Response:
            self._server.end_after_this_answer()
            return await refused(request, RefusedError(500, "InternalServerError", str(error)))

        async def unknown(request: Request, error: Exception) -> Response:
            del request, error
            return json_answer({"detail": "Not Found"}, 404)

        application = Starlette(
            routes=[*self._routes(), *control_routes(self._faults, self._log)],
            exception_handlers={RefusedError: refused, EngineDeadError: dead, 404: unknown},
        )
        return FaultsMiddleware(
            _Gate(application, self.settings, self.behavior),
            faults=self._faults,
            log=self._log,
            connections=connections,
            now=clock.now,
        )

    def _routes(self) -> Sequence[Route]:
        engine, behavior, settings = self.engine, self.behavior, self.settings

        async def health(request: Request) -> Response:
            del request
            return Response()

        async def version(request: Request) -> Response:
            del request
            return json_answer({"version": VERSION + (HOSTILE if behavior.hostile else "")})

        async def models(request: Request) -> Response:
            del request
            return adapter_routes.list_models(engine, behavior)

        async def load(request: Request) -> Response:
            return await adapter_routes.load_adapter(engine, settings, request)

        async def unload(request: Request) -> Response:
            return await adapter_routes.unload_adapter(engine, request)

        async def complete(request: Request) -> Response:
            return await completion_routes.complete(engine, behavior, request)

        async def chat(request: Request) -> Response:
            return await completion_routes.chat(
                engine, behavior, request, has_template=settings.chat_template
            )

        async def tokenize(request: Request) -> Response:
            prompt = (await read_fields(request)).get("prompt")
            if not isinstance(prompt, str):
                raise bad_request("Field required", "prompt")
            count = len(tokens_of(prompt))
            return json_answer(
                {
                    "count": count,
                    "max_model_len": engine.base.max_model_len,
                    "tokens": list(range(count)),
                    "token_strs": None,
                }
            )

        routes = [
            Route("/health", health),
            Route("/version", version),
            Route("/tokenize", tokenize, methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/completions", complete, methods=["POST"]),
            Route("/v1/chat/completions", chat, methods=["POST"]),
        ]
        if settings.runtime_updating:
            routes += [
                Route("/v1/load_lora_adapter", load, methods=["POST"]),
                Route("/v1/unload_lora_adapter", unload, methods=["POST"]),
            ]
        return routes


class _Gate:
    """Answers before any route does: the key, and the answers that a test switched on."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, behavior: Behavior) -> None:
        self._app = app
        self._settings = settings
        self._behavior = behavior

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http" and not scope["path"].startswith(CONTROL_PREFIX):
            app = self._answer(scope) or app
        await app(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        if self._behavior.redirect_to is not None:
            return RedirectResponse(self._behavior.redirect_to, 307)
        if self._behavior.wrong_json is not None:
            return Response(self._behavior.wrong_json, media_type="application/json")
        key = self._settings.key
        given = dict(scope["headers"]).get(b"authorization", b"")
        if key is None or not scope["path"].startswith("/v1") or given == f"Bearer {key}".encode():
            return None
        return json_answer({"error": "Unauthorized"}, 401)
