"""The service as an operator meets it: status and retries, the health file, metrics."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from lora_tui import cli
from lora_tui.errors import UsageError
from lora_tui.harvest.loop import run_cycle
from lora_tui.harvest.monitoring import HealthFile, Metrics
from tests.harvest.test_crashes import environment
from tests.harvest.world import World


@pytest.fixture
def lora_tui(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Runs a command in this process: exit code, stdout, stderr."""
    for name, value in environment(world).items():
        monkeypatch.setenv(name, value)
    # a signal handler of a test's own process would outlive the test
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_status_shows_failed_jobs_with_reasons_and_retry_queues_them_again(
    world: World, lora_tui: Any
) -> None:
    job = world.jobs()[0]
    world.sandbox.faults(vanish=[job["external_job_id"]])
    assert lora_tui("--harvest", "--once")[0] == 7
    world.sandbox.forget_requests()

    code, out, _ = lora_tui("harvest", "status")
    assert code == 0
    assert "given up (1)" in out
    assert "30 minutes" in out
    assert "imported (3)" in out
    data = json.loads(lora_tui("harvest", "status", "--json")[1])["data"]
    assert [entry["job_id"] for entry in data["dead"]] == [job["id"]]
    assert len(data["done"]) == 3
    assert {entry["path"] for entry in world.sandbox.requests()} == {"/rest/v1/rpc/harvest_status"}

    world.sandbox.clear_faults()
    assert lora_tui("--harvest", "--once")[0] == 0
    assert job["id"] not in world.artifacts()
    assert lora_tui("harvest", "retry", job["id"][:8])[0] == 0
    assert lora_tui("--harvest", "--once")[0] == 0
    world.check_complete()


def test_retry_says_what_it_does_not_know(lora_tui: Any) -> None:
    assert lora_tui("harvest", "retry", "nothing")[0] == 3
    assert lora_tui("harvest", "retry")[0] == 2
    assert lora_tui("harvest", "retry", "x", "--all")[0] == 2
    code, out, _ = lora_tui("harvest", "retry", "--all", "--json")
    assert (code, json.loads(out)["data"]) == (0, {"retried": []})


def test_status_works_before_the_first_harvest(lora_tui: Any) -> None:
    code, out, err = lora_tui("harvest", "status", "--offline")
    assert (code, out) == (0, "")
    assert "--harvest --once" in err


def test_the_health_file_is_fresh_and_tells_how_the_last_cycle_went(
    world: World, lora_tui: Any, tmp_path: Path
) -> None:
    file = tmp_path / "health.json"
    assert lora_tui("--harvest", "--once", "--health-file", str(file))[0] == 0
    health = json.loads(file.read_text())
    assert health["ok"] is True
    assert health["last_cycle"]["harvested"] == 4
    assert [path.name for path in tmp_path.glob("*.part")] == []

    world.sandbox.faults(path="/rest/v1", fail_next=-1)
    assert lora_tui("--harvest", "--once", "--health-file", str(file))[0] == 5
    health = json.loads(file.read_text())
    assert health["ok"] is False
    assert health["error"]


def test_a_health_file_that_can_not_be_written_does_not_stop_the_harvest(
    world: World, lora_tui: Any, tmp_path: Path
) -> None:
    file = tmp_path / "no such directory" / "health.json"
    assert lora_tui("--harvest", "--once", "--health-file", str(file))[0] == 0
    world.check_complete()


def test_a_moving_file_is_a_sign_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lora_tui.harvest.monitoring.LEAST_SECONDS", 0.0)
    health = HealthFile(tmp_path / "health.json")
    (tmp_path / "health.json").unlink()
    health.beat()
    assert (tmp_path / "health.json").exists()


def test_metrics_are_served_on_this_machine_only_and_count_what_happened(world: World) -> None:
    world.sandbox.faults(vanish=[world.jobs()[0]["external_job_id"]])
    port = free_port()
    metrics = Metrics(port)
    try:
        run_cycle(
            world.harvester(),
            limit=None,
            dry_run=False,
            emit=metrics.note,
            stop=threading.Event(),
        )
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        with pytest.raises(UsageError):
            Metrics(port)
        address = metrics.address
    finally:
        metrics.close()
    assert address == "127.0.0.1"
    assert 'lora_tui_harvest_jobs_total{outcome="harvested"} 3.0' in text
    assert 'lora_tui_harvest_jobs_total{outcome="lost"} 1.0' in text
    assert 'lora_tui_harvest_queue{state="waiting"} 4.0' in text
    sent = next(
        line for line in text.splitlines() if line.startswith("lora_tui_harvest_sent_bytes_total")
    )
    assert float(sent.split()[1]) > 1_000_000


def test_a_port_that_does_not_exist_is_told(lora_tui: Any) -> None:
    code, _, err = lora_tui("--harvest", "--once", "--metrics-port", "99999")
    assert code == 2
    assert "port" in err


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_log_on_a_full_disk_stops_no_harvest(
    world: World, lora_tui: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with suppress(OSError), Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", full)
        code, _, err = lora_tui("--harvest", "--once")
    assert "the events can't be printed: No space left on device" in err
    assert code == 1
    assert "The output can't be written: No space left on device" in err
    world.check_complete()
