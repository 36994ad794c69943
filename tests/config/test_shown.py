"""Preferences and shown settings: value, source, and a change that keeps the rest of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_tui.config.load import load_preferences
from lora_tui.config.paths import find_paths
from lora_tui.config.shown import DEFAULT, FILE, Settings
from lora_tui.config.table import Preferences, Profile
from lora_tui.errors import ConfigError

WRITTEN = """\
# mine
[profiles.default]
url = "https://one.example"  # the good one
anon_key = "sb_publishable_x"

[ui]
bell = false  # at night
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(WRITTEN)
    return path


@pytest.fixture
def settings(file: Path) -> Settings:
    return make_settings(file, {})


def make_settings(file: Path, environment: dict[str, str]) -> Settings:
    paths = find_paths({"LORA_TUI_HOME": str(file.parent)}, file)
    profile = Profile("default", paths, "https://one.example", "sb_publishable_x")
    return Settings(profile, file.parent / "cache.sqlite3", environment=environment)


def shown(settings: Settings) -> dict[str, tuple[str, str]]:
    return {setting.key: (setting.value, setting.source) for setting in settings.all()}


def test_without_a_file_the_defaults_are_in_force(tmp_path: Path) -> None:
    assert load_preferences(tmp_path / "none.toml", {}) == Preferences()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[ui]\ntheme = "pink"', "theme of"),
        ('[ui]\nbell = "yes"', "true or false"),
        ("[ui]\nmouse = 1", "true or false"),
        ("[ui]\nsync_interval = 1", "from 15"),
        ("[ui]\nsync_interval = true", "from 15"),
        ("[ui]\ncolour = 1", "not known: colour"),
        ("ui = 1", "must be a table"),
    ],
)
def test_an_invalid_file_is_refused_in_a_sentence(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_preferences(file, {})


def test_each_setting_shows_its_source(file: Path) -> None:
    said = shown(make_settings(file, {"LORA_TUI_ASCII": "1", "LORA_TUI_LIMIT_RATE": "5M"}))
    assert said["ascii"] == ("on", "LORA_TUI_ASCII")
    assert said["limit_rate"] == ("5M/s", "LORA_TUI_LIMIT_RATE")
    assert said["bell"] == ("off", FILE)
    assert said["theme"] == ("automatic", DEFAULT)
    assert shown(make_settings(file, {"NO_COLOR": "1"}))["theme"] == ("mono", "NO_COLOR")


@pytest.mark.parametrize(
    ("key", "value", "then"),
    [
        ("theme", "light", "light"),
        ("ascii", "on", "on"),
        ("bell", "on", "on"),
        ("mouse", "off", "off"),
        ("sync_interval", "120", "120 s"),
        ("downloads", "/data/adapters", "/data/adapters"),
        ("parallel_downloads", "5", "5"),
        ("limit_rate", "800K", "800K/s"),
        ("background_harvest", "on", "on"),
    ],
)
def test_a_change_is_applied_and_leaves_the_rest_of_the_file(
    settings: Settings, file: Path, key: str, value: str, then: str
) -> None:
    settings.change(key, value)
    assert shown(settings)[key] == (then, FILE)
    text = file.read_text()
    assert "# mine" in text
    assert 'url = "https://one.example"  # the good one' in text


def test_an_empty_value_goes_back_to_the_default(settings: Settings) -> None:
    settings.change("limit_rate", "1M")
    settings.change("limit_rate", "")
    assert shown(settings)["limit_rate"] == ("no limit", DEFAULT)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sync_interval", "soon"),
        ("sync_interval", "3"),
        ("parallel_downloads", "0"),
        ("parallel_downloads", "many"),
        ("limit_rate", "fast"),
        ("theme", "pink"),
    ],
)
def test_an_invalid_value_is_refused_and_nothing_is_written(
    settings: Settings, file: Path, key: str, value: str
) -> None:
    with pytest.raises(ConfigError):
        settings.change(key, value)
    assert file.read_text() == WRITTEN


def test_the_demo_shows_its_own_values(file: Path) -> None:
    settings = make_settings(file, {"LORA_TUI_LIMIT_RATE": "5M"})
    demo = settings.profile._replace(name="demo", identity="demo")
    given = Settings(demo, file.parent / "c", environment={"LORA_TUI_LIMIT_RATE": "5M"})
    assert shown(given)["limit_rate"] == ("no limit", DEFAULT)
