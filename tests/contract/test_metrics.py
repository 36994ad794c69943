"""Metric points come complete and in order, with any page size of the backend."""

from __future__ import annotations

import uuid

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
