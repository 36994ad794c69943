"""A push writes its job and its metric points and changes nobody else's, on every backend."""

from __future__ import annotations

import uuid

import pytest

from lora_tui.errors import ConflictError, DeniedError
from lora_tui.gateway import Gateway
from tests.backends.backend import Backend
from tests.backends.seed import Seed
from tests.contract.conftest import Person


def test_a_job_without_a_worker_is_written_once_and_never_waits_for_a_harvest(
    backend: Backend, alice: Person, bob: Person, service: Gateway, seed: Seed
) -> None:
    dataset = seed.dataset(backend.alice, name="Trained at home")
    row = {
        "id": str(uuid.uuid4()),
        "user_id": alice.id,
        "dataset_id": dataset["id"],
        "preset_id": "custom",
        "hyperparameters": {"lora_rank": 4},
        "gpu_config": {},
        "status": "completed",
        "current_epoch": None,
        "completed_at": "2026-01-02T00:00:00+00:00",
    }
    service.rest.insert_job(row)
    with pytest.raises(ConflictError):
        service.rest.insert_job(row)
    found = service.rest.job(alice.id, row["id"])
    assert found is not None
    assert found["dataset"] == {"name": "Trained at home"}
    assert service.rest.job(bob.id, row["id"]) is None
    assert row["id"] not in [job["id"] for job in service.rest.jobs_to_harvest(limit=5000)]
    with pytest.raises(DeniedError):
        alice.gateway.rest.insert_job(row | {"id": str(uuid.uuid4())})


def test_a_job_is_found_by_the_workers_id_too(
    backend: Backend, alice: Person, service: Gateway, seed: Seed
) -> None:
    job = seed.job(backend.alice)
    found = service.rest.job(alice.id, job["external_job_id"])
    assert found is not None
    assert found["id"] == job["id"]


def test_metric_points_written_twice_are_there_once(
    backend: Backend, service: Gateway, seed: Seed
) -> None:
    job = seed.job(backend.alice)["id"]
    points = [
        {
            "id": str(uuid.uuid4()),
            "job_id": job,
            "timestamp": f"2026-01-02T00:00:0{number}+00:00",
            "epoch": None,
            "step": number,
            "training_loss": 2.5 - number / 10,
            "validation_loss": None,
            "learning_rate": 2e-4,
            "gradient_norm": None,
        }
        for number in range(5)
    ]
    service.rest.insert_metric_points(points[:3])
    service.rest.insert_metric_points(points)
    there = [point for page in service.rest.metric_points(job) for point in page]
    assert [point["id"] for point in there] == [point["id"] for point in points]


def test_corrected_metric_points_replace_the_first_ones(
    backend: Backend, service: Gateway, seed: Seed
) -> None:
    job = seed.job(backend.alice)["id"]
    points = [
        {
            "id": str(uuid.uuid4()),
            "job_id": job,
            "timestamp": f"2026-01-02T00:00:0{number}+00:00",
            "step": number,
            "training_loss": 2.5,
        }
        for number in range(3)
    ]
    service.rest.replace_metric_points(points)
    service.rest.replace_metric_points([{**points[0], "training_loss": 1.5}])
    service.rest.delete_metric_points(job, [str(points[2]["id"]), str(uuid.uuid4())])
    there = [point for page in service.rest.metric_points(job) for point in page]
    assert [(row["step"], float(row["training_loss"])) for row in there] == [(0, 1.5), (1, 2.5)]


def test_a_model_is_found_by_the_checksum_of_its_weights_and_changed_by_its_owner_alone(
    backend: Backend, alice: Person, bob: Person, service: Gateway, seed: Seed
) -> None:
    digest = uuid.uuid4().hex * 2
    files = {"adapter_model.safetensors": {"size": 1, "sha256": digest}}
    model = seed.artifact(backend.alice, configuration={"preset_id": "custom", "files": files})
    found = service.rest.artifacts_with_file(alice.id, "adapter_model.safetensors", digest)
    assert [row["id"] for row in found] == [model["id"]]
    assert not service.rest.artifacts_with_file(bob.id, "adapter_model.safetensors", digest)
    assert not service.rest.artifacts_with_file(alice.id, "adapter_model.safetensors", "0" * 64)
    changed = service.rest.update_artifact(alice.id, model["id"], {"name": "Better"})
    assert changed is not None
    assert changed["name"] == "Better"
    assert service.rest.update_artifact(bob.id, model["id"], {"name": "Stolen"}) is None
    gone = {"deleted_at": "2026-01-02T00:00:00+00:00"}
    assert service.rest.update_artifact(alice.id, model["id"], gone) is not None
    assert service.rest.update_artifact(alice.id, model["id"], {"name": "Late"}) is None
    job = str(model["job_id"])
    assert service.rest.update_job(alice.id, job, {"current_step": 7})
    assert not service.rest.update_job(bob.id, job, {"current_step": 8})
