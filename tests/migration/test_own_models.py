"""Our migration on PostgreSQL: a user keeps the own models in order, and changes nothing else."""

from __future__ import annotations

import pytest

from tests.backends.lite import MIGRATION
from tests.backends.postgres import Database, PostgresError
from tests.migration.conftest import ALICE, BOB

DENIED, CHECKED, TOO_LONG = "42501", "23514", "22001"
OPENED = {
    "name": "'renamed'",
    "description": "'what it is for'",
    "status": "'archived'",
    "deployed_at": "now()",
    "deleted_at": "now()",
}
GRANT_ALL = "grant all on all tables in schema public to anon, authenticated"


def forbidden(database: Database) -> dict[str, str]:
    """A new value for each column that a user must not change; `updated_at` is the trigger's."""
    columns = database.rows(
        "select column_name as name from information_schema.columns"
        " where table_schema = 'public' and table_name = 'model_artifacts'"
    )
    names = {row["name"] for row in columns} - OPENED.keys() - {"updated_at"}
    values = {"user_id": f"'{ALICE}'", "version": "'2.0.0'", "created_at": "now()"}
    ids = {"id", "job_id", "dataset_id", "parent_model_id"}
    return {
        name: values.get(name, "gen_random_uuid()" if name in ids else "'[1]'") for name in names
    }


def code_of(database: Database, statement: str, *, role: str = "authenticated") -> str:
    with pytest.raises(PostgresError) as refusal:
        database.execute(statement, role=role, user=BOB)
    return str(refusal.value.code)


def rows(database: Database) -> dict[str, dict[str, object]]:
    """The models by owner."""
    found = database.rows("select * from public.model_artifacts")
    return {row["user_id"]: row for row in found}


def test_an_owner_changes_each_opened_column_of_the_own_rows_alone(ours: Database) -> None:
    before = rows(ours)
    for column, value in OPENED.items():
        change = f"update public.model_artifacts set {column} = {value}"
        assert ours.execute(change, role="authenticated", user=BOB) == "UPDATE 1"
    after = rows(ours)
    assert after[ALICE] == before[ALICE]
    changed = {key for key in after[BOB] if after[BOB][key] != before[BOB][key]}
    assert changed == OPENED.keys() | {"updated_at"}
    undo = "update public.model_artifacts set deleted_at = null, status = 'stored'"
    assert ours.execute(undo, role="authenticated", user=BOB) == "UPDATE 1"
    assert rows(ours)[BOB]["deleted_at"] is None


def test_no_other_column_even_if_all_is_granted_again(ours: Database) -> None:
    before = rows(ours)
    for granted in (False, True):
        for column, value in forbidden(ours).items():
            change = f"update public.model_artifacts set {column} = {value}, name = 'x'"
            assert code_of(ours, change) == DENIED, column
        if not granted:
            assert code_of(ours, "update public.model_artifacts set updated_at = now()") == DENIED
            ours.execute(GRANT_ALL)
    assert rows(ours) == before
    ours.execute(
        "update public.model_artifacts set updated_at = '1970-01-01'", role="authenticated",
        user=BOB,
    )  # fmt: skip
    assert str(rows(ours)[BOB]["updated_at"]) > "2020"


def test_neither_rows_of_others_nor_without_a_session(ours: Database) -> None:
    before = rows(ours)
    others = f"update public.model_artifacts set name = 'taken' where user_id = '{ALICE}'"
    anybody = "update public.model_artifacts set name = 'taken'"
    for granted in (False, True):
        assert ours.execute(others, role="authenticated", user=BOB) == "UPDATE 0"
        assert ours.execute(anybody, role="authenticated") == "UPDATE 0"
        if not granted:
            assert code_of(ours, anybody, role="anon") == DENIED
            ours.execute(GRANT_ALL)
        else:
            assert ours.execute(anybody, role="anon") == "UPDATE 0"
    assert rows(ours) == before


def test_a_view_opens_no_other_column(ours: Database) -> None:
    before = rows(ours)
    ours.execute("create view public.all_models as select * from public.model_artifacts")
    ours.execute("grant all on public.all_models to anon, authenticated")
    for role in ("anon", "authenticated"):
        assert code_of(ours, "update public.all_models set artifacts = '[1]'", role=role) == DENIED
    assert rows(ours) == before


