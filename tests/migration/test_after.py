"""Our migration on PostgreSQL, applied twice: the holes are closed, nothing else is different."""

from __future__ import annotations

import re

import pytest

from tests.backends.lite import MIGRATION
from tests.backends.postgres import Database, PostgresError
from tests.migration.conftest import ALICE, BOB, CLOSED, OPEN, owners_seen

TABLES = (*CLOSED, *OPEN)
USERS = ("anon", "authenticated")
CHANGES = {
    "datasets": "name = 'taken'",
    "training_jobs": "current_stage = 'taken'",
    "model_artifacts": "name = 'taken'",
    "metrics_points": "epoch = 99",
    "notifications": "read = true",
    "cost_records": "billing_period = 'taken'",
}
PAGES = {
    "datasets": ("user_id", "updated_at"),
    "training_jobs": ("user_id", "updated_at"),
    "model_artifacts": ("user_id", "updated_at"),
    "metrics_points": ("job_id", "timestamp"),
    "notifications": ("user_id", "created_at"),
}
COLUMNS = (
    "select table_name, column_name, data_type, is_nullable, column_default"
    " from information_schema.columns where table_schema in ('public', 'storage', 'auth')"
    " and table_name not like 'harvest\\_%' order by 1, 2"
)
INVALID, DENIED = "22023", "42501"
_PRIVILEGE = re.compile(r"GRANT |REVOKE |-- ")


def refused(database: Database, statement: str, *, role: str, user: str | None = None) -> str:
    """The SQLSTATE with which a statement is refused."""
    with pytest.raises(PostgresError) as refusal:
        database.execute(statement, role=role, user=user)
    return str(refusal.value.code)


def outcome(database: Database, statement: str, *, role: str, user: str) -> str:
    """How many rows it touched, or the SQLSTATE with which it is refused."""
    try:
        return database.execute(statement, role=role, user=user).split()[-1] + " rows"
    except PostgresError as refusal:
        return str(refusal.code)


def contents(database: Database) -> dict[str, list[object]]:
    """All rows of all tables."""
    tables = [*(f"public.{table}" for table in TABLES), "storage.objects", "storage.buckets"]
    parts = [f'(select json_agg(t order by id) from {t} as t) as "{t}"' for t in tables]
    [everything] = database.rows(f"select {', '.join(parts)}")
    return dict(everything)


class TestItself:
    def test_it_changes_no_column_and_no_row(self, deployed: Database, migrated: Database) -> None:
        assert migrated.rows(COLUMNS) == deployed.rows(COLUMNS)
        assert contents(migrated) == contents(deployed)
        assert all(contents(migrated).values())

    def test_applied_again_it_defines_the_same(self, ours: Database) -> None:
        once = ours.schema()
        assert 'CREATE POLICY "lora_tui: select own models"' in once
        ours.apply(MIGRATION)
        assert ours.schema() == once

    def test_it_takes_nothing_away_that_was_defined_before(
        self, deployed: Database, migrated: Database
    ) -> None:
        # Privileges are what it narrows, and the tests below say how.
        before, after = (
            {line for line in database.schema().splitlines() if not _PRIVILEGE.match(line)}
            for database in (deployed, migrated)
        )
        assert before - after == set()

    def test_a_failure_midway_leaves_nothing_behind(self, theirs: Database) -> None:
        before = theirs.schema()
        theirs.execute("create view public.harvest_leases as select 1 as job_id", role="postgres")
        with pytest.raises(PostgresError):
            theirs.apply(MIGRATION)
        theirs.execute("drop view public.harvest_leases", role="postgres")
        assert theirs.schema() == before


