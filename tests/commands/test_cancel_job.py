"""`lora-tui jobs cancel`: the worker stops the run, the pipeline writes it; errors have reasons."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lora_tui.cache import jobs
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.errors import ExitCode
from lora_tui.sandbox import Sandbox
from tests.conftest import Run


@pytest.fixture(autouse=True)
def ready(signed_in: Path, sandbox: Sandbox) -> None:
    sandbox.forget_requests()


def jobs_of(run: Run, status: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run("jobs", "--status", status, "--json").data["jobs"]
    return found


def change(home: Path, row: dict[str, Any]) -> None:
    [path] = home.rglob("cache*/**/*.sqlite3")
    with closing(open_cache(path)) as db, transaction(db, Topic.JOBS):
        jobs.put_jobs(db, [row])


def test_the_worker_is_asked_once_and_nothing_is_written_by_us(run: Run, sandbox: Sandbox) -> None:
    job = jobs_of(run, "running")[0]
    ran = run("jobs", "cancel", job["id"][:8])
    assert ran.code == ExitCode.OK
    assert "once the pipeline has written it" in ran.err
    asked = [(entry["method"], entry["path"]) for entry in sandbox.requests()]
    assert asked == [("POST", f"/v2/demo-endpoint/cancel/{job['external_job_id']}")]
    assert jobs_of(run, "running")[0]["id"] == job["id"]

    sandbox.train(1)  # the pipeline's turn
    assert run("sync").code == ExitCode.OK
    assert job["id"] in {found["id"] for found in jobs_of(run, "cancelled")}


def test_without_the_worker_s_key_one_sentence_names_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = jobs_of(run, "queued")[0]
    monkeypatch.delenv("GPU_CLUSTER_API_KEY")
    ran = run("jobs", "cancel", job["id"])
    assert ran.code == ExitCode.USAGE
    assert "Set GPU_CLUSTER_API_KEY" in ran.err


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("completed", "Only a job that waits or runs can be cancelled"),
        ("failed", "Only a job that waits or runs can be cancelled"),
        ("cancelled", "This job was cancelled already"),
    ],
)
def test_a_job_that_has_ended_is_not_asked_about(
    run: Run, sandbox: Sandbox, status: str, said: str
) -> None:
    job = jobs_of(run, status)[0]
    ran = run("jobs", "cancel", job["id"])
    assert ran.code == ExitCode.USAGE
    assert said in ran.err
    assert sandbox.requests() == []


def test_a_job_that_was_not_submitted_yet_says_so(run: Run, home: Path) -> None:
    new = "0000abcd-0000-4000-8000-000000000000"
    change(home, {"id": new, "status": "queued", "external_job_id": None})
    ran = run("jobs", "cancel", new)
    assert ran.code == ExitCode.USAGE
    assert "no id at the GPU worker yet" in ran.err


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (
            {"path": "/v2/", "status": 401, "fail_next": 9},
            ExitCode.AUTHENTICATION,
            "does not accept the key",
        ),
        ({"vanish": True}, ExitCode.NOT_FOUND, "does not know this job"),
        (
            {"path": "/v2/", "status": 500, "fail_next": 9},
            ExitCode.UNREACHABLE,
            "then cancel the job again",
        ),
        (
            {"path": "/v2/", "status": 502, "fail_next": 9},
            ExitCode.UNREACHABLE,
            "then cancel the job again",
        ),
    ],
)
def test_a_refusal_of_the_worker_is_one_line(
    run: Run, sandbox: Sandbox, answer: dict[str, Any], code: ExitCode, said: str
) -> None:
    job = jobs_of(run, "queued")[0]
    sandbox.faults(**answer)
    ran = run("jobs", "cancel", job["id"])
    assert ran.code == code
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert "asks again" not in ran.err  # nobody does, once the command has ended


def test_a_job_that_the_worker_has_finished_meanwhile_is_not_said_to_be_cancelled(
    run: Run, sandbox: Sandbox, home: Path
) -> None:
    done = jobs_of(run, "completed")[0]
    change(home, {**done, "status": "running"})
    ran = run("jobs", "cancel", done["id"])
    if done["artifact_id"]:  # the worker has forgotten it
        assert ran.code == ExitCode.NOT_FOUND
    else:
        assert ran.code == ExitCode.USAGE
        assert "did not cancel the job" in ran.err
        assert "COMPLETED" in ran.err
