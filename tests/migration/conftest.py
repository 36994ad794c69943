"""A plain PostgreSQL with the same rows twice: as deployed, and after our migration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.backends.lite import DEPLOYED_SCHEMA, MIGRATION
from tests.backends.postgres import Database, Server, postgres_server

ALICE: Final = "00000000-0000-4000-8000-00000000000a"
BOB: Final = "00000000-0000-4000-8000-00000000000b"
CLOSED: Final = ("datasets", "training_jobs", "model_artifacts")
OPEN: Final = ("metrics_points", "notifications", "cost_records")

_PEOPLE: Final = Path(__file__).with_name("two_people.sql")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with postgres_server() as running:
        yield running


@pytest.fixture(scope="session")
def deployed(server: Server) -> Database:
    """The project as it is deployed. Tests leave it as it is."""
    database = server.create("deployed")
    database.apply(DEPLOYED_SCHEMA)
    database.apply(_PEOPLE, role="supabase_admin")
    return database


@pytest.fixture(scope="session")
def migrated(deployed: Database) -> Database:
    """A copy of it to which our migration was applied twice. Tests leave it as it is."""
    database = deployed.copy("migrated")
    database.apply(MIGRATION)
    database.apply(MIGRATION)
    return database


@pytest.fixture
def ours(migrated: Database) -> Iterator[Database]:
    """A copy that a test may change."""
    database = migrated.copy("ours")
    yield database
    migrated.execute("drop database ours")


@pytest.fixture
def theirs(deployed: Database) -> Iterator[Database]:
    """A copy of the deployed one that a test may change."""
    database = deployed.copy("theirs")
    yield database
    deployed.execute("drop database theirs")


def owners_seen(database: Database, table: str, *, role: str, user: str | None = None) -> set[str]:
    """Whose rows of a table this role sees."""
    if table != "metrics_points":
        rows = database.rows(f"select user_id from public.{table}", role=role, user=user)
        return {row["user_id"] for row in rows}
    jobs = database.rows("select id, user_id from public.training_jobs")  # past every policy
    owners = {job["id"]: job["user_id"] for job in jobs}
    points = database.rows("select job_id from public.metrics_points", role=role, user=user)
    return {owners[point["job_id"]] for point in points}
