"""A worker that tells our own keys gets them into no event, no ledger and no status."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from lora_tui.harvest.events import as_json, describe
from tests.harvest.hostile import HostileWorker
from tests.harvest.world import World

OTHERS = "Zq9xW4kLm2"


@pytest.mark.parametrize("kind", ["failed", "output", "id", "file"])
def test_a_key_that_the_worker_tells_is_kept_nowhere(
    new_world: Callable[..., World], kind: str
) -> None:
    world = new_world(waiting_jobs=1)
    (job,) = world.jobs()
    key, name = world.sandbox.gpu_key, job["external_job_id"]
    told = f"{key} RUNPOD_API_KEY=rpa_{OTHERS} AWS_SECRET_ACCESS_KEY={OTHERS}"
    with HostileWorker() as worker:
        worker.statuses[name] = {
            "failed": {"id": name, "status": "FAILED", "error": told},
            "output": {"id": name, "status": "COMPLETED", "output": {"error": told}},
            "id": {"id": key, "status": "COMPLETED", **worker.output(name)},
            "file": {"id": name, "status": "COMPLETED", "output": {"model_files": {key: "no"}}},
        }[kind]
        _, events = world.run(world.harvester(gpu_url=worker.url))
    texts = [json.dumps(as_json(event)) + describe(event) for event in events]
    texts += [repr(kept) for kept in world.ledger().jobs()]
    assert any("failed" in text for text in texts)
    for text in texts:
        assert key not in text
        assert OTHERS not in text
