"""Settings: shown with their source, changed by a key, written, and in force at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lora_tui.app import LoraTuiApp
from lora_tui.config.load import load_preferences
from lora_tui.config.paths import find_paths
from lora_tui.config.shown import Settings
from lora_tui.config.table import Profile
from lora_tui.screens.models import ModelsScreen
from lora_tui.screens.settings import SettingsScreen
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import Library

SIZE = (80, 24)


@pytest.fixture
def settings(home: Path) -> Settings:
    del home
    paths = find_paths()
    profile = Profile("work", paths, "https://p.example", "k")
    return Settings(profile, Path("/home/you/.cache/lora-tui/work.sqlite3"), environment={})


@pytest.fixture
def app(library: Library, open_app: Open, settings: Settings) -> LoraTuiApp:
    library.fill(count=3)
    return open_app(settings=settings)


async def test_enter_changes_a_choice_which_is_written_and_applied_at_once(
    app: LoraTuiApp, settings: Settings
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("comma")
        assert isinstance(app.screen, SettingsScreen)
        assert "automatic" in screen_text(app)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: app.theme == "light")
        assert load_preferences(settings.file, {}).theme == "light"
        await pilot.press("x")
        await until(pilot, lambda: app.theme == "dark")
        await pilot.press("escape")
        assert isinstance(app.screen, ModelsScreen)


@pytest.mark.slow
async def test_a_value_is_typed_and_an_invalid_one_is_refused(
    app: LoraTuiApp, settings: Settings
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("comma", *"jjjj", "enter", *["backspace"] * 4, "5", "enter")
        await until(pilot, lambda: any("from 15" in toast for toast in toasts(app)))
        assert not settings.file.exists()
        await pilot.press("0", "enter")
        await until(pilot, lambda: app.preferences.sync_interval == 50)
        assert "50 s" in screen_text(app)


async def test_the_columns_of_the_list_are_chosen_here_too(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        assert "Converg." in screen_text(app)
        await pilot.press("comma", "j", "j", "enter")
        assert "Convergence" in screen_text(app)
        await pilot.press("j", "space", "enter")
        await until(pilot, lambda: "remembered" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen))
        assert "Converg." not in screen_text(app)
        await pilot.press("comma", "j", "j", "x", "escape")
        await until(pilot, lambda: "Converg." in screen_text(app))


async def test_the_line_for_typing_names_the_setting_and_its_keys(
    app: LoraTuiApp,
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("comma", *"jjjj", "enter")
        line = screen_text(app).splitlines()[-5:]
        assert any("Sync every" in text and "esc cancels" in text for text in line)


async def test_a_fixed_setting_says_why_it_can_not_be_changed(
    library: Library, open_app: Open, settings: Settings
) -> None:
    library.fill(count=3)
    fixed = Settings(settings.profile, Path("c"), environment={"LORA_TUI_ASCII": "1"})
    app = open_app(settings=fixed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("comma", "j", "enter")
        await until(pilot, lambda: any("set by LORA_TUI_ASCII" in toast for toast in toasts(app)))


async def test_the_url_of_a_webhook_is_typed_and_shown_hidden(
    app: LoraTuiApp, settings: Settings
) -> None:
    async with app.run_test(size=(120, 60)) as pilot:
        await pilot.press("comma")
        screen = app.screen
        assert isinstance(screen, SettingsScreen)
        at = next(n for n, line in enumerate(screen._rows) if line.key == "alert_url")
        await pilot.press(*"j" * at, "enter", *"https://hook.example/s3cr3t")
        assert "s3cr3t" not in screen_text(app)
        await pilot.press("enter")
        await until(pilot, lambda: "set, hidden" in screen_text(app))
        assert "s3cr3t" in settings.file.read_text()
        assert settings.file.stat().st_mode & 0o077 == 0
        await pilot.press("enter")
        assert "s3cr3t" not in screen_text(app)
        await pilot.press(*"http://plain.example/s3cr3t", "enter")
        await until(pilot, lambda: any("not encrypted" in toast for toast in toasts(app)))
        await pilot.press("escape", "x")
        await until(pilot, lambda: "set, hidden" not in screen_text(app))
        assert not any("s3cr3t" in toast for toast in toasts(app))


async def test_each_setting_of_alerts_is_shown_and_needs_no_restart(settings: Settings) -> None:
    lines = {line.key: line for line in settings.all()}
    for key in ("alert_url", "alert_format", "alert_command", "alert_sender", "alert_limit"):
        assert lines[key].at_once
        assert lines[key].is_changeable
    assert lines["alert_sender"].choices == ("application", "harvest")
    assert lines["live_interval"].at_once


async def test_a_choice_that_the_file_has_wrong_is_changed_to_the_first(
    app: LoraTuiApp, settings: Settings
) -> None:
    settings.change("alert_sender", "harvest")
    settings.file.write_text(settings.file.read_text().replace("harvest", "nobody"))
    async with app.run_test(size=(120, 60)) as pilot:
        await pilot.press("comma")
        screen = app.screen
        assert isinstance(screen, SettingsScreen)
        at = next(n for n, line in enumerate(screen._rows) if line.key == "alert_sender")
        await pilot.press(*"j" * at, "enter")
        await until(pilot, lambda: 'alert_sender = "application"' in settings.file.read_text())


async def test_t_stores_the_theme(app: LoraTuiApp, settings: Settings) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("T")
        await until(pilot, lambda: load_preferences(settings.file, {}).theme == "light")


@pytest.mark.parametrize("size", [SIZE, (160, 48)], ids=["80x24", "160x48"])
def test_picture(
    library: Library,
    open_app: Open,
    home: Path,
    snap_compare: Callable[..., bool],
    size: tuple[int, int],
) -> None:
    del home
    library.fill(count=3)
    paths = find_paths({"LORA_TUI_HOME": "/nowhere/lora-tui"})
    profile = Profile("work", paths, "https://p.example", "k")
    settings = Settings(profile, Path("/nowhere/lora-tui/cache/work.sqlite3"), environment={})
    assert snap_compare(open_app(settings=settings), press=["comma", "j"], terminal_size=size)


@pytest.mark.slow
async def test_the_palette_lists_each_theme_by_name(app: LoraTuiApp, settings: Settings) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+p", *"theme: high")
        await until(pilot, lambda: "Theme: high-contrast" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: load_preferences(settings.file, {}).theme == "high-contrast")
        assert app.theme == "high-contrast"


async def test_keys_that_do_nothing_on_a_line_are_not_offered(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("comma")
        await until(pilot, lambda: "enter Change" in screen_text(app))
        await pilot.press("G")
        await until(pilot, lambda: "enter Change" not in screen_text(app))
        assert "work.sqlite3" in screen_text(app)


async def test_no_text_is_cut_in_a_narrow_terminal(app: LoraTuiApp, settings: Settings) -> None:
    hints = [line.explanation for line in settings.all()]
    async with app.run_test(size=(60, 60)) as pilot:
        await pilot.press("comma")
        await until(pilot, lambda: "Harvest" in screen_text(app))
        shown = " ".join(screen_text(app).split())
        assert [hint for hint in hints if hint not in shown] == []
