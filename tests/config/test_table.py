"""Each row of the table of settings works everywhere: file, environment, `config`, screen, page."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from lora_tui.config.kinds import Choice
from lora_tui.config.load import load_preferences, load_profile
from lora_tui.config.paths import find_paths
from lora_tui.config.setting import PROFILES, Setting
from lora_tui.config.shown import DEFAULT, FILE, Settings
from lora_tui.config.table import (
    KEYS,
    PROFILE_SETTINGS,
    SETTINGS,
    UI_SETTINGS,
    VARIABLES,
    Preferences,
    Profile,
)
from lora_tui.errors import ConfigError
from lora_tui.secret import MASK, Secret
from tests.conftest import Run

IN_FILE = (*PROFILE_SETTINGS, *UI_SETTINGS)
# A text that a user types for each kind, and the value that the program gets.
VALUES: dict[str, tuple[str, object]] = {
    "Url": ("https://other.example/", "https://other.example"),
    "UrlOrOff": ("https://storage.example/", "https://storage.example"),
    "SecretUrl": ("https://hook.example/secret?id=1", "https://hook.example/secret?id=1"),
    "Key": ("sb_another", "sb_another"),
    "Kind": ("ada@example.org", "ada@example.org"),
    "Switch": ("true", True),
    "Directory": ("/data/adapters", Path("/data/adapters")),
    "Amount": ("500M", 500 * 1024**2),
    "Rate": ("800K", 800 * 1024),
    "Choice": ("", ""),  # its second word
    "Number": ("15", 15),
}
REFUSED: dict[str, tuple[str, ...]] = {
    "Url": ("ftp://x", "nonsense"),
    "UrlOrOff": ("ftp://x", "on"),
    "SecretUrl": ("ftp://x", "nonsense", "http://hook.example/"),
    "Key": ("☃", "two\nlines"),
    "Kind": ("two\nlines",),
    "Switch": ("maybe",),
    "Directory": ("a\0b",),
    "Amount": ("much", "0"),
    "Rate": ("fast", "0"),
    "Choice": ("pink",),
    "Number": ("0", "many", "1e99"),
}


def name(setting: Setting) -> str:
    return setting.key or setting.variable


def sample(setting: Setting) -> tuple[str, object]:
    text, value = VALUES[type(setting.kind).__name__]
    if setting.default is True:
        text, value = "false", False
    if isinstance(setting.kind, Choice):
        text = value = setting.kind.words[1]
    return text, Secret(str(value)) if setting.secret else value


def in_force(setting: Setting, environment: dict[str, str]) -> object:
    """The value that the program works with."""
    if setting.table == PROFILES:
        return getattr(load_profile(environment=environment), setting.field)
    path = find_paths(environment).config_file
    return getattr(load_preferences(path, environment), setting.field)


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """A project in the file, and nothing else anywhere."""
    home.mkdir()
    (home / "config.toml").write_text(
        '# mine\n[profiles.default]\nurl = "https://p.example"\nanon_key = "sb_publishable_x"\n'
    )
    return {"LORA_TUI_HOME": str(home)}


def test_each_key_and_each_variable_has_one_row() -> None:
    keys = [setting.key for setting in IN_FILE]
    variables = [setting.variable for setting in SETTINGS if setting.variable]
    assert sorted(set(keys)) == sorted(keys)
    assert sorted(set(variables)) == sorted(variables)
    assert set(KEYS) == set(keys)


def test_every_row_explains_itself() -> None:
    for setting in SETTINGS:
        assert setting.help, name(setting)
        assert bool(setting.label) == bool(setting.hint), name(setting)
        assert setting.table or setting.variable, name(setting)


@pytest.mark.parametrize("setting", IN_FILE, ids=name)
def test_without_a_value_the_default_is_in_force(
    environment: dict[str, str], setting: Setting
) -> None:
    if setting.field in (*Profile._fields[2:4], "downloads_dir"):
        return  # the project is always there, and the directory depends on the system
    assert in_force(setting, environment) == setting.default


@pytest.mark.parametrize("setting", IN_FILE, ids=name)
def test_config_set_writes_the_value_and_removes_it_again(
    environment: dict[str, str], run: Run, home: Path, setting: Setting
) -> None:
    text, value = sample(setting)
    before = (home / "config.toml").read_text()
    assert run("config", "set", setting.key, text).code == 0
    assert in_force(setting, environment) == value
    assert "# mine" in (home / "config.toml").read_text()
    document = tomllib.loads((home / "config.toml").read_text())
    table = document[PROFILES]["default"] if setting.table == PROFILES else document["ui"]
    assert setting.key in table
    if setting.key not in ("url", "anon_key"):
        assert run("config", "set", setting.key, "").code == 0
        assert tomllib.loads((home / "config.toml").read_text()) | {"ui": {}} == (
            tomllib.loads(before) | {"ui": {}}
        )


@pytest.mark.parametrize("setting", IN_FILE, ids=name)
def test_an_unusable_value_is_refused_by_every_way_in(
    environment: dict[str, str], run: Run, home: Path, setting: Setting
) -> None:
    before = (home / "config.toml").read_text()
    for text in REFUSED[type(setting.kind).__name__]:
        ran = run("config", "set", setting.key, text)
        error = ran.err.splitlines()[-1]  # a secret among the arguments is warned of before
        assert (ran.code, error.startswith(f"lora-tui: {setting.key} ")) == (2, True), (text, ran)
        assert (home / "config.toml").read_text() == before
        if setting.variable and text.isprintable():
            with pytest.raises(ConfigError, match=setting.variable):
                in_force(setting, environment | {setting.variable: text})


@pytest.mark.parametrize("setting", IN_FILE, ids=name)
def test_a_wrong_type_in_the_file_is_refused_with_key_and_table(
    environment: dict[str, str], home: Path, setting: Setting
) -> None:
    place = "[profiles.default]" if setting.table == PROFILES else "[ui]"
    document = '[profiles.default]\nurl = "https://p.example"\nanon_key = "k"\n[ui]\n'
    wrong = f"{setting.key} = [1]"
    lines = [
        line
        for line in document.replace(place, f"{place}\n{wrong}").splitlines()
        if line == wrong or not line.startswith(f"{setting.key} ")
    ]
    (home / "config.toml").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=rf"{setting.key} of (profile default|\[ui\])"):
        in_force(setting, environment)


@pytest.mark.parametrize("setting", [s for s in IN_FILE if s.variable], ids=name)
def test_the_environment_goes_before_the_file_and_may_name_a_file(
    environment: dict[str, str], tmp_path: Path, setting: Setting
) -> None:
    text, value = sample(setting)
    assert in_force(setting, environment | {setting.variable: f" {text}\n"}) == value
    file = tmp_path / "value"
    file.write_text(f"{text}\n")
    named = f"{setting.variable}_FILE"
    assert in_force(setting, environment | {named: str(file), setting.variable: " "}) == value
    with pytest.raises(ConfigError, match=f"{named} can't be read"):
        in_force(setting, environment | {named: str(tmp_path / "none")})


@pytest.mark.parametrize("setting", IN_FILE, ids=name)
def test_config_shows_the_value_and_masks_a_secret(
    environment: dict[str, str], run: Run, setting: Setting
) -> None:
    text, value = sample(setting)
    assert run("config", "set", setting.key, text).code == 0
    ran = run("config", "show", "--json")
    expected = str(value) if isinstance(value, Path) else value
    assert ran.data[setting.key] == (MASK if setting.masked else expected)
    if setting.masked:
        assert text not in ran.out


@pytest.mark.parametrize("setting", [s for s in IN_FILE if s.label], ids=name)
def test_the_settings_screen_shows_changes_and_resets_it(
    environment: dict[str, str], home: Path, setting: Setting
) -> None:
    profile = load_profile(environment=environment)
    settings = Settings(profile, home / "cache", environment=environment)

    def line() -> tuple[str, str]:
        return next((x.value, x.source) for x in settings.all() if x.key == setting.key)

    value, source = line()
    assert (bool(value), source) == (True, DEFAULT)
    settings.change(setting.key, sample(setting)[0])
    assert line()[1] == FILE
    settings.change(setting.key, "")
    assert line() == (value, DEFAULT)
    if setting.variable:
        given = environment | {setting.variable: sample(setting)[0]}
        shown = next(
            x
            for x in Settings(profile, home / "cache", environment=given).all()
            if x.key == setting.key
        )
        assert (shown.source, shown.is_changeable) == (setting.variable, False)


def test_fields_without_a_row_are_not_settings() -> None:
    rows = {setting.field for setting in SETTINGS}
    assert set(Profile._fields) - rows == {"name", "paths", "identity", "sources", "servers"}
    assert set(Preferences._fields) - rows == {"keys"}
    assert {setting.variable for setting in VARIABLES} >= {"LORA_TUI_HOME", "NO_COLOR"}
