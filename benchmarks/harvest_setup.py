"""What the benchmarks of the harvest run: worker, project, harvest and pipes of `curl`.

Each is a process of its own. The worker's storage sends with the least effort, honours ranges, and
gives one strong ETag. The pipe is the peer: it sends a file in one request and checks nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.safetensors import one_tensor_header

MEGABYTE = 1 << 20
NAME = "adapter_model.safetensors"
CONFIGURATION = b'{"peft_type": "LORA", "r": 4}'
"""Without one a harvest publishes no weights."""
MOST_FILES = 99
LIMIT = 6 << 30
"""Bytes that the project takes in one request: the peers know no resumable upload."""


@dataclass(frozen=True)
class Outcome:
    """What one run of a program took."""

    seconds: float
    """Of a harvest: from the first event of a job to the last; of others: of the process."""
    process_seconds: float
    peak: int
    """Bytes of memory of the largest process."""


def harvest(
    settings: dict[str, str], home: Path, *, jobs: int = 1, python: str = sys.executable
) -> Outcome:
    """Harvest so many jobs by the program of that interpreter; ends this one where it fails."""
    environment = os.environ | settings | {"LORA_TUI_HOME": str(home)}
    start = time.perf_counter()
    process = subprocess.Popen(
        [python, "-m", "lora_tui", "--harvest", "--once", "--limit", str(jobs), "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    events = [json.loads(line) for line in process.stdout]
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    whole = time.perf_counter() - start
    began, ended = (
        [datetime.fromisoformat(entry["at"]) for entry in events if entry.get("event") == name]
        for name in ("job_started", "job_harvested")
    )
    if status != 0 or len(ended) != jobs:
        sys.exit(f"the harvest failed: {[e for e in events if e.get('event') != 'file_stored']}")
    return Outcome((max(ended) - min(began)).total_seconds(), whole, usage.ru_maxrss * 1024)


def into_bucket(url: str, settings: dict[str, str], name: str, files: int, middle: str = "") -> str:
    """The pipe that sends a file in one request, for one file after another, as a shell's text."""
    target = f"{settings['SUPABASE_URL']}/storage/v1/object/lora-models/bench/{name}-$n.bin"
    key = settings["SUPABASE_SERVICE_ROLE_KEY"]
    return (
        f"for n in {{1..{files}}}; do"
        f" curl -sf --noproxy '*' '{url}/file' {middle} | curl -sf --noproxy '*' -X POST -T -"
        f" -H 'apikey: {key}' -H 'x-upsert: true' -H 'Expect:'"
        f" -H 'Content-Type: application/octet-stream' \"{target}\" || exit 1; done"
    )


def piped(command: str) -> Outcome:
    """Run a shell's pipe; any of its programs may fail it."""
    return timed(["bash", "-o", "pipefail", "-c", command])


def timed(command: list[str]) -> Outcome:
    """Run a command; ends this program where it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} failed ({process.returncode})")
    seconds = time.perf_counter() - start
    return Outcome(seconds, seconds, usage.ru_maxrss * 1024)


@contextmanager
def project(home: Path, *, waiting_jobs: int) -> Iterator[dict[str, str]]:
    """The settings of a sandbox with so many waiting jobs, its S3 keys included."""
    with _process(_serve_project, str(home), waiting_jobs) as settings:
        yield settings


@contextmanager
def source(size: int, files: int) -> Iterator[str]:
    """The address of a worker whose jobs made so many sparse files."""
    with _process(_serve_source, size, files) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _process(target: Any, *arguments: Any) -> Iterator[Any]:
    """What a server in a process of its own sends first; the process ends with the block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(*arguments, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve_project(home: str, waiting_jobs: int, pipe: Connection) -> None:
    from lora_tui.sandbox.server import Sandbox

    with Sandbox.start(Path(home), models=1, waiting_jobs=waiting_jobs) as sandbox:
        sandbox.faults(standard_upload_limit=LIMIT)
        pipe.send(sandbox.environment() | sandbox.s3_environment())
        with suppress(EOFError):
            pipe.recv()


def _serve_source(size: int, files: int, pipe: Connection) -> None:
    """Answer the questions of a harvest, and send the file with the least effort."""
    with tempfile.TemporaryFile() as file:
        file.write(one_tensor_header(size))
        file.truncate(size)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet: two would cost 40 ms of Nagle's delay

            def handle(self) -> None:
                with suppress(ConnectionError):  # who has enough closes the connection
                    super().handle()

            def do_GET(self) -> None:
                if self.path == "/file":
                    self._file()
                elif self.path == "/configuration":
                    self._head(200, len(CONFIGURATION))
                    self.wfile.write(CONFIGURATION)
                elif self.path.startswith("/status/"):
                    names = [NAME] if files == 1 else [f"{n}-{NAME}" for n in range(files)]
                    host = f"http://{self.headers['Host']}"
                    urls = dict.fromkeys(names, f"{host}/file")
                    urls["adapter_config.json"] = f"{host}/configuration"
                    answer: dict[str, Any] = {
                        "status": "COMPLETED",
                        "output": {"model_files": urls},
                    }
                    body = json.dumps(answer).encode()
                    self._head(200, len(body))
                    self.wfile.write(body)
                else:
                    self._head(404, 0)

            def _file(self) -> None:
                span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
                at, end = 0, size
                if span is None:
                    self._head(200, size)
                else:
                    at, end = int(span[1]), min(size, int(span[2] or size) + 1)
                    self._head(206, end - at, f"bytes {at}-{end - 1}/{size}")
                self.wfile.flush()
                while at < end:
                    at += os.sendfile(self.connection.fileno(), file.fileno(), at, end - at)

            def _head(self, status: int, length: int, span: str = "") -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.send_header("ETag", '"the-only-version"')
                self.send_header("Accept-Ranges", "bytes")
                if span:
                    self.send_header("Content-Range", span)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                del format, arguments

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        pipe.send(server.server_port)
        server.serve_forever()
