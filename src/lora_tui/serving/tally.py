"""What blind choices add up to: a table of wins, and what can honestly be said of it.

Pure functions over the votes of the record (`deployments/record.py`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from lora_tui import formats
from lora_tui.domain.answers import TIE
from lora_tui.domain.servers import BASE, Vote
from lora_tui.text import terminal_safe

FEWEST: Final = 10
"""Of fewer decided votes nothing is claimed."""
_Z: Final = 1.959964
"""Of an interval that holds the true share in 95 of 100 cases."""
BASE_NAME: Final = "base model"
_MOST_SENTENCES: Final = 6


class Score(NamedTuple):
    """What the votes say of one model."""

    id: str
    compared: int
    """Votes in which it took part."""
    won: int
    tied: int
    low: float | None
    """The interval of Wilson around won of compared, at 95 %; None for no votes."""
    high: float | None

    @property
    def lost(self) -> int:
        """Votes that another one won."""
        return self.compared - self.won - self.tied


class Pair(NamedTuple):
    """Votes in which both took part, and one of them won."""

    first: str
    second: str
    won: int
    """By the first."""
    decided: int
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out an even share."""
        return self.decided >= FEWEST and not self.low <= 0.5 <= self.high


class Tally(NamedTuple):
    """All votes, added up."""

    votes: int
    ties: int
    scores: tuple[Score, ...]
    """The best first: by the lower end of the interval."""
    pairs: tuple[Pair, ...]

    def of(self, ids: Collection[str]) -> Tally:
        """The same, of these models alone, beside the base model."""
        kept = {*ids, BASE}
        return self._replace(
            scores=tuple(score for score in self.scores if score.id in kept),
            pairs=tuple(pair for pair in self.pairs if {pair.first, pair.second} <= kept),
        )


def wilson(won: int, of: int) -> tuple[float, float]:
    """The interval of Wilson for a share, at 95 %. `of` is at least 1."""
    share = won / of
    spread = _Z * math.sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2))
    middle = share + _Z**2 / (2 * of)
    below = 1 + _Z**2 / of
    return max(0.0, (middle - spread) / below), min(1.0, (middle + spread) / below)


def tally_of(votes: Sequence[Vote]) -> Tally:
    """Add the votes up."""
    ids = sorted({one for vote in votes for one in vote.contestants})
    scores = []
    for one in ids:
        took_part = [vote for vote in votes if one in vote.contestants]
        won = sum(vote.winner == one for vote in took_part)
        tied = sum(not vote.winner for vote in took_part)
        low, high = wilson(won, len(took_part)) if took_part else (None, None)
        scores.append(Score(one, len(took_part), won, tied, low, high))
    scores.sort(key=lambda score: (-(score.low or 0), -score.won, score.id))
    order = [score.id for score in scores]
    pairs = [
        pair
        for n, first in enumerate(order)
        for second in order[n + 1 :]
        if (pair := _pair(votes, first, second)) is not None
    ]
    return Tally(len(votes), sum(not vote.winner for vote in votes), tuple(scores), tuple(pairs))


def _pair(votes: Sequence[Vote], first: str, second: str) -> Pair | None:
    both = [vote for vote in votes if {first, second} <= set(vote.contestants)]
    won, lost = (sum(vote.winner == one for vote in both) for one in (first, second))
    if not won + lost:
        return None
    if lost > won:
        first, second, won, lost = second, first, lost, won
    return Pair(first, second, won, won + lost, *wilson(won, won + lost))


def sentences(tally: Tally, names: Mapping[str, str]) -> list[str]:
    """What can be said, in sentences. `names`: of the ids of models that are known."""
    if not tally.votes:
        return ["Nobody has chosen blindly yet."]
    found = []
    enough = [pair for pair in tally.pairs if pair.decided >= FEWEST]
    for pair in sorted(enough, key=lambda pair: not pair.is_clear)[:_MOST_SENTENCES]:
        first, second = (name_of(one, names) for one in (pair.first, pair.second))
        span = f"{formats.share(pair.low)} to {formats.share(pair.high)}"
        if pair.is_clear:
            found.append(
                f"{first} was preferred to {second} in {pair.won} of {pair.decided} decided votes"
                f" (95 %: {span})."
            )
        else:
            found.append(
                f"Between {first} and {second} no difference shows in {pair.decided} decided votes"
                f" (95 %: {span})."
            )
    if not enough:
        most = max((pair.decided for pair in tally.pairs), default=0)
        found.append(
            f"No two models have {FEWEST} decided votes yet (at most"
            f" {formats.count(most)}): nothing is claimed."
        )
    return found


def name_of(one: str, names: Mapping[str, str]) -> str:
    """A contestant's name, safe for a terminal: of a model that is gone, the start of its id."""
    if one in names:
        name = names[one]
    elif one == BASE:
        name = BASE_NAME
    elif one.startswith("name:"):
        name = one.removeprefix("name:")
    else:
        name = one[:8]
    return terminal_safe(name, limit=200)


def tally_data(tally: Tally, names: Mapping[str, str]) -> dict[str, Any]:
    """The tally as JSON has it."""
    return {
        "votes": tally.votes,
        "ties": tally.ties,
        "models": [
            {
                "id": score.id,
                "name": name_of(score.id, names),
                "compared": score.compared,
                "won": score.won,
                "tied": score.tied,
                "lost": score.lost,
                "low": score.low,
                "high": score.high,
            }
            for score in tally.scores
        ],
        "pairs": [pair._asdict() for pair in tally.pairs],
        "sentences": sentences(tally, names),
    }


def vote_of(winner: str) -> str:
    """A choice as a vote keeps it: a tie is empty."""
    return "" if winner == TIE else winner


def blind_order(contestants: int, session: str, number: int) -> list[int]:
    """The order in which the models of prompt `number` are asked and shown, to hide their names.

    Another one for each prompt; the same for the same session.
    """
    order = list(range(contestants))
    random.Random(f"{session}:{number}").shuffle(order)  # noqa: S311 - hides, protects nothing
    return order
