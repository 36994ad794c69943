"""`config set`: one value changes, everything else in the file stays, and secrets stay private."""

from __future__ import annotations

import io
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lora_tui.commands.config import setting_lines
from tests.conftest import Run

WRITTEN = """\
# my projects, do not lose this
[profiles.default]
url = "https://one.example"   # the first
anon_key = 'literal \\ text'

[profiles."two"]
url = "https://two.example"
anon_key = "b"
"""


@pytest.fixture
def file(home: Path) -> Path:
    home.mkdir()
    path = home / "config.toml"
    path.write_text(WRITTEN)
    path.chmod(0o644)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_machine_is_configured_from_nothing(run: Run, home: Path) -> None:
    assert run("config", "set", "url", "https://project.example").code == 0
    assert run("config", "set", "anon_key", "sb_publishable_x").code == 0
    shown = run("config", "show", "--json").data
    assert shown["url"] == "https://project.example"
    assert shown["downloads"] == str(home / "downloads")
    assert mode(home / "config.toml") == 0o600


def test_comments_order_and_other_profiles_stay(run: Run, file: Path) -> None:
    assert run("config", "set", "url", "https://new.example", "--profile", "two").code == 0
    assert file.read_text() == WRITTEN.replace("https://two.example", "https://new.example")
    assert mode(file) == 0o644
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


def test_a_secret_is_asked_for_and_makes_the_file_private(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('se"cr\\et\n'))
    ran = run("config", "set", "service_key", "-")
    assert ran.code == 0
    assert 'se"cr' not in ran.out + ran.err
    assert tomllib.loads(file.read_text())["profiles"]["default"]["service_key"] == 'se"cr\\et'
    assert mode(file) == 0o600
    assert run("config", "set", "service_key", "").code == 0
    assert file.read_text() == WRITTEN


def test_a_secret_on_the_command_line_is_taken_with_a_warning(run: Run, file: Path) -> None:
    ran = run("config", "set", "password", "planted-here")
    assert ran.code == 0
    assert "list of processes" in ran.err
    assert "planted-here" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nonsense", "x"),
        ("url", "not a url"),
        ("url", "http://far.example"),
        ("gpu_url", "https://user:pw@host"),
        ("allow_private_urls", "maybe"),
        ("limit_rate", "fast"),
        ("email", "two\nlines = 1"),
    ],
)
def test_an_invalid_value_changes_nothing(run: Run, file: Path, key: str, value: str) -> None:
    assert run("config", "set", key, value).code == 2
    assert file.read_text() == WRITTEN


def test_a_value_can_not_write_other_keys(run: Run, file: Path) -> None:
    assert run("config", "set", "email", 'a"\\u0022 ]] # x = "y').code == 0
    profiles = tomllib.loads(file.read_text())["profiles"]
    assert profiles["default"]["email"] == 'a"\\u0022 ]] # x = "y'
    assert set(profiles["default"]) == {"url", "anon_key", "email"}


def test_a_broken_file_is_left_as_it_is(run: Run, file: Path) -> None:
    file.write_text("[profiles.default\npassword = 'planted'")
    ran = run("config", "set", "email", "a@b.example")
    assert ran.code == 2
    assert "planted" not in ran.err
    assert file.read_text() == "[profiles.default\npassword = 'planted'"


def test_a_link_to_the_file_stays_a_link(run: Run, file: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    file.rename(real)
    file.symlink_to(real)
    assert run("config", "set", "email", "a@b.example").code == 0
    assert file.is_symlink()
    assert "a@b.example" in real.read_text()


def test_concurrent_changes_are_all_kept(run: Run, file: Path) -> None:
    names = [f"p{number}" for number in range(6)]
    code = "import sys; from lora_tui.cli.run import main; sys.exit(main(sys.argv[1:]))"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, "config", "set", "email", f"{n}@x", "--profile", n]
        )
        for n in names
    ]
    assert [process.wait(60) for process in running] == [0] * 6
    assert set(run("config", "profiles", "--json").data["profiles"]) == {"default", "two", *names}


def test_only_set_takes_a_key(run: Run, file: Path) -> None:
    assert run("config", "show", "url").code == 2
    assert run("config", "set", "url").code == 2
    assert run("config", "set").code == 2


def test_moved_keys_are_shown_and_a_conflict_is_one_line(run: Run, file: Path) -> None:
    file.write_text(f'{WRITTEN}\n[keys]\napp.sync = "z"\n"models.search" = "f3,ctrl+s"\n')
    shown = run("config", "keys", "--json").data
    assert shown["app.sync"] == "z"
    assert shown["models.search"] == "f3,ctrl+s"
    assert shown["app.help"] == "?"
    assert run("config", "show", "--json").data["keys"] == {
        "app.sync": "z",
        "models.search": "f3,ctrl+s",
    }
    assert "app.sync" in run("config", "show").out
    file.write_text(f'{WRITTEN}\n[keys]\napp.sync = "t"\n')
    refused = run("config", "keys")
    assert refused.code == 2
    assert "gives t to app.sync and to app.transfers" in refused.err
    assert "Traceback" not in refused.err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("[profile.work]\n", "[profile] (do you mean [profiles]?)"),
        ("[Ui]\ntheme = 'dark'\n", "[Ui] (do you mean [ui]?)"),
        ("[colours]\nred = 1\n", "[colours]"),
        ("url = 'https://one.example'\n", "url (it belongs in [profiles.default])"),
        ("theme = 'dark'\n", "theme (it belongs in [ui])"),
        ("anonkey = 'secret'\n", "anonkey (do you mean anon_key in [profiles.default]?)"),
    ],
)
def test_an_unknown_name_in_the_file_is_told_once_with_the_nearest_known_one(
    run: Run, file: Path, extra: str, message: str
) -> None:
    file.write_text(extra + WRITTEN)
    for words in (("config",), ("config", "path"), ("config", "set", "email", "a@b.example")):
        ran = run(*words)
        assert ran.code == 0
        assert [line for line in ran.err.splitlines() if "ignored" in line] == [
            f"The configuration file has an unknown name, which is ignored: {message}."
        ]
        assert "secret" not in ran.err
    checks = run("doctor", "--offline", "--json").data["checks"]
    [found] = [check for check in checks if check["check"] == "config"]
    assert found["verdict"] == "warning"
    assert message in found["evidence"]
    assert str(file) in found["remedy"]


