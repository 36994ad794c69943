"""`leaderboard` answers from the cache: text and JSON tell the same."""

from __future__ import annotations

import csv
import io

import pytest

from lora_tui.sandbox import Sandbox
from tests.conftest import Run


@pytest.fixture(autouse=True)
def synced(configured: Sandbox, run: Run) -> None:
    assert run("sync").code == 0


def test_each_dataset_and_base_model_has_one_board_with_all_its_models(run: Run) -> None:
    data = run("leaderboard", "--json").data
    boards = data["boards"]
    groups = [(board["dataset"]["id"], board["base_model"]) for board in boards]
    assert len(groups) == len(set(groups))
    total = run("list", "--json").data["pagination"]["total"]
    assert sum(board["models"] for board in boards) + data["unknown"] == total


def test_the_first_of_a_board_has_the_lowest_last_validation_loss(run: Run) -> None:
    ranked = 0
    for board in run("leaderboard", "--limit", "6", "--json").data["boards"]:
        if board["ranked_by"] == "validation":
            losses = [place["validation"]["last"] for place in board["places"]]
            assert losses == sorted(losses)
            ranked += 1
    assert ranked


def test_the_text_names_what_the_json_does(run: Run) -> None:
    text = run("leaderboard", "--limit", "2").out
    for board in run("leaderboard", "--limit", "2", "--json").data["boards"]:
        assert f"{board['dataset']['name']}, {board['base_model']}: " in text
        assert len(board["places"]) <= 2
        for place in board["places"]:
            assert place["id"][:8] in text
        for sentence in board["sentences"]:
            assert sentence in text


def test_a_limit_that_is_too_high_has_a_remedy(run: Run) -> None:
    ran = run("leaderboard", "--limit", "7")
    assert ran.code == 2
    assert "--limit is at most 6, not 7" in ran.err


def test_only_models_that_match_are_ranked(run: Run) -> None:
    everything = run("leaderboard", "--limit", "6", "--json").data["boards"]
    chosen = everything[0]
    name, base = chosen["dataset"]["name"], chosen["base_model"]
    narrowed = run("leaderboard", "--limit", "6", "--json", "--dataset", name, "--base-model", base)
    assert narrowed.data["boards"] == [chosen]
    where = f"dataset = '{name}' and base_model = {base}"
    assert run("leaderboard", "--limit", "6", "--json", "--where", where).data == narrowed.data
    none = run("leaderboard", "--where", "cost < 0")
    assert (none.code, none.out) == (0, "")
    assert "No matching models" in none.err
    wrong = run("leaderboard", "--where", "cots < 0")
    assert (wrong.code, wrong.out) == (2, "")
    assert "Did you mean cost" in wrong.err


def test_the_csv_has_a_line_for_each_place(run: Run) -> None:
    boards = run("leaderboard", "--json").data["boards"]
    lines = list(csv.DictReader(io.StringIO(run("leaderboard", "--csv").out)))
    places = [(board, place) for board in boards for place in board["places"]]
    assert len(lines) == len(places)
    for line, (board, place) in zip(lines, places, strict=True):
        assert line["id"] == place["id"]
        assert line["dataset"] == board["dataset"]["name"]
        assert int(line["place"]) == place["place"]
        assert float(line["final_loss"]) == place["training_loss"]
        if place["validation"]:
            assert float(line["last_validation_loss"]) == place["validation"]["last"]
