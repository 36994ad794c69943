"""`view` and `list --view`: what the application and the commands show under a name."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Run


def test_a_saved_view_lists_the_same_and_given_options_win(signed_in: Path, run: Run) -> None:
    del signed_in
    assert (
        "'good ones': 3 stars or more"
        in run(*("view", "save", "good ones", "--sort", "rating", "--min-stars", "3")).err
    )
    assert (
        run("list", "--view", "Good Ones").out
        == run("list", "--sort", "rating", "--min-stars", "3").out
    )
    by_cost = run("list", "--view", "good ones", "--sort", "cost", "--min-stars", "0", "--reverse")
    assert by_cost.out == run("list", "--sort", "cost", "--reverse").out
    assert "1    good ones  Rating, best first  3 stars or more" in run("view", "list").out
    assert run("view", "list", "--json").data["views"][0]["query"] == {
        "sort": "quality",
        "min_stars": 3,
    }
    assert "=good ones" in run("__complete", "fish", "list", "--view", "").out
    assert run("view", "delete", "good ones").code == 0
    assert "No views are saved" in run("view", "list").err


def test_a_view_that_nobody_has_says_which_come_near(signed_in: Path, run: Run) -> None:
    del signed_in
    run("view", "save", "best", "--min-stars", "5")
    for words in (("list", "--view", "bst"), ("view", "delete", "bst")):
        ran = run(*words)
        assert ran.code == 3
        assert "There is no view 'bst' (similar: best)" in ran.err
    assert run("view", "save", "x" * 61).code == 2
    assert run("view", "save", "").code == 2