def test_a_file_with_known_names_only_has_no_warning(run: Run, file: Path) -> None:
    file.write_text(f'{WRITTEN}[ui]\ntheme = "dark"\n[keys]\n"app.sync" = "f5"\n')
    assert run("config").err == ""


def test_config_prints_values_as_the_file_has_them(run: Run, file: Path) -> None:
    file.write_text(f"{WRITTEN}[ui]\nsync_interval = 90.5\nbell = false\n")
    assert run("config", "set", "limit_rate", "1.5M").code == 0
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in run("config").out.splitlines()}
    assert lines["bell"] == ["false", "a sound when a download has ended"]
    assert lines["mouse"][0] == "true"
    assert lines["sync_interval"][0] == "90.5"
    assert "seconds" in lines["sync_interval"][1]
    assert lines["limit_rate"][0] == "1.5M"
    assert "bytes per second" in lines["limit_rate"][1]
    assert lines["parallel_downloads"][0] == "3"
    assert lines["theme"][0] == "automatic"
    assert "`" not in run("config").out


@pytest.mark.parametrize(
    ("text", "shown"), [("60", "60"), ("800K", "800K"), ("2G", "2G"), ("1000", "1000")]
)
def test_config_prints_what_config_set_takes(run: Run, file: Path, text: str, shown: str) -> None:
    key = "sync_interval" if text == "60" else "limit_rate"
    assert run("config", "set", key, text).code == 0
    [line] = [line for line in run("config").out.splitlines() if line.startswith(key)]
    assert line.split()[1] == shown


def test_on_a_terminal_the_explanations_wrap_to_its_width() -> None:
    lines = [
        ("downloads", "/a/rather/long/path/for/adapters", "the directory for adapters"),
        ("ascii", "false", "ASCII characters only, for terminals that lack stars"),
        ("app.sync", "f5", ""),
    ]
    shown = list(setting_lines(lines, 80))
    assert max(map(len, shown)) <= 80
    assert " ".join(" ".join(shown).split()) == " ".join(" ".join(one).strip() for one in lines)
    assert len(list(setting_lines(lines, None))) == 3


@pytest.mark.parametrize("name", ["demo", "demo-hostile"])
def test_a_setting_of_the_demo_is_refused(run: Run, home: Path, name: str) -> None:
    ran = run("config", "set", "limit_rate", "5M", "--profile", name)
    assert ran.code == 2
    assert "The demo does not use limit_rate" in ran.err
    assert not (home / "config.toml").exists()


def test_a_project_of_the_user_may_have_the_name_of_the_demo(run: Run, file: Path) -> None:
    file.write_text('[profiles.demo]\nurl = "https://mine.example"\nanon_key = "k"\n')
    assert run("config", "set", "limit_rate", "5M", "--profile", "demo").code == 0
    shown = run("config", "show", "--json", "--profile", "demo").data
    assert shown["url"] == "https://mine.example"


def test_nothing_is_configured_where_the_file_has_only_a_table_of_the_demo(
    run: Run, file: Path
) -> None:
    file.write_text('[profiles.demo]\nlimit_rate = "5M"\n')
    assert "Nothing is configured yet" in run("list").err


def test_an_empty_table_is_removed_with_its_last_key(run: Run, file: Path) -> None:
    file.write_text(WRITTEN + '\n[profiles.demo]\nlimit_rate = "5M"\n')
    assert run("config", "set", "limit_rate", "", "--profile", "demo").code == 0
    assert file.read_text().rstrip() == WRITTEN.rstrip()


def test_a_table_with_a_comment_stays_without_keys(run: Run, file: Path) -> None:
    file.write_text(WRITTEN + "\n[ui]\n# the look\nbell = true\n")
    assert run("config", "set", "bell", "").code == 0
    assert "[ui]\n# the look" in file.read_text()


def test_an_incomplete_configuration_is_shown_with_what_is_missing(run: Run, home: Path) -> None:
    run("config", "set", "url", "https://project.example")
    ran = run("config")
    assert ran.code == 0
    assert "https://project.example" in ran.out
    assert "SUPABASE_ANON_KEY is not set" in ran.err
    doctor = run("doctor", "--offline")
    assert "nothing is configured" not in doctor.out
    assert doctor.out.count("SUPABASE_ANON_KEY is not set") > 1


def test_no_profiles_are_said_on_stderr(run: Run) -> None:
    ran = run("config", "profiles")
    assert (ran.code, ran.out) == (0, "")
    assert "No profiles are configured" in ran.err


@pytest.mark.parametrize("value", ["0", "1000", "many"])
def test_a_number_out_of_range_is_refused_with_the_range(run: Run, value: str) -> None:
    ran = run("config", "set", "parallel_downloads", value)
    assert ran.code == 2
    assert "Set it to a number from 1 to " in ran.err
    assert "config path" not in ran.err