class TestReading:
    @pytest.mark.parametrize("table", TABLES)
    @pytest.mark.parametrize("user", [ALICE, BOB], ids=["alice", "bob"])
    def test_a_user_sees_the_own_rows_and_no_others(
        self, migrated: Database, table: str, user: str
    ) -> None:
        assert owners_seen(migrated, table, role="authenticated", user=user) == {user}

    @pytest.mark.parametrize("table", TABLES)
    def test_without_a_session_no_row_is_visible(self, migrated: Database, table: str) -> None:
        assert owners_seen(migrated, table, role="anon") == set()
        assert owners_seen(migrated, table, role="authenticated") == set()

    @pytest.mark.parametrize("table", TABLES)
    def test_the_service_role_sees_what_it_saw(self, migrated: Database, table: str) -> None:
        assert owners_seen(migrated, table, role="service_role") == {ALICE, BOB}

    @pytest.mark.parametrize("user", [ALICE, BOB], ids=["alice", "bob"])
    def test_a_user_sees_the_files_of_the_own_folder_of_the_bucket_alone(
        self, migrated: Database, user: str
    ) -> None:
        seen = migrated.rows(
            "select bucket_id, name from storage.objects", role="authenticated", user=user
        )
        assert seen == [{"bucket_id": "lora-models", "name": f"{user}/m/adapter.safetensors"}]

    def test_who_has_not_signed_in_sees_no_file(self, migrated: Database) -> None:
        assert migrated.rows("select name from storage.objects", role="anon") == []


class TestWriting:
    @pytest.mark.parametrize("role", USERS)
    def test_nobody_changes_or_deletes_rows_of_another_user(
        self, ours: Database, role: str
    ) -> None:
        before = contents(ours)
        for table in TABLES:
            whose = f"user_id = '{ALICE}'" if table != "metrics_points" else "true"
            for statement in (
                f"update public.{table} set {CHANGES[table]} where {whose}",
                f"delete from public.{table} where {whose}",
            ):
                done = outcome(ours, statement, role=role, user=BOB)
                assert done in ("0 rows", DENIED), statement
        assert contents(ours) == before

    @pytest.mark.parametrize("role", USERS)
    def test_nobody_empties_a_table(self, ours: Database, role: str) -> None:
        for table in OPEN:
            assert refused(ours, f"truncate public.{table}", role=role, user=BOB) == DENIED

    def test_users_can_not_add_rows_not_even_their_own(self, ours: Database) -> None:
        for table in OPEN:
            [found] = ours.rows(
                "select string_agg(column_name, ', ') as names from information_schema.columns"
                f" where table_name = '{table}' and column_name <> 'id'"
            )
            columns = found["names"]
            copy = f"insert into public.{table} ({columns}) select {columns} from public.{table}"
            assert refused(ours, copy, role="authenticated", user=BOB) == DENIED, table

    def test_a_user_marks_the_own_notification_as_read_and_no_others(self, ours: Database) -> None:
        mark = "update public.notifications set read = true"
        assert ours.execute(mark, role="authenticated", user=BOB) == "UPDATE 1"
        rows = ours.rows("select user_id, read from public.notifications order by user_id")
        assert [row["read"] for row in rows] == [False, True]

    @pytest.mark.parametrize(
        "change", ["title = 'x'", "message = 'x'", "metadata = '[1]'", f"user_id = '{ALICE}'"]
    )
    def test_a_user_changes_nothing_else_of_it_even_if_all_is_granted_again(
        self, ours: Database, change: str
    ) -> None:
        statement = f"update public.notifications set {change}, read = true"
        assert refused(ours, statement, role="authenticated", user=BOB) == DENIED
        ours.execute("grant all on all tables in schema public to anon, authenticated")
        assert refused(ours, statement, role="authenticated", user=BOB) == DENIED

    def test_the_service_role_changes_all_of_it(self, ours: Database) -> None:
        change = "update public.notifications set title = 'corrected', read = true"
        assert ours.execute(change, role="service_role") == "UPDATE 2"

    @pytest.mark.parametrize(
        "statement", ["update storage.objects set name = 'x'", "delete from storage.objects"]
    )
    def test_a_user_changes_and_deletes_no_file(self, ours: Database, statement: str) -> None:
        assert ours.execute(statement, role="authenticated", user=ALICE).endswith(" 0")

    def test_a_user_adds_no_file(self, ours: Database) -> None:
        add = f"insert into storage.objects (bucket_id, name) values ('lora-models', '{ALICE}/x')"
        assert refused(ours, add, role="authenticated", user=ALICE) == DENIED


