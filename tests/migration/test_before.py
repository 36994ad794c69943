"""What the deployed schema shows and allows, on PostgreSQL: the holes that our migration is for.

Where one of these tests fails, the schema was modelled wrongly, or is no longer so open.
"""

from __future__ import annotations

import pytest

from tests.backends.postgres import Database
from tests.migration.conftest import ALICE, BOB, CLOSED, OPEN, owners_seen


@pytest.mark.parametrize("table", CLOSED)
def test_three_tables_show_a_user_nothing_of_others(deployed: Database, table: str) -> None:
    assert owners_seen(deployed, table, role="authenticated", user=BOB) == {BOB}
    assert owners_seen(deployed, table, role="anon") == set()


@pytest.mark.parametrize("table", OPEN)
def test_three_tables_show_everybody_everything(deployed: Database, table: str) -> None:
    assert owners_seen(deployed, table, role="authenticated", user=BOB) == {ALICE, BOB}


@pytest.mark.parametrize("table", OPEN)
def test_they_show_it_even_to_those_who_have_not_signed_in(deployed: Database, table: str) -> None:
    assert owners_seen(deployed, table, role="anon") == {ALICE, BOB}


@pytest.mark.parametrize("table", OPEN)
def test_any_user_deletes_what_is_anothers(theirs: Database, table: str) -> None:
    whose = "id is not null" if table == "metrics_points" else f"user_id = '{ALICE}'"
    done = theirs.execute(
        f"delete from public.{table} where {whose}", role="authenticated", user=BOB
    )
    assert done == f"DELETE {40 if table == 'metrics_points' else 1}"


def test_users_do_not_even_see_their_own_files_in_the_bucket(deployed: Database) -> None:
    names = "select name from storage.objects"
    assert deployed.rows(names, role="authenticated", user=ALICE) == []
    assert len(deployed.rows(names, role="service_role")) == 6
