"""One word for one thing on the command line, and help that can be typed as it stands."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from lora_tui.cli.call import COMMON_DEFAULTS, application_call
from lora_tui.cli.grammar import build_parser, parse
from lora_tui.config.table import PROFILE_SETTINGS, UI_SETTINGS
from lora_tui.errors import missing_extra
from tests.conftest import Run


@pytest.mark.parametrize("word", ["rating", "stars"])
def test_the_rating_is_an_order_by_each_of_its_names(
    configured: object, run: Run, word: str
) -> None:
    assert run("sync").code == 0
    expected = run("list", "--sort", "quality").out
    assert run("list", "--sort", word).out == expected
    assert expected.split()[:3] == ["ID", "RATING", "CONVERGENCE"]
    model = expected.splitlines()[1].split()[0]
    labels = [line.split("  ")[0] for line in run("show", model).out.splitlines()]
    assert {"Rating", "Convergence"} <= {*labels}
    assert "Quality" not in labels


def test_the_convergence_is_a_filter_by_its_name_too() -> None:
    assert parse(["list", "--convergence", "good"]).quality == "good"
    assert parse(["list", "--quality", "good"]).quality == "good"


def test_a_wrong_convergence_is_named_with_those_there_are(configured: object, run: Run) -> None:
    assert run("sync").code == 0
    ran = run("list", "--quality", "great")
    assert (ran.code, ran.out) == (2, "")
    assert "There is no convergence 'great'. Choose from excellent, good," in ran.err


def test_the_list_says_when_it_was_synced(configured: object, run: Run) -> None:
    assert run("sync").code == 0
    assert run("list").err.strip() == "1–6 of 6 models, synced just now"


def test_the_help_of_harvest_has_the_options_of_every_command_and_examples(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parse(["harvest", "--help"])
    helped = capsys.readouterr().out
    for text in ("--profile NAME", "--json", "lora-tui harvest status", "lora-tui --harvest"):
        assert text in helped
    assert parse(["harvest", "--json", "status"]).json
    assert "lora-tui --harvest --once" in build_parser().format_help()


def test_a_missing_extra_names_the_command_that_installs_it() -> None:
    error = missing_extra("The web mode", "textual_serve", "web")
    assert "pip install '.[web]'" in str(error.remedy)
    assert "pipx install --force '.[web]'" in str(error.remedy)


@pytest.mark.parametrize("setting", [*PROFILE_SETTINGS, *UI_SETTINGS], ids=lambda s: s.key)
def test_the_hint_of_a_setting_fits_beside_its_value(setting: object) -> None:
    hint = getattr(setting, "hint", "")
    assert len(hint) <= 56, hint


@pytest.mark.parametrize(
    "line",
    [
        "config path url",
        "inspect ./none",
        "verify ./none",
        "--profile none whoami",
        "--config none.toml whoami",
        "compare 3f2a9c1e",
        "harvest retry",
    ],
)
def test_each_error_says_what_to_do(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(home.parent)
    home.mkdir()
    (home / "config.toml").write_text(
        '[profiles.default]\nurl = "https://one.example"\nanon_key = "k"\n'
    )
    ran = run(*line.split(), "--json")
    assert ran.code in (2, 3)
    details = json.loads(ran.out)["details"]
    assert details.endswith(".")
    assert any(word in details for word in ("`lora-tui ", "Leave out", "Check", "Name "))


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [one for inner in action.choices.values() for one in parsers(inner)]
    return found


def test_every_help_fits_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for parser in parsers(build_parser()):
        for line in parser.format_help().splitlines():
            assert len(line) <= 80, line


def test_a_start_without_words_is_what_the_parser_makes_of_no_words() -> None:
    group = next(
        group for group in build_parser()._action_groups if group.title == "for every command"
    )
    assert [action.dest for action in group._group_actions] == [*COMMON_DEFAULTS]
    assert vars(application_call()) == vars(parse([]))
