"""From the worker's storage into the bucket: the harvest against `curl` piped into `curl`.

One large file (or several: `--files`), served by a process of its own, goes into the sandbox's
bucket, which is another process. The peers send it in one request and check nothing; with
`sha256sum` in the pipe they know at least what they sent. The harvest sends it in resumable
pieces, computes its checksum, compares what is stored, and writes artifact, notification and link.
Its time is that from the first event of the job to the last; "whole process" adds the start of
Python. (Target: at least 0.9 times the rate of `curl | curl`, and at most 150 MB of memory.)

rclone, where it is installed, knows no bucket of this kind. It copies the URL into a WebDAV server
of its own, and `curl | curl` sends the file there too: its ratio to that pipe, beside the
harvest's ratio to the pipe into the bucket, says what each adds to the same work.

Where the time goes, in processor time for 512 MiB on two cores: the sandbox 1.35 s, half of it for
the checksum that it computes of a stored object; the two curls 0.7 s; the harvest 1.0 s, of which
0.3 s are SHA-256, 0.3 s receiving and spooling, and 0.3 s sending. So on a busy machine the ratio
is that of the work. Waiting between two pieces costs next to nothing: 0.04 s of 1.3 s.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx

from figures import figure, report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.safetensors import one_tensor_header

MEGABYTE = 1 << 20
NAME = "adapter_model.safetensors"
CONFIGURATION = b'{"peft_type": "LORA", "r": 4}'
"""Without one a harvest publishes no weights."""
PEER = "curl | curl"
CHECKED = "curl | sha256sum | curl"
PEER_DAV = "curl | curl, to WebDAV"
RCLONE = "rclone copyurl, to WebDAV"
HARVEST = "harvest"
WHOLE = "harvest, whole process"
MOST_FILES = 99
MOST_ROUNDS = 4  # as many jobs wait in a fresh sandbox


def main() -> None:
    arguments = parse()
    if shutil.which("curl") is None:
        sys.exit("bench_harvest needs curl; on Debian: apt-get install curl")
    rates: dict[str, list[float]] = {}
    memory: dict[str, list[float]] = {}
    size = arguments.megabytes * MEGABYTE
    files = min(arguments.files, MOST_FILES)

    def note(name: str, seconds: float, peak: int) -> None:
        rates.setdefault(name, []).append(files * arguments.megabytes / seconds)
        memory.setdefault(name, []).append(peak / MEGABYTE)

    with (
        tempfile.TemporaryDirectory(prefix="lora-tui-bench-", dir=arguments.dir) as home,
        source(size, files) as url,
        sandbox(Path(home) / "sandbox") as settings,
        webdav(Path(home) / "webdav") as dav,
    ):
        for number in range(min(arguments.rounds, MOST_ROUNDS)):
            if not arguments.ours_alone:
                for name, middle in ((PEER, ""), (CHECKED, "| tee >(sha256sum >&2)")):
                    target = f"{number}-{len(middle)}"
                    note(name, *timed(into_bucket(url, settings, target, middle, files)))
                if dav and files == 1:
                    note(PEER_DAV, *timed(into_webdav(url, dav)))
                    note(RCLONE, *timed(by_rclone(url, dav)))
            inside, whole, peak = harvest(url, settings, Path(home))
            note(HARVEST, inside, peak)
            note(WHOLE, whole, peak)
    pairs = [
        (HARVEST, PEER, "at least 0.9"),
        (WHOLE, PEER, ""),
        (HARVEST, CHECKED, ""),
        (RCLONE, PEER_DAV, ""),
    ]
    what = "one file" if files == 1 else f"{files} files"
    report(
        f"harvest of {what} of {arguments.megabytes:,} MiB",
        "harvest",
        [
            *(
                figure(
                    name,
                    "MiB/s",
                    rates[name],
                    peer=peer if peer in rates else "",
                    peer_values=rates.get(peer, ()),
                    promise=promise,
                )
                for name, peer, promise in pairs
                if name in rates
            ),
            figure(
                f"{HARVEST}: memory at the peak",
                "MiB",
                memory[HARVEST],
                peer=RCLONE if RCLONE in memory else PEER if PEER in memory else "",
                peer_values=memory.get(RCLONE, memory.get(PEER, ())),
                promise="at most 150 MiB",
            ),
        ],
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--files", type=int, default=1, help=f"at most {MOST_FILES}")
    parser.add_argument("--rounds", type=int, default=3, help=f"at most {MOST_ROUNDS}")
    parser.add_argument("--dir", help="where the sandbox keeps its files (a temporary directory)")
    parser.add_argument("--ours-alone", action="store_true", help="leave the peers out")
    arguments, _ = parser.parse_known_args()
    return arguments


def into_bucket(
    url: str, settings: dict[str, str], name: str, middle: str, files: int
) -> list[str]:
    """The pipe that sends a file in one request, for one file after another."""
    target = f"{settings['SUPABASE_URL']}/storage/v1/object/lora-models/bench/{name}-$n.bin"
    key = settings["SUPABASE_SERVICE_ROLE_KEY"]
    return piped(
        f"for n in {{1..{files}}}; do"
        f" curl -sf --noproxy '*' '{url}/file' {middle} | curl -sf --noproxy '*' -X POST -T -"
        f" -H 'apikey: {key}' -H 'x-upsert: true' -H 'Expect:'"
        f" -H 'Content-Type: application/octet-stream' \"{target}\" || exit 1; done"
    )


def into_webdav(url: str, dav: str) -> list[str]:
    return piped(
        f"curl -sf --noproxy '*' '{url}/file'"
        f" | curl -sf --noproxy '*' -T - -H 'Expect:' '{dav}/by-curl.bin'"
    )


def by_rclone(url: str, dav: str) -> list[str]:
    connection = ["--config", "", "--webdav-url", dav]
    return ["rclone", "copyurl", *connection, f"{url}/file", ":webdav:by-rclone.bin"]


def piped(command: str) -> list[str]:
    return ["bash", "-o", "pipefail", "-c", command]


def timed(command: list[str]) -> tuple[float, int]:
    """Seconds that a command takes, and the peak of memory of its largest process in bytes."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} failed ({process.returncode})")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


