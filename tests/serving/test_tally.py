"""What blind choices add up to, and that little is claimed of few."""

from __future__ import annotations

import pytest

from lora_tui.domain.servers import BASE, Vote
from lora_tui.serving.tally import blind_order, sentences, tally_data, tally_of, wilson

A, B = "a" * 8, "b" * 8
NAMES = {A: "Support", B: "SQL"}


def votes(*winners: str, of: tuple[str, ...] = (BASE, A, B)) -> list[Vote]:
    return [Vote("owner", "gpu", "", "", "prompt", winner, of) for winner in winners]


@pytest.mark.parametrize(
    ("won", "of", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (1, 1, 0.2065, 1.0)],
)
def test_the_interval_is_wilsons(won: int, of: int, low: float, high: float) -> None:
    assert wilson(won, of) == pytest.approx((low, high), abs=1e-4)


def test_wins_ties_and_losses_are_counted_where_a_model_took_part() -> None:
    found = tally_of([*votes(A, A, BASE, ""), *votes(B, of=(BASE, B))])
    scores = {score.id: score for score in found.scores}
    assert (found.votes, found.ties) == (5, 1)
    assert found.scores[0].id == A
    assert (scores[A].compared, scores[A].won, scores[A].tied, scores[A].lost) == (4, 2, 1, 1)
    assert (scores[B].compared, scores[B].won, scores[B].tied, scores[B].lost) == (5, 1, 1, 3)
    pairs = {(pair.first, pair.second): (pair.won, pair.decided) for pair in found.pairs}
    assert pairs[A, BASE] == (2, 3)


def test_nothing_is_claimed_of_fewer_than_ten_decided_votes() -> None:
    assert sentences(tally_of([]), NAMES) == ["Nobody has chosen blindly yet."]
    (sentence,) = sentences(tally_of(votes(*[A] * 9, "", "", of=(BASE, A))), NAMES)
    assert sentence == "No two models have 10 decided votes yet (at most 9): nothing is claimed."


def test_of_ten_a_clear_preference_is_told_and_an_even_one_is_none() -> None:
    clear = sentences(tally_of(votes(*[A] * 9, BASE, of=(BASE, A))), NAMES)
    assert clear == [
        "Support was preferred to base model in 9 of 10 decided votes (95 %: 60 % to 98 %)."
    ]
    even = sentences(tally_of(votes(*[A] * 6, *[BASE] * 5, of=(BASE, A))), NAMES)
    assert even[0].startswith("Between Support and base model no difference shows in 11")


def test_the_tally_can_be_narrowed_and_names_of_models_that_are_gone_are_their_ids() -> None:
    found = tally_of(votes(A, B, "name:raw", of=(BASE, A, B, "name:raw", "c" * 36)))
    assert {score.id for score in found.of([A]).scores} == {A, BASE}
    names = {row["id"]: row["name"] for row in tally_data(found, NAMES)["models"]}
    assert (names["name:raw"], names["c" * 36], names[BASE]) == ("raw", "c" * 8, "base model")


def test_a_blind_order_has_everybody_and_another_one_for_each_prompt() -> None:
    orders = [tuple(blind_order(4, "session", number)) for number in range(12)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len(set(orders)) > 5
    assert orders == [tuple(blind_order(4, "session", number)) for number in range(12)]


def test_names_control_no_terminal_and_a_deleted_model_is_named_by_its_id() -> None:
    by_name = "name:x\x1b[2J\u202e`|"
    found = tally_of(votes(*["a" * 36] * 12, of=("a" * 36, by_name, B)))
    text = " ".join(sentences(found, {B: "SQL\x1b[31m"}))
    assert "aaaaaaaa was preferred to x[2J`| in 12 of 12" in text
    assert "aaaaaaaa was preferred to SQL[31m in 12 of 12" in text
    names = [row["name"] for row in tally_data(found, {B: "SQL\x1b[31m"})["models"]]
    assert names == ["aaaaaaaa", "SQL[31m", "x[2J`|"]
