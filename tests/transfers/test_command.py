"""`lora-tui download` as a process: interrupted, killed by a closed terminal, and run again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lora_tui.errors import ExitCode
from lora_tui.gateway.retry import download_wait
from lora_tui.sandbox import Sandbox
from tests.conftest import Run

SIGNED = "/storage/v1/object/sign/lora-models/"
ADAPTER = "adapter_model.safetensors"


@pytest.fixture
def model(configured: Sandbox, run: Run) -> str:
    run("sync")
    models = run("list", "--json", "--sort", "quality").data["models"]
    return str(next(model["id"] for model in models if len(model["artifacts"]) == 6))


@pytest.mark.parametrize(
    ("how", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGHUP, -signal.SIGHUP)],
)
def test_a_download_that_is_cut_off_goes_on_when_it_is_run_again(
    configured: Sandbox, run: Run, model: str, tmp_path: Path, how: signal.Signals, code: int
) -> None:
    directory = tmp_path / "to"
    configured.faults(path=SIGNED, method="GET", throttle=150_000)
    command = [sys.executable, "-m", "lora_tui", "download", model, ADAPTER, "--to", directory]
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored
    with subprocess.Popen([*command, "--events"], stdout=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGHUP, before)
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["bytes_done"] > 200_000:
                break
        # the rest takes minutes, and yet does not count as stalled
        configured.faults(path=SIGNED, method="GET", throttle=3_000)
        pause = threading.Event()
        while not (directory / f"{ADAPTER}.part.json").exists():
            pause.wait(0.02)
        process.send_signal(how)
        process.stdout.read()
        assert process.wait(60) == code
    assert not (directory / ADAPTER).exists()
    configured.clear_faults()
    configured.forget_requests()
    ran = run("download", model, ADAPTER, "--to", str(directory), "--json")
    assert ran.data["files"] == [ADAPTER]
    verified = run("verify", str(directory))
    assert verified.code == ExitCode.PARTLY_FAILED  # the model has five files more
    assert f"ok         {ADAPTER}" in verified.out
    assert sorted(path.name for path in directory.iterdir()) == [ADAPTER, "lora-tui.json"]
    fetched = [r for r in configured.requests() if r["path"].startswith(SIGNED)]
    ranges = [r["range"] for r in fetched if r["method"] == "GET"]
    assert ranges
    assert not any(span.startswith("bytes=0-") for span in ranges)


def test_a_retry_waits_as_long_as_the_server_asks_and_gives_up_in_the_end() -> None:
    assert download_wait(1, "7") == 7.0
    assert download_wait(1, "3600") == 20.0
    soon = download_wait(1, "soon")
    assert soon is not None
    assert 0 <= soon <= 0.5
    assert download_wait(10, None) is None


def test_a_server_with_a_retry_after_of_a_year_is_given_up_soon() -> None:
    waits = [download_wait(attempt, "31536000") for attempt in range(1, 5)]
    assert waits == [20.0, 20.0, None, None]
