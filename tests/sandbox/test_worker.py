"""The GPU worker answers like a RunPod endpoint, and its presigned URLs like an object store."""

from __future__ import annotations

from typing import Any

import httpx

from lora_tui.sandbox import Sandbox
from tests.sandbox.client import WEIGHTS, Client


def waiting(client: Client) -> list[str]:
    rows = client.rows(
        "training_jobs?status=eq.completed&artifact_id=is.null&select=external_job_id"
        "&order=completed_at.desc"
    )
    return [row["external_job_id"] for row in rows]


def ask(sandbox: Sandbox, path: str, key: str | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key or sandbox.gpu_key}"}
    return httpx.get(f"{sandbox.gpu_url}/{path}", headers=headers, trust_env=False)


def file_urls(answer: httpx.Response) -> dict[str, str]:
    output: dict[str, Any] = answer.json()["output"]
    found: dict[str, str] = output.get("model_files") or output["download_urls"]
    return found


def test_the_status_of_a_completed_job_brings_its_files(full: Sandbox, reader: Client) -> None:
    jobs = waiting(reader)
    assert len(jobs) == 4
    sizes = []
    for job in jobs:
        answer = ask(full, f"status/{job}")
        assert answer.json()["status"] == "COMPLETED"
        urls = file_urls(answer)
        assert len(urls) == 6
        weights = httpx.get(urls[WEIGHTS], trust_env=False)
        assert weights.status_code == 200
        sizes.append(len(weights.content))
    assert max(sizes) > 6 * 1024 * 1024


def test_both_spellings_of_the_output_occur(full: Sandbox, reader: Client) -> None:
    keys = {tuple(sorted(ask(full, f"status/{job}").json()["output"])) for job in waiting(reader)}
    assert keys == {("model_files", "model_metadata"), ("download_urls", "metadata")}


def test_unfinished_jobs_report_their_state(full: Sandbox, reader: Client) -> None:
    rows = reader.rows(
        "training_jobs?status=in.(queued,running,failed,cancelled)&select=external_job_id"
    )
    states = [ask(full, f"status/{row['external_job_id']}").json()["status"] for row in rows]
    assert sorted(states) == ["CANCELLED", "FAILED", "IN_PROGRESS", "IN_PROGRESS", "IN_QUEUE"]


def test_the_worker_needs_its_own_key(full: Sandbox, reader: Client) -> None:
    job = waiting(reader)[0]
    for path in (f"status/{job}", f"training/artifacts/{job}"):
        assert ask(full, path, full.service_key).status_code == 401


def test_the_planned_endpoint_is_absent_until_switched_on(sandbox: Sandbox, user: Client) -> None:
    job = waiting(user)[0]
    assert ask(sandbox, f"training/artifacts/{job}").status_code == 404
    sandbox.faults(worker_planned_status=405)
    assert ask(sandbox, f"training/artifacts/{job}").status_code == 405
    sandbox.faults(worker_planned_endpoint=True)
    assert set(ask(sandbox, f"training/artifacts/{job}").json()) == {
        "download_urls",
        "model_metadata",
    }


def test_a_presigned_url_expires_and_cannot_be_changed(sandbox: Sandbox, user: Client) -> None:
    url = file_urls(ask(sandbox, f"status/{waiting(user)[0]}"))[WEIGHTS]
    changed = url.replace("X-Amz-Expires=86400", "X-Amz-Expires=864000")
    assert "SignatureDoesNotMatch" in httpx.get(changed, trust_env=False).text
    sandbox.faults(clock_offset=86_401)
    expired = httpx.get(url, trust_env=False)
    assert expired.status_code == 403
    assert "<Code>AccessDenied</Code>" in expired.text


def test_a_presigned_url_refuses_the_api_key_beside_it(sandbox: Sandbox, user: Client) -> None:
    url = file_urls(ask(sandbox, f"status/{waiting(user)[0]}"))[WEIGHTS]
    headers = {"Authorization": f"Bearer {sandbox.gpu_key}"}
    assert httpx.get(url, headers=headers, trust_env=False).status_code == 400
    assert sandbox.requests()[-1]["bearer"] == "gpu"


def test_results_can_vanish_one_by_one_or_all(sandbox: Sandbox, user: Client) -> None:
    first, second = waiting(user)
    url = file_urls(ask(sandbox, f"status/{second}"))[WEIGHTS]
    sandbox.faults(vanish=[first])
    assert ask(sandbox, f"status/{first}").status_code == 404
    assert ask(sandbox, f"status/{second}").status_code == 200
    sandbox.faults(vanish=True, vanish_files=[second])
    assert ask(sandbox, f"status/{second}").status_code == 404
    assert httpx.get(url, trust_env=False).status_code == 404
