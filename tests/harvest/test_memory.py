"""A harvest takes no more memory for a large file than for a small one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.harvest.test_crashes import environment
from tests.harvest.world import World
from tests.safetensors import one_tensor_header

MEGABYTE = 1 << 20
_CONFIG = b'{"peft_type": "LORA", "r": 4}'

_HARVEST = """
import sys
from pathlib import Path
from lora_tui.cli.run import main
try:
    code = main(["--harvest", "--once"])
except SystemExit as end:
    code = end.code
print(Path("/proc/self/status").read_text(), file=sys.stderr)
sys.exit(code)
"""


def test_memory_stays_below_150_megabytes_for_a_file_of_256(world: World) -> None:
    for job in world.jobs()[1:]:
        world.change(f"training_jobs?id=eq.{job['id']}", status="cancelled")
    with worker_with_one_file(256) as url:
        ended = subprocess.run(
            [sys.executable, "-c", _HARVEST],
            env=os.environ | environment(world) | {"GPU_CLUSTER_API_URL": url},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    (artifact,) = world.artifacts().values()
    assert artifact["configuration"]["files"]["adapter_model.safetensors"]["size"] == 256 * MEGABYTE
    peak = re.search(r"VmHWM:\s+(\d+) kB", ended.stderr)
    assert peak is not None
    assert int(peak[1]) * 1024 < 150 * MEGABYTE


@contextmanager
def worker_with_one_file(megabytes: int) -> Iterator[str]:
    """The address of a worker whose every job has made weights of zeros behind a header."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/config":
                self._head(200, len(_CONFIG))
                self.wfile.write(_CONFIG)
                return
            if self.path.startswith("/file"):
                self._head(200, megabytes * MEGABYTE)
                self.wfile.write(one_tensor_header(megabytes * MEGABYTE).ljust(MEGABYTE, b"\0"))
                for _ in range(1, megabytes):
                    self.wfile.write(bytes(MEGABYTE))
                return
            if not self.path.startswith("/status/"):
                self._head(404, 0)
                return
            host = self.headers["Host"]
            files = {
                "adapter_model.safetensors": f"http://{host}/file",
                "adapter_config.json": f"http://{host}/config",
            }
            body = json.dumps({"status": "COMPLETED", "output": {"model_files": files}}).encode()
            self._head(200, len(body))
            self.wfile.write(body)

        def _head(self, status: int, length: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            del format, arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
