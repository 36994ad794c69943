"""`leaderboard` answers from the cache: text and JSON tell the same."""

from __future__ import annotations

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
