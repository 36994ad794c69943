"""Rows whose id is not a UUID can't be queried by id; all others are read."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from lora_tui.sandbox import Sandbox
from tests.conftest import Run
from tests.front import Front


def with_odd_ids(table: str, changed: Callable[[int, int], bool]) -> Callable[[str, bytes], bytes]:
    """Gives rows of one table another id, chosen by their place in the answer and its length."""

    def rewrite(path: str, body: bytes) -> bytes:
        if not path.startswith(f"/rest/v1/{table}?"):
            return body
        try:
            rows = json.loads(body)
        except ValueError:
            return body
        if isinstance(rows, list):
            for place, row in enumerate(rows):
                if changed(place, len(rows)):
                    row["id"] = f"zz-odd-{place}"
        return json.dumps(rows).encode()

    return rewrite


@pytest.mark.slow
@pytest.mark.parametrize("which", ["first", "last", "all"])
def test_a_row_whose_id_is_not_a_uuid_does_not_stop_its_table(
    which: str, configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: dict[str, Callable[[int, int], bool]] = {
        "first": lambda place, _: place == 0,
        "last": lambda place, length: place == length - 1,
        "all": lambda _place, _length: True,
    }
    for table in ("datasets", "notifications") if which == "last" else ("notifications",):
        with Front(configured.url, rewrite=with_odd_ids(table, chosen[which])) as front:
            monkeypatch.setenv("SUPABASE_URL", front.url)
            configured.forget_requests()
            for _ in range(2):
                ran = run("sync")
                assert ran.code == 0, (table, ran.err)
            assert not [r for r in configured.requests() if "zz-odd" in str(r["query"])]
            assert run("list", "--json").data["models"]


def test_the_list_shows_the_age_of_the_models_if_another_table_can_not_be_read(
    configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Front(configured.url) as front:
        monkeypatch.setenv("SUPABASE_URL", front.url)
        front.say("/rest/v1/notifications", 404, {"code": "PGRST205", "message": "no table"})
        assert run("sync").code != 0
        for command in (["list"], ["list", "--quality", "excellent,good,fair,poor"]):
            assert " models, synced " in run(*command).err
