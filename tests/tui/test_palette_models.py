"""The palette finds models, and what was mistyped."""

from __future__ import annotations

import pytest

from lora_tui.app import LoraTuiApp
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
