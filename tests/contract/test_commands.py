"""Harvest, sync, list, show and download from the command line, on every backend."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lora_tui.sandbox import Sandbox
from tests.backends.backend import Account, Backend
from tests.backends.seed import Row, Seed
from tests.conftest import Run


@pytest.fixture
def as_alice(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    be(backend, backend.alice, monkeypatch)


def be(backend: Backend, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", backend.url)
    monkeypatch.setenv("SUPABASE_ANON_KEY", backend.anon_key)
    monkeypatch.setenv("LORA_TUI_EMAIL", account.email)
    monkeypatch.setenv("LORA_TUI_PASSWORD", account.password)


@pytest.fixture
def worker(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """The GPU worker of a sandbox beside the backend; the harvest has the service key."""
    with Sandbox.start(models=1, waiting_jobs=1) as sandbox:
        monkeypatch.setenv("GPU_CLUSTER_API_URL", sandbox.gpu_url)
        monkeypatch.setenv("GPU_CLUSTER_API_KEY", sandbox.gpu_key)
        monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", backend.service_key)
        monkeypatch.setenv("LORA_TUI_ALLOW_PRIVATE_URLS", "1")
        yield sandbox


@pytest.fixture
def waiting(backend: Backend, worker: Sandbox, seed: Seed) -> Row:
    """A job of Alice's whose result lies at the worker; no other one waits for a harvest."""
    seed.remove_all(backend.alice, backend.bob)
    answer = httpx.get(
        f"{worker.url}/rest/v1/training_jobs",
        params={"status": "eq.completed", "artifact_id": "is.null"},
        headers={"apikey": worker.service_key},
    ).raise_for_status()
    job = seed.job(
        backend.alice,
        seed.dataset(backend.alice, name=f"Harvested {uuid.uuid4()}"),
        external_job_id=answer.json()[0]["external_job_id"],
    )
    seed.metric_points(job, 1_200)
    return job


@pytest.mark.usefixtures("as_alice")
def test_a_finished_job_becomes_a_rated_model_on_this_disk(
    backend: Backend, waiting: Row, seed: Seed, run: Run, tmp_path: Path
) -> None:
    events = [json.loads(line) for line in run("--harvest", "--once", "--json").out.splitlines()]
    mine = [event for event in events if event.get("job_id") == waiting["id"]]
    assert mine[-1]["event"] == "job_harvested"
    assert len([event for event in mine if event["event"] == "file_stored"]) == 6

    assert run("sync").code == 0
    model = next(
        model
        for model in run("list", "--json", "--limit", "500").data["models"]
        if model["job_id"] == waiting["id"]
    )
    # 2.5 falls to 0.19 over all 1,200 points (seven share a second); the first 1,000 end at 0.23
    assert model["quality_metrics"]["final_training_loss"] == pytest.approx(2.5 / 12.96, abs=1e-3)
    assert model["quality_metrics"]["overall_score"] >= 4

    shown = run("show", model["id"], "--json").data
    assert shown["dataset"]["name"].startswith("Harvested")
    ran = run("download", model["id"], "--to", str(tmp_path / "model"))
    assert ran.code == 0, ran.err
    for name, facts in shown["configuration"]["files"].items():
        content = (tmp_path / "model" / name).read_bytes()
        assert len(content) == facts["size"]
        assert hashlib.sha256(content).hexdigest() == facts["sha256"]

    again = run("--harvest", "--once", "--json").out.splitlines()
    assert not [line for line in again if waiting["id"] in line]
    (job,) = seed.rows("training_jobs", id=f"eq.{waiting['id']}")
    assert job["artifact_id"] == model["id"]
    assert len(seed.rows("model_artifacts", job_id=f"eq.{waiting['id']}")) == 1
    notices = seed.rows("notifications", user_id=f"eq.{backend.alice.user_id}")
    assert len([n for n in notices if n["metadata"].get("artifact_id") == model["id"]]) == 1


def test_a_model_of_somebody_else_is_neither_listed_nor_shown(
    backend: Backend, seed: Seed, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = seed.artifact(backend.alice)
    be(backend, backend.bob, monkeypatch)
    assert run("sync").code == 0
    listed = run("list", "--json", "--limit", "500").data["models"]
    assert theirs["id"] not in [model["id"] for model in listed]
    assert run("show", theirs["id"]).code == 3
    assert run("download", theirs["id"]).code == 3


@pytest.mark.usefixtures("as_alice")
def test_a_wrong_password_ends_with_four(
    backend: Backend, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_TUI_PASSWORD", "certainly wrong")
    assert run("login").code == 4
