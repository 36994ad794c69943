"""Starts and ends a real vLLM for `make real-vllm`, with the Python that its environment has."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx

from tests.serving.vllm_contract import Server

BASE: Final = "tiny-random-llama"
"""Directory of the base model; the adapters of the tests name it as theirs."""
MAX_RANK: Final = 16
_PYTHON: Final = os.environ.get("LORA_TUI_REAL_VLLM", "")
_LONGEST: Final = 400
"""Seconds for the start, and for the first answer, which is when vLLM compiles."""


def is_asked_for() -> bool:
    """Whether `make real-vllm` runs, which names the Python."""
    return bool(_PYTHON)


@contextmanager
def running_vllm(
    base: Path, log: Path, *, key: str | None = None, runtime_updating: bool = True
) -> Iterator[Server]:
    """A server on loopback that has answered once; its words are in `log`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("VLLM_")},
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": str(runtime_updating),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    command = [_PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", str(base)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--enforce-eager"]
    command += ["--enable-lora", "--max-lora-rank", str(MAX_RANK)]
    command += ["--gpu-memory-utilization", "0.1"]  # of the machine's memory, where there is no GPU
    command += [] if key is None else ["--api-key", key]
    server = Server(f"http://127.0.0.1:{port}", str(base), key)
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            cwd=base,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            _wait_until_it_answers(server, process, log)
            yield server
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its engine and workers too


def _wait_until_it_answers(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _LONGEST
    while True:
        with suppress(httpx.TransportError):
            if httpx.get(f"{server.url}/health", trust_env=False).status_code == 200:
                break
        assert process.poll() is None, log.read_text()[-4000:]
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.5)
    headers = {} if server.key is None else {"Authorization": f"Bearer {server.key}"}
    fields = {"prompt": "Hello", "max_tokens": 0, "echo": True, "logprobs": 0}
    url = f"{server.url}/v1/completions"
    httpx.post(url, json=fields, headers=headers, timeout=_LONGEST, trust_env=False)
