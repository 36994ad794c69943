"""Saved views are kept whole: by several writers at once, and across versions."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lora_tui.cache.condition_tokens import LONGEST
from lora_tui.cache.model_query import ModelQuery, Sort
from lora_tui.errors import NotFoundError, UsageError
from lora_tui.views import saved
from lora_tui.views.query_json import query_data, query_of
from lora_tui.views.saved import (
    SavedView,
    delete_view,
    find_view,
    read_views,
    rename_view,
    save_view,
    without_vanished,
)
from lora_tui.views.words import query_text

QUERY = ModelQuery(
    sort=Sort.COST,
    reverse=True,
    search="radio",
    convergences=frozenset({"good", "fair"}),
    min_stars=3,
    dataset="D",
    preset="p",
    base_model="b",
    created_from=datetime(2026, 11, 1, tzinfo=UTC),
    created_before=datetime(2026, 12, 1, tzinfo=UTC),
    downloaded=False,
    where="rank >= 16",
)


def test_every_part_of_a_query_is_kept() -> None:
    assert all(value != usual for value, usual in zip(QUERY, ModelQuery(), strict=True))
    assert query_of(json.loads(json.dumps(query_data(QUERY)))) == QUERY
    assert query_data(ModelQuery()) == {}


def test_a_long_condition_is_kept_with_its_blanks_and_a_hostile_one_is_neutralised(
    tmp_path: Path,
) -> None:
    where = 'name = "a  b" or ' + " or ".join(f"rank = {n}" for n in range(280))
    query = ModelQuery(where=where.ljust(LONGEST))
    save_view(tmp_path / "views.json", SavedView("long", query))
    assert find_view(tmp_path / "views.json", "long").query == query
    assert query_of({"where": "rank\n>\x1b[31m 8"}).where == "rank >[31m 8"


def test_views_that_would_be_too_large_to_be_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "LARGEST", 500)
    path = tmp_path / "views.json"
    save_view(path, SavedView("first", QUERY))
    with pytest.raises(UsageError, match="would take more than"):
        save_view(path, SavedView("second", QUERY))
    assert [view.name for view in read_views(path).views] == ["first"]


@pytest.mark.parametrize("data", [None, [], "x", {"sort": 3, "min_stars": "a", "created_from": []}])
def test_what_is_no_query_is_the_query_of_everything(data: object) -> None:
    assert query_of(data) == ModelQuery()


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "saved" / "demo.json"

    def write(part: int) -> None:
        for number in range(8):
            save_view(path, SavedView(f"view {part}-{number}", QUERY))

    threads = [threading.Thread(target=write, args=(part,)) for part in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_views(path).views) == 24
    assert [file.name for file in path.parent.iterdir()] == ["demo.json"]


def test_names_ignore_case_and_a_missing_one_says_which_come_near(tmp_path: Path) -> None:
    path = tmp_path / "views.json"
    assert save_view(path, SavedView("Best\x1b[31m")) is False
    assert save_view(path, SavedView("best[31M", QUERY)) is True
    assert find_view(path, "BEST[31m").query == QUERY
    save_view(path, SavedView("other"))
    with pytest.raises(NotFoundError) as missing:
        delete_view(path, "othr")
    assert missing.value.details == "similar: other"
    with pytest.raises(UsageError):
        rename_view(path, "other", "best[31m")
    with pytest.raises(UsageError):
        save_view(path, SavedView(" \x07 "))
    rename_view(path, "other", "Other")
    assert [view.name for view in read_views(path).views] == ["best[31M", "Other"]


def test_what_a_later_version_has_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "views.json"
    path.write_text('{"views": [{"name": "a", "colour": "red"}, {"name": "b"}]}')
    save_view(path, SavedView("b", QUERY))
    assert json.loads(path.read_text())["views"][0] == {"name": "a", "colour": "red"}


@pytest.mark.parametrize("text", ["", "[]", '{"views": [1]}', '{"views": [{}]}', "[" * 99_999])
def test_a_damaged_file_is_kept_aside_by_who_reads_and_by_who_writes(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "views.json"
    path.write_text(text)
    found = read_views(path)
    assert found.kept == tmp_path / "views.json.damaged-1"
    assert found.kept.read_text() == text
    path.write_text(text)
    save_view(path, SavedView("new"))
    assert (tmp_path / "views.json.damaged-2").read_text() == text
    assert [view.name for view in read_views(path).views] == ["new"]


def test_a_vanished_order_is_said_and_the_rest_of_the_view_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "views.json"
    path.write_text('{"views": [{"name": "a", "query": {"sort": "charm", "min_stars": 1}}]}')
    view, notes = without_vanished(find_view(path, "a"))
    assert view == SavedView("a", ModelQuery(min_stars=1))
    assert notes == ["there is no order 'charm' any more: the newest come first"]
    assert query_text(view.query) == "1 star or more"
