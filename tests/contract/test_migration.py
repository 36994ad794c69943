"""Our migration on a project in use: nothing is lost, the holes are closed, twice equals once.

On PostgreSQL alone: the sandbox only imitates the result.
"""

from __future__ import annotations

import httpx
import pytest

from lora_tui.errors import NotFoundError
from lora_tui.gateway import Gateway
from lora_tui.secret import Secret
from tests.backends.backend import Backend
from tests.backends.lite import DEPLOYED_SCHEMA, MIGRATION, lite_project
from tests.backends.seed import Row, Seed
from tests.contract.conftest import signed_in

TABLES = ("metrics_points", "notifications", "cost_records")
ALL = ("datasets", "training_jobs", "model_artifacts", *TABLES)


def test_applied_twice_to_a_project_in_use_it_closes_the_holes_and_loses_nothing() -> None:
    with lite_project(DEPLOYED_SCHEMA) as project:
        with project.running() as url:
            backend = project.backend(url)
            path = _fill(backend)
            before = _everything(backend)
            assert {table for table in ALL if before[table]} == set(ALL)
            assert _seen_by_bob(backend) == set(TABLES)
            with signed_in(backend, backend.alice) as alice, pytest.raises(NotFoundError):
                alice.gateway.storage.sign(path)

        project.apply(MIGRATION, MIGRATION)

        with project.running() as url:
            backend = project.backend(url)
            assert _everything(backend) == before
            assert _seen_by_bob(backend) == set()
            with signed_in(backend, backend.alice) as alice:
                link = alice.gateway.storage.sign(path)
                assert httpx.get(link, trust_env=False).content == b"weights"
                [points] = alice.gateway.rest.metric_points(before["training_jobs"][0]["id"])
                assert len(points) == 20
            with Gateway.for_service(backend.url, Secret(backend.service_key)) as service:
                job = before["training_jobs"][0]["id"]
                assert service.rest.claim_lease(job, "one", 60) is True
                assert service.rest.claim_lease(job, "two", 60) is False


def _fill(backend: Backend) -> str:
    """Rows of Alice's in every table, and a stored file, whose path is returned."""
    with Seed.of(backend) as seed:
        job = seed.job(backend.alice)
        seed.artifact(backend.alice, job)
        seed.metric_points(job, 20)
        seed.notification(backend.alice)
        seed.cost(backend.alice, job)
        return seed.stored(f"{backend.alice.user_id}/a-model/adapter_model.bin", b"weights")


def _everything(backend: Backend) -> dict[str, list[Row]]:
    with Seed.of(backend) as seed:
        return {table: seed.rows(table, order="id") for table in ALL}


def _seen_by_bob(backend: Backend) -> set[str]:
    """The tables in which Bob, who owns nothing, sees anything."""
    with signed_in(backend, backend.bob) as bob:
        return {table for table in ALL if bob.bare.get(f"/rest/v1/{table}").json()}
