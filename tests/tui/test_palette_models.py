"""The palette finds models, and what was mistyped."""

from __future__ import annotations

from contextlib import closing

import pytest

from lora_tui.app import LoraTuiApp
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.own_marks import put_marks
from lora_tui.domain.own_marks import AliasMove, Marks, ModelMarks
from lora_tui.screens.job import JobScreen
from lora_tui.screens.model import ModelScreen
from tests.hostile import acting
from tests.tui.conftest import Open, screen_text, until
from tests.tui.library import HOSTILE_NAMES, Library, identifier, model_row

SIZE = (100, 30)


def opened(app: LoraTuiApp) -> str:
    return app.screen.model_id if isinstance(app.screen, ModelScreen) else ""


@pytest.mark.parametrize("taken", [6, 8, 20])
async def test_the_palette_opens_a_model_by_the_start_of_its_id(
    library: Library, open_app: Open, taken: int
) -> None:
    library.fill()
    model = identifier("model", 7)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+p", *model[:taken])
        await until(pilot, lambda: model in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: opened(app) == model)


@pytest.mark.parametrize("typed", ["legal", "legla clause", "Legal Cluase Reveiw", "leegal claus"])
async def test_the_palette_finds_a_model_by_its_name_also_mistyped(
    library: Library, open_app: Open, typed: str
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+p", *typed)
        await until(pilot, lambda: "Model: Legal Clause Review" in screen_text(app))


async def test_the_palette_leads_from_one_model_to_another(
    library: Library, open_app: Open
) -> None:
    library.fill()
    model = identifier("model", 7)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("enter", "ctrl+p", *model[:8])
        await until(pilot, lambda: model in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: opened(app) == model)
        await pilot.press("escape")
        await until(pilot, lambda: not opened(app))


@pytest.mark.parametrize("typed", ["revrese the order", "reverse teh ordre", "reverze"])
async def test_the_palette_forgives_typing_mistakes_in_actions(
    library: Library, open_app: Open, typed: str
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+p", *typed)
        await until(pilot, lambda: "Reverse the order" in screen_text(app))


async def test_the_palette_finds_models_by_their_marks_and_jobs_also_mistyped(
    library: Library, open_app: Open
) -> None:
    library.fill()
    job = {"id": identifier("job", 99), "status": "failed", "preset_id": "conservative"}
    library.put_jobs(job)
    marked = identifier("model", 7)
    note = ModelMarks("x", tags=("candidate",), note="forgets greetings")
    moves = (AliasMove("2026-11-01T00:00:00+00:00", marked),)
    with closing(open_cache(library.path)) as db, transaction(db):
        put_marks(db, Marks({marked: note}, {"production": moves}), "stamp")
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        for typed, found in (
            ("greetings", marked),
            ("canddiate", marked),
            ("production", marked),
            (job["id"][:8], job["id"]),
        ):
            await pilot.press("ctrl+p", *typed)
            await until(pilot, lambda found=found: found in screen_text(app))  # type: ignore[misc]
            await pilot.press("escape")
        library.put_models(model_row(60, name="Prodaction"))
        await pilot.press("ctrl+p", "at", *"prodction")  # an alias: no name is meant
        await until(
            pilot, lambda: marked in (text := screen_text(app)) and "Model: Prod" not in text
        )
        await pilot.press("escape")
        await pilot.press("ctrl+p", *job["id"][:8])
        await until(pilot, lambda: job["id"] in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, JobScreen))


async def test_hostile_names_do_nothing_in_the_palette(library: Library, open_app: Open) -> None:
    library.put_models(*(model_row(n, name=name) for n, name in enumerate(HOSTILE_NAMES)))
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        for typed in ("markup", "emoji", "invoices", "goes on", "break"):
            await pilot.press("ctrl+p", *typed)
            await until(pilot, lambda: "Model:" in screen_text(app))
            assert not acting(screen_text(app).replace("\n", " "))
            await pilot.press("escape")


async def test_a_form_stays_until_it_is_answered(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("s", "ctrl+p", *"legal")
        await until(pilot, lambda: "No matches" in screen_text(app))
