"""Prompts and the answers to them as Markdown, for people, and as JSONL, for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from lora_tui.domain.answers import (
    LETTERS,
    TIE,
    Answer,
    Progress,
    Round,
    Settings,
    measures,
    shown_lines,
    state_text,
)
from lora_tui.errors import UsageError
from lora_tui.files import translate_disk_errors, write_file
from lora_tui.json_values import json_text
from lora_tui.reports.exports import code_block, code_span, markdown_text
from lora_tui.secret import without_held
from lora_tui.text import cell_width, terminal_safe

MARKDOWN_TITLE: Final = "# Answers side by side\n\n"
_WIDTH: Final = 100
"""Cells after which a line of a block breaks between words: a block does not wrap on GitHub."""


def as_markdown(rounds: Sequence[Round]) -> str:
    """A document with a heading for each prompt and each answer, which GitHub shows literally."""
    parts = [round_markdown(number, one) for number, one in enumerate(rounds, 1)]
    return "".join([MARKDOWN_TITLE, *parts]).rstrip() + "\n"


def round_markdown(number: int, one: Round) -> str:
    """The part of the document for one prompt."""
    return "".join(f"{line}\n" for line in _round(number, one))


def as_jsonl(rounds: Sequence[Round]) -> str:
    """One line for each prompt and model."""
    return "".join(f"{json_text(data)}\n" for one in rounds for data in round_data(one))


def round_data(one: Round) -> list[dict[str, Any]]:
    """The lines of one prompt as data."""
    return [
        {
            "prompt": one.prompt,
            "model": contestant.id,
            "model_name": contestant.name,
            "adapter": contestant.adapter,
            "server": one.server,
            "answer": without_held(answer.text),
            "state": answer.progress.value,
            "finish": answer.finish or None,
            "error": answer.error or None,
            "first_token_seconds": answer.first_token,
            "tokens_per_second": answer.rate,
            "tokens": answer.tokens,
            "tokens_counted_by_server": answer.is_counted,
            "settings": one.settings._asdict(),
            "blind": one.blind,
            "winner": one.winner,
            "won": one.winner == contestant.id,
        }
        for contestant, answer in zip(one.contestants, one.answers, strict=True)
    ]


def form_of(path: Path) -> str:
    """`md` or `jsonl`, by the name of the file. Raises UsageError for any other name."""
    suffix = path.suffix.lower().removeprefix(".")
    if suffix in ("md", "markdown"):
        return "md"
    if suffix == "jsonl":
        return "jsonl"
    raise UsageError(
        "The transcript's form is told by its name",
        details=str(path),
        remedy="end it in .md or .jsonl",
    )


def write_transcript(path: Path, rounds: Sequence[Round]) -> None:
    """Write it in one step, in the form that the name tells. Raises UsageError, DiskError."""
    text = as_jsonl(rounds) if form_of(path) == "jsonl" else as_markdown(rounds)
    with translate_disk_errors("The transcript can't be written", path):
        write_file(path, text, mode=0o644)


def winner_text(one: Round) -> str:
    """Who was chosen, in words; empty where nobody chose."""
    if one.winner is None:
        return ""
    how = ", chosen blindly" if one.blind else ", chosen by name"
    if one.winner == TIE:
        return f"A tie{how}"
    names = [contestant.name for contestant in one.contestants if contestant.id == one.winner]
    return f"{names[0]}{how}" if names else ""


def settings_text(settings: Settings) -> str:
    """How they were asked, in words."""
    found = [f"temperature {settings.temperature:g}", f"at most {settings.most_tokens} tokens"]
    if settings.seed is not None:
        found.append(f"seed {settings.seed}")
    found.append("all at once" if settings.parallel else "one at a time")
    return ", ".join(found)


def _round(number: int, one: Round) -> Iterator[str]:
    yield f"## Prompt {number}"
    yield ""
    yield from _block(one.prompt)
    yield ""
    yield f"Server {code_span(one.server)}, {settings_text(one.settings)}."
    if one.settings.system:
        yield ""
        yield "System message:"
        yield ""
        yield from _block(one.settings.system)
    winner = winner_text(one)
    if winner:
        yield ""
        yield f"**Winner:** {markdown_text(terminal_safe(winner))}"
    for place, (contestant, answer) in enumerate(zip(one.contestants, one.answers, strict=True)):
        yield ""
        yield f"### {LETTERS[place]}: {markdown_text(terminal_safe(contestant.name))}"
        yield ""
        yield f"{markdown_text(', '.join((*measures(answer), state_text(answer))))}"
        yield ""
        yield from _answer(answer)
    yield ""


def _answer(answer: Answer) -> Iterator[str]:
    if shown_lines(answer.text):
        yield from _block(answer.text)
    elif answer.progress is Progress.DONE:
        yield "*The answer is empty.*"
    if answer.error:
        yield ""
        yield f"*{markdown_text(terminal_safe(answer.error))}*"


def _block(text: str) -> list[str]:
    return code_block([part for line in shown_lines(text) for part in broken(line, _WIDTH)])


def broken(line: str, width: int) -> list[str]:
    """A line in parts of at most `width` cells, between words; its indentation is kept.

    A longer word stays whole.
    """
    if cell_width(line) <= width:
        return [line]
    words = line.lstrip(" ").split(" ")
    indent = line[: len(line) - len(line.lstrip(" "))]
    parts, part = [], f"{indent}{words[0]}"
    for word in words[1:]:
        if cell_width(part) + 1 + cell_width(word) <= width:
            part = f"{part} {word}"
        else:
            parts.append(part)
            part = f"{indent}{word}"
    return [*parts, part]
