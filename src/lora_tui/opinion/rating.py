"""How an opinion stands to the stored rating, in words."""

from __future__ import annotations

from lora_tui.domain import Quality
from lora_tui.opinion.findings import Comparison, Opinion
from lora_tui.opinion.words import counted


def compare_with_rating(opinion: Opinion, quality: Quality) -> Comparison:
    """Whether the opinion bears out the stored stars, in words."""
    ours, stored = opinion.stars, quality.stars
    if ours is None:
        return Comparison(None, "The curve neither bears out the stored rating nor denies it.")
    if stored is None:
        return Comparison(
            None, f"No rating is stored; the whole curve would earn {_starred(ours)}."
        )
    if ours == stored:
        return Comparison(True, f"Agrees with the stored rating of {_starred(stored)}.")
    more = "more" if ours > stored else "fewer"
    difference = abs(ours - stored)
    word = "Nearly agrees" if difference == 1 else "Disagrees"
    return Comparison(
        difference == 1,
        f"{word}: it would give {_starred(ours)}, {difference} {more} than the stored rating.",
    )


def _starred(stars: int) -> str:
    return counted(stars, "star")
