"""A row may hold anything: no output acts on the terminal."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
from contextlib import closing
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from lora_tui.account.sessions import cache_owner
from lora_tui.app import LoraTuiApp
from lora_tui.cache import metadata
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.models import put_models
from lora_tui.config.load import load_profile
from lora_tui.json_values import identifier
from tests.conftest import Run
from tests.fuzz.conftest import examples
from tests.fuzz.test_answers import ESCAPES
from tests.fuzz.values import odd_row, wrong
from tests.tui.library import USER, FakeWriters, Library, model_row, notice_row

_TEXTS: Final = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        (
            "\x1b]0;owned\x07\x1b[2J",
            "\x9b31m\x90q\x9c",
            "\u202egnp.exe\u2066\u200b\u200d",
            "[red]x[/] [@click=app.quit]q[/] [/unclosed",
            "a" * 100_000,
            "e" + "\u0301" * 3_000,
            "\ud7ff\ufffe\uffff",
            "=cmd|' /C calc'!A0",
            "\r\nname: forged\t|",
        )
    ),
)
_values: Final = st.one_of(_TEXTS, wrong)
_COLUMNS: Final = tuple(column for column in model_row(0) if column not in ("id", "user_id"))
_PARTS: Final = ("quality_metrics", "training_summary", "configuration", "artifacts")


@st.composite
def models(draw: st.DrawFn) -> dict[str, Any]:
    """A model of which some columns, or some values inside of one, are anything at all."""
    row = model_row(draw(st.integers(0, 9)))
    for column in draw(st.lists(st.sampled_from(_COLUMNS), max_size=5)):
        row[column] = draw(_values)
    for column in draw(st.lists(st.sampled_from(_PARTS), max_size=2)):
        if isinstance(row[column], dict):
            keys = st.sampled_from(sorted(row[column])) if row[column] else st.text(max_size=5)
            row[column] = row[column] | {draw(keys | st.text(max_size=20)): draw(_values)}
    row["name"] = draw(_values)
    return row


def harmless(text: str) -> bool:
    """Whether no character but the line break acts on a terminal."""
    return not any(character in text for character in ESCAPES)


def _has_id(row: Any) -> bool:
    return isinstance(row, dict) and bool(identifier(row.get("id")))


@given(rows=st.lists(models(), min_size=1, max_size=4, unique_by=lambda row: row["id"]))
@examples(20)
def test_the_command_line_shows_any_row_harmlessly(
    rows: list[dict[str, Any]], run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORA_TUI_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
        patch.setenv("SUPABASE_ANON_KEY", "anon")
        patch.setenv("LORA_TUI_ACCESS_TOKEN", _token(USER))
        _fill(rows)
        first = rows[0]["id"]
        for words in (
            ("list",),
            ("list", "--sort", "name", "--reverse"),
            ("show", first),
            ("serve-config", first, "--for", "vllm"),
        ):
            ran = run("--offline", *words)
            assert "Something unexpected" not in ran.err, ran.err
            assert harmless(ran.out + ran.err), words
        listed = run("--offline", "list", "--json")
        assert len(json.loads(listed.out)["data"]["models"]) == len(rows)
        shown = run("--offline", "show", first, "--json")
        assert json.loads(shown.out)["data"]["id"] == first
        table = list(csv.reader(io.StringIO(run("--offline", "list", "--csv").out)))
        assert len(table) == len(rows) + 1
        assert not any(cell.startswith(("=", "+", "@")) for line in table for cell in line)


@given(
    rows=st.lists(models(), min_size=1, max_size=6, unique_by=lambda row: row["id"]),
    jobs=st.lists(odd_row("training_jobs").filter(_has_id), max_size=3),
    notices=st.lists(odd_row("notifications").filter(_has_id), max_size=3),
)
@examples(4)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_screens_show_any_row_harmlessly(
    rows: list[dict[str, Any]],
    jobs: list[dict[str, Any]],
    notices: list[dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    library = Library(tmp_path_factory.mktemp("cache") / "cache.sqlite3")
    library.put_models(*rows, curves=False)
    library.put_jobs(*jobs)
    library.put_notices(notice_row(0, title=rows[0]["name"], message=rows[-1]["name"]), *notices)

    async def walk() -> None:
        app = LoraTuiApp(library.path, FakeWriters(), profile="demo", sync_on_start=False)
        app.animation_level = "none"
        async with app.run_test(size=(120, 40)) as pilot:
            for key in (
                "down",
                "enter",
                "escape",
                "n",
                "escape",
                "t",
                "escape",
                "f",
                "escape",
                "h",
                "escape",
            ):
                await pilot.press(key)
                await pilot.pause()
                assert all(harmless(line) for line in _lines(pilot))

    asyncio.run(walk())


def _fill(rows: list[dict[str, Any]]) -> None:
    profile = load_profile()
    owner = cache_owner(profile, USER)
    with closing(open_cache(profile.cache_path(USER), owner)) as db, transaction(db):
        metadata.claim(db, owner)
        put_models(db, rows)


def _token(user_id: str) -> str:
    claims = json.dumps({"sub": user_id, "exp": 4_000_000_000}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.x"


def _lines(pilot: Pilot[None]) -> list[str]:
    screen = pilot.app.screen
    return [
        "".join(segment.text for segment in strip) for strip in screen._compositor.render_strips()
    ]