@contextmanager
def webdav(directory: Path) -> Iterator[str | None]:
    """The address of a server of rclone's; None where rclone is not installed."""
    if shutil.which("rclone") is None:
        yield None
        return
    directory.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["rclone", "serve", "webdav", "--config", "", "--addr", f"127.0.0.1:{port}", directory],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def harvest(url: str, settings: dict[str, str], home: Path) -> tuple[float, float, int]:
    """Seconds of the job, seconds of the process, and its peak of memory in bytes."""
    environment = os.environ | settings | {"GPU_CLUSTER_API_URL": url, "LORA_TUI_HOME": str(home)}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "lora_tui", "--harvest", "--once", "--limit", "1", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    events = {entry["event"]: entry for entry in map(json.loads, process.stdout)}
    _, status, usage = os.wait4(process.pid, 0)
    whole = time.perf_counter() - start
    if status != 0:
        sys.exit(f"the harvest failed: {events.get('job_failed', events)}")
    began, ended = (
        datetime.fromisoformat(events[name]["at"]) for name in ("job_started", "job_harvested")
    )
    return (ended - began).total_seconds(), whole, usage.ru_maxrss * 1024


@contextmanager
def sandbox(home: Path) -> Iterator[dict[str, str]]:
    """The settings of a backend in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lora_tui", "demo", "--serve-only", "--json", "--models", "1"],
        env=os.environ | {"LORA_TUI_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.rstrip() == "}":
                break
        settings: dict[str, str] = json.loads("".join(lines))["data"]
        # the peers know no resumable upload: theirs is the simplest that there is
        httpx.post(
            f"{settings['SUPABASE_URL']}/_control/faults",
            json={"standard_upload_limit": 6 << 30},
            trust_env=False,
        ).raise_for_status()
        yield settings
    finally:
        process.terminate()
        process.wait()


@contextmanager
def source(size: int, files: int) -> Iterator[str]:
    """The address of a worker, in a process of its own, whose jobs made so many sparse files."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve_source, args=(size, files, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def serve_source(size: int, files: int, pipe: Connection) -> None:
    """Answer the questions of a harvest, and send the file with the least effort."""
    with tempfile.TemporaryFile() as file:
        file.write(one_tensor_header(size))
        file.truncate(size)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet: two would cost 40 ms of Nagle's delay

            def do_GET(self) -> None:
                if self.path == "/file":
                    self._head(200, size)
                    self.wfile.flush()
                    offset = 0
                    while offset < size:
                        offset += os.sendfile(
                            self.connection.fileno(), file.fileno(), offset, size - offset
                        )
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

            def _head(self, status: int, length: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.send_header("ETag", '"the-only-version"')
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                del format, arguments

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        pipe.send(server.server_port)
        server.serve_forever()


if __name__ == "__main__":
    main()
