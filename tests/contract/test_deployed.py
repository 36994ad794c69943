"""The deployed project before our migration: its holes, and what works all the same.

Where one of these tests fails, the deployed schema was modelled wrongly or has changed.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from lora_tui.errors import NotFoundError
from lora_tui.gateway import Gateway
from lora_tui.secret import Secret
from tests.backends.backend import Backend
from tests.backends.seed import Row, Seed, artifact_row, notification_row
from tests.conftest import Run
from tests.contract.conftest import BACKENDS, Person, signed_in
from tests.contract.test_doctor import HOLES, fill, verdicts

OPEN = ("metrics_points", "notifications", "cost_records")
CLOSED = ("datasets", "training_jobs", "model_artifacts")


@pytest.fixture(scope="module", params=list(BACKENDS))
def deployed(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The deployed schema alone."""
    with BACKENDS[request.param](migrated=False) as running:
        yield running


@pytest.fixture(scope="module")
def alice(deployed: Backend) -> Iterator[Person]:
    with signed_in(deployed, deployed.alice) as person:
        yield person


@pytest.fixture(scope="module")
def bob(deployed: Backend) -> Iterator[Person]:
    with signed_in(deployed, deployed.bob) as person:
        yield person


@pytest.fixture(scope="module")
def service(deployed: Backend) -> Iterator[Gateway]:
    with Gateway.for_service(deployed.url, Secret(deployed.service_key)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def seed(deployed: Backend) -> Iterator[Seed]:
    with Seed.of(deployed) as rows:
        yield rows


@pytest.fixture
def rows(deployed: Backend, seed: Seed) -> dict[str, Row]:
    """A row of Alice's in each table."""
    return seed.one_in_each_table(deployed.alice)


@pytest.mark.parametrize("table", CLOSED)
def test_three_tables_show_a_row_to_its_owner_only(
    alice: Person, bob: Person, rows: dict[str, Row], table: str
) -> None:
    assert alice.sees(table, rows[table])
    assert not bob.sees(table, rows[table])


@pytest.mark.parametrize("table", OPEN)
def test_three_tables_show_every_row_to_everybody_who_signs_in(
    alice: Person, bob: Person, rows: dict[str, Row], table: str
) -> None:
    assert alice.sees(table, rows[table])
    assert bob.sees(table, rows[table])


def test_our_own_queries_give_nobody_the_notifications_of_another(
    deployed: Backend, alice: Person, bob: Person, seed: Seed, rows: dict[str, Row]
) -> None:
    own = seed.notification(deployed.bob)
    page = bob.gateway.rest.page("notifications", bob.id, after=None, key="created_at").rows
    ids = {row["id"] for row in page}
    assert own["id"] in ids
    assert rows["notifications"]["id"] not in ids
    assert {row["user_id"] for row in page} == {bob.id}


def test_our_own_update_marks_no_notification_of_another(
    deployed: Backend, alice: Person, bob: Person, seed: Seed, rows: dict[str, Row]
) -> None:
    notification = rows["notifications"]["id"]
    rest = bob.gateway.rest
    assert not rest.mark_notification_read(notification, user_id=bob.id)
    assert seed.rows("notifications", id=f"eq.{notification}") == [rows["notifications"]]


def test_a_users_own_token_signs_nothing_and_the_service_role_signs_all(
    deployed: Backend, alice: Person, service: Gateway, seed: Seed
) -> None:
    path = seed.stored(f"{alice.id}/a-model/adapter_model.bin", b"weights")
    with pytest.raises(NotFoundError):
        alice.gateway.storage.sign(path)
    link = service.storage.sign(path)
    assert httpx.get(link, trust_env=False).content == b"weights"


def test_without_a_lease_the_harvest_is_told_that_there_is_none(
    deployed: Backend, service: Gateway, rows: dict[str, Row]
) -> None:
    job = rows["training_jobs"]["id"]
    assert service.rest.claim_lease(job, "one", 60) is None
    assert service.rest.renew_lease(job, "one", 60) is None
    assert service.rest.release_lease(job, "one") is None


def test_the_harvest_writes_all_that_it_has_to(
    deployed: Backend, alice: Person, service: Gateway, seed: Seed
) -> None:
    job = seed.job(deployed.alice)
    row = service.rest.insert_artifact(artifact_row(job))
    assert service.rest.link_job(job["id"], row["id"])
    notification = service.rest.insert_notification(notification_row(deployed.alice))
    [stored] = alice.gateway.rest.rows_by_id("model_artifacts", alice.id, [row["id"]])
    assert stored["job_id"] == job["id"]
    [found] = alice.gateway.rest.rows_by_id("notifications", alice.id, [notification["id"]])
    assert found["title"] == "Model Ready for Download"


@pytest.mark.parametrize("service", [False, True])
def test_doctor_finds_the_open_tables_and_the_missing_policy(
    run: Run, deployed: Backend, monkeypatch: pytest.MonkeyPatch, service: bool
) -> None:
    fill(deployed)
    code, found, remedies = verdicts(run, deployed, monkeypatch, service=service)
    assert code == 7
    for check in (*(f"privacy of {table}" for table in HOLES), "storage policy"):
        assert found[check] == "failed", check
        assert "lora-tui schema" in remedies[check]
    assert found["migration"] == "warning"
    for check in ("network", "auth", "table notifications", "table model_artifacts"):
        assert found[check] == "ok", check


def test_doctor_finds_the_open_tables_with_nobody_signed_in(
    run: Run, deployed: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(deployed)
    monkeypatch.setenv("SUPABASE_URL", deployed.url)
    monkeypatch.setenv("SUPABASE_ANON_KEY", deployed.anon_key)
    checks = {check["check"]: check for check in run("doctor", "--json").data["checks"]}
    assert checks["auth"]["verdict"] == "failed"
    for table in HOLES:
        found = checks[f"privacy of {table}"]
        assert found["verdict"] == "failed", table
        assert "without signing in" in found["evidence"]
        assert "lora-tui schema" in found["remedy"]
