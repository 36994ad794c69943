"""Servers that answer prompts with adapters: what is known of one, of an adapter there, of a proof.

Pure values. `serving/` asks the servers, `deployments/` keeps what was done, `cache/served.py` has
the copy that lists and screens read.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from lora_tui.errors import UsageError

LONGEST_SERVER_NAME: Final = 32
"""Characters."""
_SIGNS: Final = frozenset("-_.")


class ServerKind(StrEnum):
    """The program that a server runs."""

    VLLM = "vllm"
    LLAMA_CPP = "llama.cpp"


class Verdict(StrEnum):
    """What a proof of effect found."""

    EFFECT = "effect"
    """The answers differ from the base model's by more than noise."""
    NO_EFFECT = "no effect"
    """The log-probabilities are those of the base model: it was loaded without effect."""
    UNCLEAR = "can't tell"
    """They differ, by no more than rounding does."""


class ServedName(NamedTuple):
    """An adapter as a server lists it."""

    name: str
    """What a request calls it. On llama-server the file's name, without its ending."""
    path: str = ""
    """Where the server reads it; empty where it does not say."""
    id: int | None = None
    """Its number on llama-server."""


class ServerState(NamedTuple):
    """What a server said when it was last asked."""

    server: str
    """Its name in the profile."""
    url: str
    kind: str
    """A `ServerKind`; empty where it never answered."""
    asked_at: str
    """As `clock.timestamp_text` writes it."""
    answers: bool
    error: str = ""
    """Why it does not answer, in one sentence."""
    base: str = ""
    """The id of its base model."""
    version: str = ""
    adapters: tuple[ServedName, ...] = ()
    dtype: str = ""
    """What it computes in, or how its weights are stored: `float16`, `all F32`; empty where it does
    not say, as vLLM."""


class Loaded(NamedTuple):
    """A model that lora-tui has loaded into a server."""

    owner: str
    """The account: `deployments.record.owner_key`."""
    server: str
    url: str
    """The server's; names can be given to another one."""
    name: str
    """What requests to the server call it: it carries the version."""
    model_id: str
    model_name: str
    version: str
    """`version_mark` of the files that were delivered."""
    server_path: str
    """Where the server reads it."""
    directory: str
    """The same directory on this machine, absolute and without links; empty where it is not on it.
    It must not be changed while this row exists."""
    loaded_at: str


class Proof(NamedTuple):
    """What asking a server with and without an adapter has shown."""

    owner: str
    model_id: str
    server: str
    url: str
    name: str
    """Of the adapter on the server."""
    version: str
    verdict: str
    """A `Verdict`."""
    difference: float | None
    """Mean absolute difference of the log-probabilities of a token, in nats."""
    noise: float
    """What the base model differs by from itself, with the floor of its type: the same unit."""
    prompts: int
    tokens: int
    """Of all prompts together."""
    reasons: tuple[str, ...] = ()
    """Sentences: why it is likely to have no effect."""
    warning: str = ""
    """Sentence: why the answers can't be trusted, although they differ."""
    proved_at: str = ""


class Vote(NamedTuple):
    """One blind choice among the answers to a prompt."""

    owner: str
    server: str
    url: str
    at: str
    prompt: str
    winner: str
    """A model's id; `base` for the base model; empty for a tie."""
    contestants: tuple[str, ...]
    """The ids of all that answered, `base` among them."""


BASE: Final = "base"
"""What stands for the base model among the ids of models."""


def server_name(text: str) -> str:
    """A server's name as a user typed it. Raises UsageError where it can't be one."""
    name = text.strip()
    fits = 0 < len(name) <= LONGEST_SERVER_NAME and name[:1].isalnum()
    if not fits or not all((sign.isascii() and sign.isalnum()) or sign in _SIGNS for sign in name):
        raise UsageError(
            "This can't be the name of a server",
            details=repr(text[:80]),
            remedy=f"use up to {LONGEST_SERVER_NAME} letters, digits, dots, - and _, like gpu-1",
        )
    return name
