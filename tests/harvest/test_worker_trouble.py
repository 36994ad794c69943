"""What passing trouble of the worker costs: a try, not the job, and not the turn of the others."""

from __future__ import annotations

import json
from datetime import timedelta

import httpx
import pytest

from lora_tui import clock
from lora_tui.gateway.gpu import Worker
from lora_tui.gateway.http import build_client
from lora_tui.harvest.events import CycleFinished, ResultLost
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.ledger_schema import State
from lora_tui.secret import Secret
from tests.harvest.world import Row, World, failures, printed

MINUTE = timedelta(minutes=1)
URL = "https://worker.test/v2/x"


def completed(world: World, job: Row, ago: timedelta | None) -> None:
    moment = clock.timestamp_text(clock.now() - ago) if ago is not None else None
    world.change(f"training_jobs?id=eq.{job['id']}", completed_at=moment)


def with_worker(world: World, answers: dict[str, httpx.Response]) -> Harvester:
    """A harvester whose worker answers so about these jobs, and as the sandbox about all others."""
    plain = httpx.Client(trust_env=False)

    def handle(request: httpx.Request) -> httpx.Response:
        job = request.url.path.rpartition("/")[2]
        answer = answers.get(job) or answers.get("*")
        if answer is not None:
            return httpx.Response(
                answer.status_code, headers=answer.headers, content=answer.content
            )
        headers = {"Authorization": f"Bearer {world.sandbox.gpu_key}"}
        path = request.url.path.removeprefix("/v2/x")
        found = plain.get(world.sandbox.gpu_url + path, headers=headers)
        return httpx.Response(found.status_code, content=found.content)

    client = build_client(URL, transport=httpx.MockTransport(handle))
    harvester = world.harvester()
    object.__setattr__(harvester, "worker", Worker(URL, Secret("key"), client=client))
    return harvester


@pytest.mark.parametrize(
    "body", ["", "no healthy upstream", '{"error":"endpoint not found"}', '{"detail":"Not Found"}']
)
def test_a_result_that_is_not_there_is_asked_for_while_the_worker_promises_it(
    pair: World, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    young, untimed = pair.jobs()
    completed(pair, young, timedelta(seconds=20))
    completed(pair, untimed, None)
    gone = httpx.Response(404, content=body.encode())
    _, events = pair.run(with_worker(pair, {"*": gone}))
    assert [failure.permanent for failure in failures(events).values()] == [False, False]
    assert "GPU_CLUSTER_API_URL" in printed(events)
    assert not [event for event in events if isinstance(event, ResultLost)]

    now = clock.now()  # the address is mended
    monkeypatch.setattr(clock, "now", lambda: now + 2 * MINUTE)
    assert pair.run()[0].harvested == 2


def test_a_result_that_is_not_there_after_the_promise_is_lost(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, untimed = pair.jobs()
    completed(pair, old, 31 * MINUTE)
    completed(pair, untimed, None)
    harvester = with_worker(pair, {"*": httpx.Response(404, json={"error": "no such job"})})
    _, events = pair.run(harvester)
    assert {job: failure.permanent for job, failure in failures(events).items()} == {
        old["id"]: True,
        untimed["id"]: False,
    }
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + 31 * MINUTE)
    _, events = pair.run(harvester)
    assert [event.job_id for event in events if isinstance(event, ResultLost)] == [untimed["id"]]


def test_a_job_that_is_trained_again_is_asked_for_again(pair: World) -> None:
    job = pair.jobs()[0]
    external = job["external_job_id"]
    body = {"id": "first", "status": "FAILED"}
    pair.change(f"training_jobs?id=eq.{job['id']}", external_job_id="first")
    pair.run(with_worker(pair, {"first": httpx.Response(200, json=body)}))
    assert {job.state for job in pair.ledger().jobs()} == {State.DEAD, State.DONE}

    pair.change(f"training_jobs?id=eq.{job['id']}", external_job_id=external)
    assert pair.run()[0].harvested == 1
    pair.check_complete()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, json={"error": "boom"}),
        httpx.Response(502, content=b"<html>Bad gateway</html>"),
        httpx.Response(302, headers={"location": "https://elsewhere.test/"}),
    ],
)
def test_jobs_that_the_worker_fails_at_keep_no_other_from_its_turn(
    world: World, answer: httpx.Response
) -> None:
    poison = world.jobs()[:3]
    for job in poison:
        completed(world, job, MINUTE)  # the most urgent ones
    harvester = with_worker(world, {job["external_job_id"]: answer for job in poison})
    result, events = world.run(harvester)
    assert (result.harvested, result.failed, result.left) == (1, 3, 0)
    assert {failure.permanent for failure in failures(events).values()} == {False}
    assert "GPU worker" in printed(events)
    assert "--offline" not in printed(events)


def test_a_worker_that_is_down_ends_the_cycle_and_is_named(world: World) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    harvester = world.harvester()
    client = build_client(URL, transport=httpx.MockTransport(refuse))
    object.__setattr__(harvester, "worker", Worker(URL, Secret("key"), client=client))
    result, events = world.run(harvester)
    assert (result.failed, result.left) == (3, 1)
    assert isinstance(events[-1], CycleFinished)
    assert "worker" in str(events[-1].error)
    assert "--offline" not in json.dumps(printed(events))
