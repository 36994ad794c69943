"""Metric points come complete and in order, with any page size of the backend."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from lora_tui.domain import MetricPoint
from lora_tui.gateway import Gateway
from lora_tui.gateway.live_points import count_points, read_points, requests_of, windows_of
from tests.backends.backend import Backend
from tests.backends.seed import Seed
from tests.contract.conftest import Person


def test_more_points_than_one_answer_holds_are_all_read_in_order(
    backend: Backend, alice: Person, seed: Seed
) -> None:
    job = seed.job(backend.alice)
    written = seed.metric_points(job, 2345)
    pages = list(alice.gateway.rest.metric_points(job["id"]))
    assert len(pages) > 1, "the backend's own limit was not met"
    read = [row for page in pages for row in page]
    assert len(read) == 2345
    assert {row["id"] for row in read} == {row["id"] for row in written}
    seconds = [row["step"] // 7 for row in read]
    assert seconds == sorted(seconds)
    losses = {row["step"]: float(row["training_loss"]) for row in read}
    assert losses[0] == 2.5
    assert losses[2344] == round(2.5 / (1 + 2344 / 100), 6)


def test_reading_goes_on_after_the_last_known_point(
    backend: Backend, alice: Person, seed: Seed
) -> None:
    job = seed.job(backend.alice)
    seed.metric_points(job, 40)
    [everything] = alice.gateway.rest.metric_points(job["id"])
    known = everything[24]
    rest = list(
        alice.gateway.rest.metric_points(job["id"], after=(known["timestamp"], known["id"]))
    )
    assert [row["id"] for page in rest for row in page] == [row["id"] for row in everything[25:]]
    last = everything[-1]
    nothing = alice.gateway.rest.metric_points(job["id"], after=(last["timestamp"], last["id"]))
    assert list(nothing) == []


def test_a_job_without_points_has_none(backend: Backend, alice: Person, seed: Seed) -> None:
    job = seed.job(backend.alice)
    assert list(alice.gateway.rest.metric_points(job["id"])) == []
    assert list(alice.gateway.rest.metric_points(str(uuid.uuid4()))) == []


COLUMNS = {
    "learning_rate": 1e-5,
    "gradient_norm": 0.75,
    "throughput": 1520.5,
    "gpu_utilization": 97.0,
}


def test_every_column_of_a_point_is_read(backend: Backend, alice: Person, seed: Seed) -> None:
    job = seed.job(backend.alice)
    seed.point(job, step=1, training_loss=2.5, validation_loss=2.25, **COLUMNS)
    [[row]] = alice.gateway.rest.metric_points(job["id"])
    point = MetricPoint.from_row(row)
    assert (point.training_loss, point.validation_loss) == (2.5, 2.25)
    assert {name: getattr(point, name) for name in COLUMNS} == COLUMNS


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"training_loss": "NaN", "gradient_norm": "NaN"}, (None, math.nan)),
        ({"training_loss": 0, "gradient_norm": "NaN"}, (0.0, math.nan)),
        ({"training_loss": 9999.999999, "gradient_norm": 1e30}, (9999.999999, 1e30)),
        ({"training_loss": 1, "gradient_norm": "Infinity"}, (1.0, math.inf)),
        ({"training_loss": 1, "gradient_norm": "-Infinity"}, (1.0, -math.inf)),
    ],
)
def test_what_a_broken_run_logged_comes_back_as_it_was_written(
    backend: Backend,
    alice: Person,
    service: Gateway,
    seed: Seed,
    written: dict[str, Any],
    read: tuple[float | None, float],
) -> None:
    job = seed.job(backend.alice)
    row = {"id": str(uuid.uuid4()), "job_id": job["id"], "step": 1, **written}
    service.rest.insert_metric_points([row])
    [[found]] = alice.gateway.rest.metric_points(job["id"])
    point = MetricPoint.from_row(found)
    assert repr((point.training_loss, point.gradient_norm)) == repr(read)
    # a NaN is no JSON number: it is a text
    assert (found["training_loss"] == "NaN") == (point.training_loss is None)


@pytest.mark.parametrize(
    "loss", [10_000, -1e9, "Infinity", "9999.9999999"], ids=lambda loss: str(loss)
)
def test_a_loss_that_is_too_large_for_its_column_is_refused(
    backend: Backend, seed: Seed, loss: object
) -> None:
    job = seed.job(backend.alice)
    answer = httpx.post(
        f"{backend.url}/rest/v1/metrics_points",
        headers={"apikey": backend.service_key},
        json={"job_id": job["id"], "step": 1, "training_loss": loss},
        trust_env=False,
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "22003")


def test_the_newest_points_of_several_jobs_come_in_one_answer(
    backend: Backend, alice: Person, seed: Seed
) -> None:
    jobs = [seed.job(backend.alice) for _ in range(4)]
    moments = [datetime(2026, 11, 20, 9, tzinfo=UTC) + timedelta(seconds=n) for n in range(9)]
    for job in jobs[:3]:
        for step, moment in enumerate(moments):
            seed.point(job, timestamp=moment.isoformat(), step=step, training_loss=1)
    same = {job["id"]: moments[6] for job in jobs[:2]}
    rest = alice.gateway.rest

    def found(since: Mapping[str, datetime | None]) -> list[tuple[str, float]]:
        (windows,) = requests_of(windows_of(since))
        rows = read_points(rest, windows).rows
        assert count_points(rest, windows) == len(rows)
        stamps = [(row["timestamp"], row["id"]) for row in rows]
        assert stamps == sorted(stamps)
        return sorted((row["job_id"], row["step"]) for row in rows)

    first, second, third, none = (job["id"] for job in jobs)
    both = [(job, step) for job in (first, second) for step in (6, 7, 8)]
    assert found(same) == sorted(both)
    apart = {**same, third: moments[8] - timedelta(minutes=5)}
    everything = [(third, step) for step in range(9)]
    assert found(apart) == sorted(both + everything)
    assert found({**same, third: None, none: None}) == sorted(both + everything)
    assert found({none: None}) == []
