"""Loading the configuration: the order of sources, one-line errors, no secret shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from platformdirs import PlatformDirs

from lora_tui.config.load import load_preferences, load_profile
from lora_tui.config.paths import find_paths
from lora_tui.errors import ConfigError, ExitCode

KEYS = {"SUPABASE_URL": "https://project.example", "SUPABASE_ANON_KEY": "sb_publishable_x"}


def write(home: Path, text: str) -> dict[str, str]:
    (home / "config.toml").write_text(text)
    return {"LORA_TUI_HOME": str(home)}


def test_the_environment_alone_is_enough(tmp_path: Path) -> None:
    profile = load_profile(environment={**KEYS, "LORA_TUI_HOME": str(tmp_path)})
    assert (profile.name, profile.url) == ("default", "https://project.example")


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    text = '[profiles.default]\nurl = "https://file.example"\nanon_key = "k"\n'
    environment = write(tmp_path, text)
    assert load_profile(environment=environment).url == "https://file.example"
    environment["SUPABASE_URL"] = "https://env.example"
    assert load_profile(environment=environment).url == "https://env.example"


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "service"
    secret.write_text("sb_secret_abc\n")
    environment = {**KEYS, "LORA_TUI_HOME": str(tmp_path)}
    environment["SUPABASE_SERVICE_ROLE_KEY_FILE"] = str(secret)
    profile = load_profile(environment=environment)
    assert profile.service_key is not None
    assert profile.service_key.reveal() == "sb_secret_abc"
    assert "sb_secret_abc" not in repr(profile)


@pytest.mark.parametrize(
    "text",
    [
        "not toml at all",
        "profiles = 3",
        '[profiles.default]\nurl = "https://x.example"\nanon_key = "k"\ncolour = 1',
        '[profiles.default]\nurl = "ftp://x"\nanon_key = "k"',
        '[profiles.default]\nurl = "http://elsewhere.example"\nanon_key = "k"',
        '[profiles.default]\nurl = "https://u:p@x.example"\nanon_key = "k"',
        '[profiles.default]\nurl = "https://x.example"',
        '[profiles.default]\nurl = 3\nanon_key = "k"',
    ],
)
def test_a_wrong_file_is_a_usage_error_with_a_remedy(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_profile(environment=write(tmp_path, text))
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.remedy


def test_an_unknown_profile_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no profile named work"):
        load_profile(name="work", environment={"LORA_TUI_HOME": str(tmp_path)})


@pytest.mark.parametrize("key", ["sb_publishable_YOUR_KEY", "sb_publishable_…"])
def test_a_key_pasted_from_the_documentation_is_named_as_such(tmp_path: Path, key: str) -> None:
    environment = {**KEYS, "LORA_TUI_HOME": str(tmp_path), "SUPABASE_ANON_KEY": key}
    with pytest.raises(ConfigError, match="SUPABASE_ANON_KEY is the placeholder") as refused:
        load_profile(environment=environment)
    assert "API settings" in (refused.value.remedy or "")


def test_the_caches_of_two_users_and_two_projects_are_four_files(tmp_path: Path) -> None:
    home = {"LORA_TUI_HOME": str(tmp_path)}
    paths = {
        load_profile(environment={**KEYS, **home, "SUPABASE_URL": url}).cache_path(user)
        for url in ("https://one.example", "https://two.example")
        for user in ("alice", "bob")
    }
    assert len(paths) == 4


@pytest.mark.parametrize("value", ["1", "true", "True", "YES", "on"])
def test_private_addresses_are_allowed_by_any_usual_word(tmp_path: Path, value: str) -> None:
    environment = {**KEYS, "LORA_TUI_HOME": str(tmp_path), "LORA_TUI_ALLOW_PRIVATE_URLS": value}
    assert load_profile(environment=environment).allow_private_urls
    assert load_preferences(tmp_path / "none", {"LORA_TUI_ASCII": value}).ascii_only


@pytest.mark.parametrize("value", ["0", "false", "No", "off", ""])
def test_a_switch_of_the_environment_can_be_off(tmp_path: Path, value: str) -> None:
    environment = {**KEYS, "LORA_TUI_HOME": str(tmp_path), "LORA_TUI_ALLOW_PRIVATE_URLS": value}
    assert not load_profile(environment=environment).allow_private_urls


def test_any_other_word_for_a_switch_is_a_usage_error(tmp_path: Path) -> None:
    environment = {**KEYS, "LORA_TUI_HOME": str(tmp_path), "LORA_TUI_ALLOW_PRIVATE_URLS": "maybe"}
    with pytest.raises(ConfigError, match="LORA_TUI_ALLOW_PRIVATE_URLS"):
        load_profile(environment=environment)
    with pytest.raises(ConfigError, match="LORA_TUI_ASCII"):
        load_preferences(tmp_path / "none", {"LORA_TUI_ASCII": "maybe"})


@pytest.mark.parametrize("base", ["", "~/x", "x", "/somewhere"])
def test_directories_are_those_of_platformdirs(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LORA_TUI_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, base)
    directories = PlatformDirs("lora-tui", appauthor=False)
    assert find_paths() == (
        directories.user_config_path / "config.toml",
        directories.user_cache_path,
        directories.user_state_path,
        None,
        directories.user_data_path,
    )