def test_what_was_granted_to_everybody_is_taken_back(theirs: Database) -> None:
    theirs.execute("grant update on public.model_artifacts, public.notifications to public")
    theirs.apply(MIGRATION)
    for change in ("model_artifacts set artifacts", "notifications set metadata"):
        assert code_of(theirs, f"update public.{change} = '[1]'") == DENIED
        assert code_of(theirs, f"update public.{change} = '[1]'", role="anon") == DENIED
    found = theirs.rows(
        "select 1 from information_schema.role_table_grants"
        " where grantee = 'PUBLIC' and privilege_type = 'UPDATE' and table_schema = 'public'"
    )
    assert found == []


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "2999-01-01", "1970-01-01"])
def test_a_deletion_can_be_dated_neither_back_nor_ahead_nor_moved(
    ours: Database, moment: str
) -> None:
    for _ in range(2):
        change = f"update public.model_artifacts set deleted_at = '{moment}'"
        assert ours.execute(change, role="authenticated", user=BOB) == "UPDATE 1"
        (row,) = ours.rows(
            "select abs(extract(epoch from now() - deleted_at)) < 60 as is_now"
            f" from public.model_artifacts where user_id = '{BOB}'"
        )
        assert row["is_now"]


def test_a_row_is_neither_added_nor_removed_nor_given_away(ours: Database) -> None:
    before = rows(ours)
    ours.execute(GRANT_ALL)
    delete = "delete from public.model_artifacts"
    assert ours.execute(delete, role="authenticated", user=BOB) == "DELETE 0"
    give = f"update public.model_artifacts set user_id = '{ALICE}'"
    assert code_of(ours, give) == DENIED
    copy = (
        "insert into public.model_artifacts (user_id, job_id, dataset_id, name, quality_metrics,"
        " training_summary, configuration, artifacts) select user_id, job_id, dataset_id, name,"
        " '{}', '{}', '{}', '{}' from public.model_artifacts"
    )
    assert code_of(ours, copy) == DENIED
    upsert = (
        "insert into public.model_artifacts select * from public.model_artifacts"
        " on conflict (id) do update set artifacts = '[1]'"
    )
    assert code_of(ours, upsert) == DENIED
    assert rows(ours) == before


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("name = ''", CHECKED),
        ("name = '   '", CHECKED),
        ("name = repeat('x', 201)", TOO_LONG),
        ("name = e'two\\nlines'", CHECKED),
        ("name = e'\\x1b[31mred'", CHECKED),
        ("name = e'\\u009b31mred'", CHECKED),
        ("description = repeat('x', 10001)", CHECKED),
        ("status = 'gone'", CHECKED),
        ("status = null", CHECKED),
    ],
)
def test_values_that_are_not_allowed(ours: Database, change: str, code: str) -> None:
    assert code_of(ours, f"update public.model_artifacts set {change}") == code


def test_names_of_any_script_are_allowed_up_to_200_characters(ours: Database) -> None:
    for name in ("x" * 200, "模型 α – “zwei” 🙂"):
        change = f"update public.model_artifacts set name = '{name}'"
        assert ours.execute(change, role="authenticated", user=BOB) == "UPDATE 1"


def test_an_odd_name_of_long_ago_does_not_keep_its_owner_from_archiving(ours: Database) -> None:
    ours.execute("update public.model_artifacts set name = e'a\\nb'", role="service_role")
    change = "update public.model_artifacts set name = name, status = 'archived'"
    assert ours.execute(change, role="authenticated", user=BOB) == "UPDATE 1"


def test_a_deletion_has_the_time_of_the_server(ours: Database) -> None:
    change = "update public.model_artifacts set deleted_at = '1970-01-01'"
    ours.execute(change, role="authenticated", user=BOB)
    assert str(rows(ours)[BOB]["deleted_at"]) > "2020"
    ours.execute(change, role="service_role")
    assert str(rows(ours)[BOB]["deleted_at"]).startswith("1970")


def test_as_deployed_a_change_of_a_model_finds_no_row(theirs: Database) -> None:
    change = "update public.model_artifacts set name = 'renamed'"
    assert theirs.execute(change, role="authenticated", user=BOB) == "UPDATE 0"
    theirs.apply(MIGRATION)
    assert theirs.execute(change, role="authenticated", user=BOB) == "UPDATE 1"
