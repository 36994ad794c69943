"""Reads prompts from a file: one a line, or JSONL with `prompt` or `messages`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from lora_tui.errors import DiskError, UsageError
from lora_tui.files import disk_error, read_regular_file
from lora_tui.json_values import parse_json
from lora_tui.serving.client import Message

MOST_PROMPTS: Final = 1_000
LONGEST_PROMPT: Final = 32_000
"""Characters of all messages of one prompt."""
MOST_BYTES: Final = 8 << 20
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
"""Not what else Unicode calls one: JSON may have U+2028 within a text."""
_ROLES: Final = ("system", "user", "assistant")
_FORMS: Final = (
    'one prompt a line, or lines such as {"prompt": "…"} or'
    ' {"messages": [{"role": "user", "content": "…"}]}'
)


class Prompt(NamedTuple):
    """What is asked: one question, or the messages of a conversation so far."""

    messages: tuple[Message, ...]

    @property
    def text(self) -> str:
        """The last message of the user: what a heading shows."""
        asked = [message.content for message in self.messages if message.role == "user"]
        return asked[-1] if asked else self.messages[-1].content


def prompt_of(text: str) -> Prompt:
    """The prompt that a user typed. Raises UsageError where it is empty or too long."""
    if not text.strip():
        raise UsageError("The prompt is empty", remedy="type what the models should answer")
    if len(text) > LONGEST_PROMPT:
        raise UsageError(
            f"The prompt has {len(text):,} characters",
            remedy=f"up to {LONGEST_PROMPT:,} are possible",
        )
    return Prompt((Message("user", text),))


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of a file, at least one. Raises UsageError with the line, DiskError."""
    try:
        content = read_regular_file(path.resolve(), MOST_BYTES + 1)
    except OSError as error:
        raise disk_error(error, "The prompts can't be read", path) from error
    if len(content) > MOST_BYTES:
        raise UsageError(
            "The file of prompts is too large",
            details=str(path),
            remedy=f"up to {MOST_BYTES >> 20} MiB are read",
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DiskError(
            "The file of prompts is not UTF-8", details=str(path), remedy=f"write {_FORMS}"
        ) from error
    return prompts_in(text, place=str(path))


def prompts_in(text: str, *, place: str = "stdin") -> list[Prompt]:
    """The prompts of the text of a file, at least one. `place` names it. Raises UsageError."""
    lines = [
        (number, line.strip())
        for number, line in enumerate(_LINE_END.split(text), 1)
        if line.strip()
    ]
    if not lines:
        raise UsageError("There are no prompts in it", details=place, remedy=f"write {_FORMS}")
    if len(lines) > MOST_PROMPTS:
        raise UsageError(
            f"There are {len(lines):,} prompts in it",
            details=place,
            remedy=f"up to {MOST_PROMPTS:,} are possible",
        )
    reads_json = _is_json(lines[0][1]) or place.endswith((".jsonl", ".json"))
    return list(_prompts(lines, place, reads_json=reads_json))


def _prompts(lines: list[tuple[int, str]], place: str, *, reads_json: bool) -> Iterator[Prompt]:
    for number, line in lines:
        try:
            yield _from_json(line) if reads_json else prompt_of(line)
        except UsageError as error:
            raise UsageError(
                str(error), details=f"line {number} of {place}", remedy=error.remedy
            ) from None


def _is_json(line: str) -> bool:
    try:
        return isinstance(parse_json(line), dict)
    except (ValueError, RecursionError):
        return False


def _from_json(line: str) -> Prompt:
    try:
        data = parse_json(line)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise UsageError("This line is no JSON object", remedy=f"write {_FORMS}")
    if isinstance(data.get("prompt"), str):
        return prompt_of(data["prompt"])
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages:
        raise UsageError("This line has neither prompt nor messages", remedy=f"write {_FORMS}")
    prompt = Prompt(tuple(map(_message, messages)))
    if prompt.messages[-1].role == "assistant":  # files of training data end in the answer
        prompt = Prompt(prompt.messages[:-1])
    if not any(message.role == "user" and message.content.strip() for message in prompt.messages):
        raise UsageError("These messages have none of the user", remedy=f"write {_FORMS}")
    if sum(len(message.content) for message in prompt.messages) > LONGEST_PROMPT:
        raise UsageError(
            "The messages are too long",
            remedy=f"up to {LONGEST_PROMPT:,} characters together are possible",
        )
    return prompt


def _message(data: Any) -> Message:
    if isinstance(data, dict):
        role, content = data.get("role"), data.get("content")
        if role in _ROLES and isinstance(content, str):
            return Message(role, content)
    raise UsageError(
        "A message needs a role and a content",
        remedy=f"roles are {', '.join(_ROLES)}, the content is a text",
    )