class TestLease:
    def ask(self, database: Database, call: str, holder: str, seconds: int | None = None) -> str:
        arguments = f"'{self.job(database)}', '{holder}'" + (
            f", {seconds}" if seconds is not None else ""
        )
        return database.execute(
            f"select public.{call}_harvest_lease({arguments})", role="service_role"
        )

    def job(self, database: Database) -> str:
        jobs = database.rows("select id from public.training_jobs order by id limit 1")
        return str(jobs[0]["id"])

    def test_one_of_two_gets_it_keeps_it_and_gives_it_back(self, ours: Database) -> None:
        assert self.ask(ours, "claim", "one", 60) == "t"
        assert self.ask(ours, "claim", "two", 60) == "f"
        assert self.ask(ours, "renew", "one", 60) == "t"
        assert self.ask(ours, "renew", "two", 60) == "f"
        assert self.ask(ours, "release", "two") == "f"
        assert self.ask(ours, "release", "one") == "t"
        assert self.ask(ours, "claim", "two", 60) == "t"

    def test_one_that_ran_out_is_anybodys(self, ours: Database) -> None:
        assert self.ask(ours, "claim", "one", 60) == "t"
        ours.execute("update public.harvest_leases set expires_at = now() - interval '1 second'")
        assert self.ask(ours, "renew", "one", 60) == "f"
        assert self.ask(ours, "claim", "two", 60) == "t"

    @pytest.mark.parametrize("seconds", [0, -1, 86401])
    def test_it_lasts_a_day_at_most(self, ours: Database, seconds: int) -> None:
        with pytest.raises(PostgresError) as refusal:
            self.ask(ours, "claim", "one", seconds)
        assert refusal.value.code == INVALID

    @pytest.mark.parametrize("role", USERS)
    def test_users_neither_see_nor_take_one(self, migrated: Database, role: str) -> None:
        job = self.job(migrated)
        for statement in (
            "select * from public.harvest_leases",
            f"insert into public.harvest_leases values ('{job}', 'x', now())",
            f"select public.claim_harvest_lease('{job}', 'x', 60)",
            f"select public.renew_harvest_lease('{job}', 'x', 60)",
            f"select public.release_harvest_lease('{job}', 'x')",
        ):
            assert refused(migrated, statement, role=role, user=ALICE) == DENIED


@pytest.mark.parametrize("table", PAGES)
def test_a_page_of_the_sync_is_one_range_of_an_index(migrated: Database, table: str) -> None:
    owner, stamp = PAGES[table]
    plan = migrated.execute(
        "set enable_seqscan = off; set enable_bitmapscan = off;"
        f" explain select * from public.{table} where {owner} = '{ALICE}'"
        f" and ({stamp}, id) > (timestamptz '2026-01-01', '{ALICE}')"
        f" order by {stamp}, id limit 1000"
    )
    assert f"lora_tui_{table}_page" in plan
    assert "Sort" not in plan


@pytest.mark.parametrize("table", PAGES)
def test_the_newest_rows_of_the_sync_are_the_end_of_that_range(
    migrated: Database, table: str
) -> None:
    owner, stamp = PAGES[table]
    plan = migrated.execute(
        "set enable_seqscan = off; set enable_bitmapscan = off;"
        f" explain select id, {stamp} from public.{table} where {owner} = '{ALICE}'"
        f" order by {stamp} desc, id desc limit 25"
    )
    assert f"Backward using lora_tui_{table}_page" in plan
    assert "Sort" not in plan
