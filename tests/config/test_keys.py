"""Keys can be moved by the configuration; wrong entries are refused in one line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import pytest
from textual.binding import Binding

import lora_tui.screens
import lora_tui.widgets
from lora_tui.config.keys import DEFAULT_KEYS, PLACES, actions_in, keymap_of
from lora_tui.errors import ConfigError, ExitCode


def keymap(text: str) -> dict[str, str]:
    return keymap_of(tomllib.loads(f"[keys]\n{text}"))


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ('app.sync = "z"', {"app.sync": "z"}),
        ('"app.sync" = "z"', {"app.sync": "z"}),
        ('models.search = "f3, ctrl+s"', {"models.search": "f3,ctrl+s"}),
        ('app.settings = "F2"', {"app.settings": "f2"}),
        ('app.help = "%"', {"app.help": "percent_sign"}),
        (
            'app.help = ","\napp.settings = "?"',
            {"app.help": "comma", "app.settings": "question_mark"},
        ),
        ('app.sync = "+"', None),
        ('harvest.start = "B"', {"harvest.start": "B"}),
        ('app.sync = "ctrl+shift+s"', {"app.sync": "ctrl+shift+s"}),
    ],
)
def test_a_key_can_be_written_in_every_usual_way(text: str, moved: dict[str, str] | None) -> None:
    if moved is None:
        with pytest.raises(ConfigError, match=r"gives \+ to app.sync and to chart.zoom_in"):
            keymap(text)
    else:
        assert keymap(text) == moved


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('app.snyc = "z"', "app.snyc"),
        ('app.sync = "hyperdrive"', "app.sync in .* unknown key: hyperdrive"),
        ('app.sync = "ctl+z"', "ctl"),
        ('app.sync = "z,"', "nothing"),
        ("app.sync = 5", "app.sync"),
        ('app.sync = ""', "app.sync"),
        ('app.sync = "\\u001b"', "app.sync"),
        ('app.sync = "ctrl+q"', "always quits"),
        ('search.keep = "k"', "needed for typing text"),
        ('app.sync = "t"', "gives t to app.sync and to app.transfers"),
        ('models.sort = "h"', "gives h to app.harvest and to models.sort"),
        ('app.sync = "space"', "space to app.sync and to models.mark"),
        ('confirm.no = "y"', "y to confirm.yes and to confirm.no, both in a confirmation"),
    ],
)
def test_a_wrong_entry_is_refused_and_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        keymap(text)
    assert refused.value.exit_code is ExitCode.USAGE
    assert refused.value.remedy
    assert str(refused.value).isprintable()


def test_two_actions_can_trade_their_keys() -> None:
    assert keymap('app.sync = "t"\napp.transfers = "r"') == {
        "app.sync": "t",
        "app.transfers": "r",
    }


def test_no_default_key_has_two_actions_in_one_place() -> None:
    assert keymap('app.sync = "r"') == {"app.sync": "r"}


def every_binding() -> Iterator[tuple[type, Binding]]:
    modules = [import_module(f"lora_tui.{name}") for name in ("app", "tui.base_app", "first_run")]
    for package in (lora_tui.screens, lora_tui.widgets):
        modules += [
            import_module(f"{package.__name__}.{found.name}")
            for found in iter_modules(package.__path__)
        ]
    for module in modules:
        for one in vars(module).values():
            if isinstance(one, type) and one.__module__ == module.__name__:
                for binding in vars(one).get("BINDINGS", ()):
                    assert isinstance(binding, Binding)
                    if binding.key != "ctrl+c":  # it stays where it is
                        yield one, binding


def test_every_binding_can_be_moved_and_its_place_is_checked_for_conflicts() -> None:
    places = {
        "models": ("the list of models",),
        "jobs": ("the training jobs",),
        "row_view": ("the list of models", "the training jobs"),
        "row_table": ("the list of models", "the training jobs"),
        "job_table": ("the training jobs",),
        "model_table": ("the list of models",),
        "card_grid": ("the list of models",),
        "search_bar": ("the search",),
        "model": ("a model",),
        "compare": ("the comparison",),
        "job": ("a job",),
        "metrics_screen": ("a model", "a job"),
        "chosen_metrics": ("the metrics",),
        "chart_screen": ("a model", "a job", "the comparison"),
        "transfers": ("Transfers",),
        "notifications": ("the notifications",),
        "harvest": ("the harvest",),
        "costs": ("the costs",),
        "leaderboard": ("the leaderboard",),
        "compare_table": ("the table of compared models",),
        "export_report": ("the report menu",),
        "effect": ("the effect",),
        "column_picker": ("the column menu",),
        "try_models": ("Try",),
        "server_menu": ("the servers to try",),
        "servers": ("the servers",),
        "prompt_line": ("the prompt",),
        "settings": ("the settings",),
        "filters": ("the filters",),
        "columns": ("the columns",),
        "saved_views": ("the views",),
        "sort_menu": ("the sort menu",),
        "load_model": ("the servers to load into",),
        "choose_files": ("the file selection",),
        "snippets": ("the snippets",),
        "confirm": ("a confirmation",),
        "edit_tags": ("a form for marks",),
        "edit_note": ("a form for marks",),
        "edit_name": ("a form for marks",),
        "try_settings": ("the options of Try",),
        "keep_menu": ("the menu for keeping a model",),
        "set_alias": ("a form for marks",),
        "help": ("the help",),
        "welcome": ("the welcome",),
        "first_run": ("the welcome",),
        "connect": ("the connection",),
        "login": ("the login",),
        "app": ("the list of models", "a model", "Transfers"),
        "base_app": ("the list of models", "a model", "Transfers"),
    }
    seen = set()
    for one, binding in every_binding():
        assert binding.id in DEFAULT_KEYS, (one, binding)
        assert binding.key == DEFAULT_KEYS[binding.id]
        seen.add(binding.id)
        for place in places[one.__module__.rpartition(".")[2]]:
            assert binding.id in actions_in(place), (one, place, binding.id)
    assert seen == set(DEFAULT_KEYS)
    assert {place for named in places.values() for place in named} == set(PLACES)
