"""What a stand-in is started with, and how it misbehaves when a test asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HOSTILE: Final = (
    "\x1b[2J\x1b[31mowned\x1b[0m\x07 \x1b]0;owned\x07 [red]markup[/] [link=file:///etc/passwd]x[/]"
    " \u202egpj.exe\u202c \x00\r\nX-Injected: yes\x9b31m"
)
"""Text with escape sequences, markup, marks of direction and line breaks."""
HUGE_BYTES: Final = 4 << 20


@dataclass(frozen=True)
class ServerSettings:
    """How vLLM was started."""

    enable_lora: bool
    runtime_updating: bool
    """`VLLM_ALLOW_RUNTIME_LORA_UPDATING`."""
    key: str | None
    chat_template: bool


@dataclass
class Behavior:
    """Changed at any time; it holds for requests that arrive later."""

    first_token_seconds: float = 0.0
    token_seconds: float = 0.0
    cut_stream_after: int | None = None
    """Close the connection after so many tokens of a stream."""
    fail_stream_after: int | None = None
    """Send an error in the stream after so many tokens, as vLLM does."""
    hostile: bool = False
    """Dangerous text in errors, names of models, version and answers."""
    huge: bool = False
    """Megabytes in errors and in the list of models."""
    redirect_to: str | None = None
    """Answer everything with a redirect to this address."""
    wrong_json: str | None = None
    """Answer everything with 200 and this as JSON."""
