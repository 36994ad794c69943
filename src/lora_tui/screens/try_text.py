"""The lines of Try below the columns: what one can do now, and what the choices add up to."""

from __future__ import annotations

from collections.abc import Sequence

from lora_tui import formats
from lora_tui.domain.answers import LETTERS, Contestant, Settings
from lora_tui.domain.servers import Vote
from lora_tui.serving import tally
from lora_tui.serving.contestants import Choice
from lora_tui.text import terminal_safe


def missing_text(choice: Choice, key: str) -> str:
    """Which of the models are not loaded on the server, and the key that loads them."""
    names = [terminal_safe(name, limit=60) for name in choice.missing.values()]
    them = "it" if len(names) == 1 else "them"
    return f"Not loaded on {choice.server}: {formats.some_of(names, 3)}. {key} loads {them}."


def settings_text(settings: Settings) -> list[str]:
    """What differs from the usual settings."""
    usual = Settings()
    parts = []
    if settings.system:
        parts.append("system message")
    if settings.temperature != usual.temperature:
        parts.append(f"temperature {settings.temperature:g}")
    if settings.seed is not None:
        parts.append(f"seed {settings.seed}")
    if settings.most_tokens != usual.most_tokens:
        parts.append(f"{formats.counted(settings.most_tokens, 'token')} at most")
    return parts


def tally_texts(votes: Sequence[Vote], columns: Sequence[Contestant]) -> list[str]:
    """What the blind choices say of these models, by the letters of their columns."""
    ids = {one.id for one in columns}
    votes = [vote for vote in votes if len(ids & set(vote.contestants)) > 1]
    if not votes:
        return []
    found = tally.tally_of(votes).of(ids)
    letters = {one.id: LETTERS[place] for place, one in enumerate(columns)}
    won = ", ".join(
        f"{letters[one.id]} {formats.count(one.won)}" for one in found.scores if one.id in letters
    )
    counted = formats.counted(len(votes), "blind choice")
    ties = f", ties {formats.count(found.ties)}" if found.ties else ""
    return [f"{counted}: {won}{ties}.", *tally.sentences(found, letters)[:1]]
