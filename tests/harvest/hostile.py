"""A GPU worker of a test's own: each job's answer and each file can be whatever the test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.push.adapter import TARGETS, weights

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"

Handle = Callable[[BaseHTTPRequestHandler], None]


def adapter_files() -> dict[str, bytes]:
    """What a job that went well has made."""
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": list(TARGETS)}
    return {
        WEIGHTS: weights(),
        CONFIG: json.dumps(config).encode(),
        "tokenizer_config.json": b"{}",
    }


class HostileWorker(AbstractContextManager["HostileWorker"]):
    """Serves until the end of the block; what is not set is answered as a good worker does."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes | Handle]] = {}
        """Of each job, by the worker's id: name → bytes, or what answers."""
        self.statuses: dict[str, Any] = {}
        """Of each job: the body of its status, or what answers."""
        self.refusals = 0
        """How many questions are answered with 401 from now on; -1 is for ever."""
        self.asked: list[str] = []
        """Paths, in order."""
        worker = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                worker.asked.append(self.path)
                with suppress(ConnectionError):
                    worker.answer(self)

            def log_message(self, format: str, *arguments: object) -> None:
                del format, arguments

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        _, kind, job, *name = handler.path.split("/")
        if kind == "file":
            content = self.files_of(job).get(name[0])
            if callable(content):
                content(handler)
            elif content is None:
                send(handler, b"", status=404)
            else:
                send(handler, content)
            return
        if self.refusals:
            self.refusals -= 1
            send(handler, b"", status=401)
        elif kind != "status":
            send(handler, b"", status=404)
        elif callable(self.statuses.get(job)):
            self.statuses[job](handler)
        else:
            body = self.statuses.get(job, {"id": job, "status": "COMPLETED", **self.output(job)})
            send(handler, json.dumps(body).encode(), kind="application/json")

    def files_of(self, job: str) -> dict[str, bytes | Handle]:
        return self.files.setdefault(job, dict(adapter_files()))

    def output(self, job: str) -> dict[str, Any]:
        urls = {name: f"{self.url}/file/{job}/{name}" for name in self.files_of(job)}
        return {"output": {"model_files": urls}}


def send(
    handler: BaseHTTPRequestHandler, body: bytes, *, status: int = 200, kind: str = "", **more: str
) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in {"Content-Type": kind, **more}.items():
        if value:
            handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)
