"""The filters: every promise that the form makes to the person at the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from lora_tui.app import LoraTuiApp
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.downloaded import put_downloaded
from lora_tui.cache.model_query import ModelQuery
from lora_tui.cache.records import put_datasets
from lora_tui.screens.filters import FilterScreen, parse_days
from lora_tui.screens.models import ModelsScreen
from lora_tui.views.words import query_text
from tests.tui.conftest import Open, screen_text, until
from tests.tui.library import HOSTILE_NAMES, Library, identifier, model_row

SIZE = (80, 24)
Compare = Callable[..., bool]


@pytest.fixture
def app(library: Library, open_app: Open) -> LoraTuiApp:
    """37 models, a day apart; two of them are of another preset and base model, one lies here."""
    library.fill()
    other = {"preset_id": "thorough", "hyperparameters": {"base_model": "Qwen/Qwen2.5-7B"}}
    library.put_models(*(model_row(number, configuration=other) for number in (3, 4)))
    with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
        put_downloaded(db, identifier("model", 2), Path("models"))
    return open_app()


def _made(start: datetime | None, before: datetime | None) -> ModelQuery:
    return ModelQuery(created_from=start, created_before=before)


def title(app: LoraTuiApp) -> str:
    return screen_text(app).splitlines()[0]


_DATE = ("tab",) * 5


@pytest.mark.slow
async def test_the_list_behind_follows_each_choice_at_once_and_its_title_says_it_in_words(
    app: LoraTuiApp,
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        for keys, found, words in (
            (("space", "j", "space", "5"), 8, "excellent, good · 5 stars"),
            (("l", "right", *"radio", "space"), 7, "Radiology Reports"),
            (("tab", "tab", *"QLas", "space"), 8, "SQL Assistant"),
            (("tab", "tab", "tab", "j", "space"), 2, "thorough"),
            ((*["tab"] * 4, *"qwen", "space"), 2, "Qwen/Qwen2.5-7B"),
            ((*_DATE, "down", "space"), 8, "since 2026-11-16"),
            ((*_DATE, *"2026-11-20.."), 4, "since 2026-11-20"),
            (("shift+tab", "space"), 1, "downloaded"),
            (("left", "j", "space"), 36, "not downloaded"),
        ):
            await pilot.press("f", *keys)
            await until(pilot, lambda found=found: f"{found} of 37 models" in screen_text(app))
            assert isinstance(app.screen, FilterScreen)
            await pilot.press("enter")
            assert isinstance(app.screen, ModelsScreen)
            assert f"Models  {words} " in title(app)
            await pilot.press("escape")
            assert "of 37" not in screen_text(app)


@pytest.mark.slow
async def test_each_choice_shows_how_many_models_have_it(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        for counts in (
            {"excellent": 8, "good": 8, "overfit": 7, "fair": 7, "poor": 7},
            {"★★★★★": 8, "★★★★☆ or more": 16, "★☆☆☆☆ or more": 37},
            {"Customer Support Emails": 8, "Radiology Reports": 7},
            {"balanced": 35, "thorough": 2},
            {"meta-llama/Llama-3.1-8B-Instruct": 35, "Qwen/Qwen2.5-7B": 2},
            {"last 24 hours": 1, "last 7 days": 8, "last 30 days": 31, "last year": 37},
            {},  # the condition
            {"downloaded": 1, "not downloaded": 36},
        ):
            await pilot.press("f" if not isinstance(app.screen, FilterScreen) else "tab")
            lines = [line.split("  ") for line in screen_text(app).splitlines()]
            for label, count in counts.items():
                assert any(
                    any(label in part for part in line)
                    and str(count) in [part.strip(" │▄▃") for part in line]
                    for line in lines
                ), f"{label} {count}"


@pytest.mark.slow
async def test_escape_takes_everything_back_that_was_done_in_the_form(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f", "space", "enter", "f", "4", "tab", "tab", *"sql", "space")
        await until(pilot, lambda: " 0 of 37 models" in screen_text(app))
        await pilot.press("escape")
        assert "8 of 37 models" in screen_text(app)
        assert "Models  excellent " in title(app)


async def test_choosing_again_and_delete_show_everything_but_keep_the_search(
    app: LoraTuiApp,
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("slash", *"sql", "enter", "f", "j", "space")
        await until(pilot, lambda: "8 of 37 models" in screen_text(app))
        await pilot.press("space", "k", "space")
        await until(pilot, lambda: " 0 of 37 models" in screen_text(app))
        await pilot.press("shift+tab", "delete")
        await until(pilot, lambda: "8 of 37 models" in screen_text(app))


@pytest.mark.slow
async def test_a_form_opened_again_shows_what_is_chosen(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        days = "2026-11-01..2026-11-10"
        await pilot.press("f", *_DATE, *days, "enter", "f")
        assert "2026-11-01.." in screen_text(app)
        await pilot.press(*_DATE)
        assert days in screen_text(app)
        await pilot.press("space", "enter", "f")
        assert "last 24 hours" in screen_text(app)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-11-01..2026-11-10", "2026-11-01 to 2026-11-10"),
        ("2026-11-20", "2026-11-20"),
        (" 2026-11-20 .. ", "since 2026-11-20"),
        ("..2026-10-19", "until 2026-10-19"),
        ("", ""),
        ("2026-11-10..2026-11-01", None),
        ("2026-11-1x..", None),
        ("2026-11-2", None),
    ],
)
def test_days_are_read_from_one_to_another_both_of_them_too(text: str, words: str | None) -> None:
    days = parse_days(text)
    assert (None if days is None else query_text(_made(*days))) == words


@pytest.mark.slow
async def test_days_that_are_none_change_nothing_and_are_explained(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f", *_DATE, "down", "space")
        for days in ("2026-13-01", "soon.."):
            await pilot.press(*days)
            assert "write 2026-01-31" in screen_text(app)
            await pilot.press("ctrl+u")
            assert "write 2026" not in screen_text(app)


@pytest.mark.slow
async def test_the_mouse_chooses_sections_and_lines(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f")
        await pilot.click("#filter-sections", offset=(3, 2))
        await pilot.click("#filter-choices", offset=(3, 1))
        await until(pilot, lambda: "8 of 37 models" in screen_text(app))
        await pilot.press(*"radio", "space")
        await until(pilot, lambda: "7 of 37 models" in screen_text(app))


@pytest.mark.slow
async def test_hundreds_of_datasets_are_narrowed_by_what_is_typed(
    library: Library, open_app: Open
) -> None:
    library.fill(count=1)
    with closing(open_cache(library.path)) as db, transaction(db, Topic.DATASETS):
        many = [{"id": identifier("many", n), "name": f"Set number {n:03}"} for n in range(400)]
        put_datasets(db, many)
    rows = (model_row(1 + n, dataset_id=identifier("many", n)) for n in range(400))
    library.put_models(*rows, curves=False)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f", "tab", "tab")
        assert "the first 300 of 401; type to narrow" in screen_text(app)
        await pilot.press("down", "pagedown", *"number 39")
        assert "Set number 395" in screen_text(app)
        assert "10 of 401" in screen_text(app)
        await pilot.press("space")
        await until(pilot, lambda: "1 of 401 models" in screen_text(app))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(40, 10), (160, 48)])
async def test_hostile_names_stay_within_their_lines(
    library: Library, open_app: Open, size: tuple[int, int]
) -> None:
    library.fill(count=1)
    with closing(open_cache(library.path)) as db, transaction(db, Topic.DATASETS):
        names = enumerate(HOSTILE_NAMES)
        put_datasets(db, [{"id": identifier("odd", n), "name": name} for n, name in names])
    odd = {"preset_id": HOSTILE_NAMES[0], "hyperparameters": {"base_model": HOSTILE_NAMES[2]}}
    rows = [model_row(9 + n, dataset_id=identifier("odd", n), configuration=odd) for n in range(8)]
    library.put_models(*rows, curves=False)
    app = open_app()
    async with app.run_test(size=size) as pilot:
        await pilot.press("f")
        for _ in range(7):
            await pilot.press("space", "tab")
            text = screen_text(app)
            assert "\x1b" not in text
            assert "\u202e" not in text


class TestPictures:
    """How the form looks. `pytest --snapshot-update` after a change that is meant."""

    @pytest.mark.parametrize("size", [SIZE, (160, 48)], ids=["80x24", "160x48"])
    def test_datasets(self, app: LoraTuiApp, snap_compare: Compare, size: tuple[int, int]) -> None:
        press = ["f", "space", "down", "space", "3", "tab", "tab", *"re", "down", "space"]
        assert snap_compare(app, press=press, terminal_size=size)

    def test_ascii(self, library: Library, open_app: Open, snap_compare: Compare) -> None:
        library.fill()
        press = ["f", "4", "tab", "down", *["tab"] * 4, *"2026-11-3x"]
        assert snap_compare(open_app(ascii_only=True), press=press, terminal_size=SIZE)
