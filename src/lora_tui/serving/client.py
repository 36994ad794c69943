"""What every kind of server is asked, whichever program runs there.

Errors of all calls: UnreachableError where nobody answers, AuthenticationError where the key is
refused, NotFoundError for an adapter that the server does not have, BackendError with the server's
own words (`terminal_safe`) as details for everything else, CancelledError after `close`. Two kinds
of BackendError have names of their own, in refusals.py. Everything a server says is hostile text; a
client returns it bounded, and whoever shows it neutralises it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from lora_tui.domain.servers import ServerKind, ServerState


class Message(NamedTuple):
    """One message of a conversation."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str


class Piece(NamedTuple):
    """One part of a streamed answer; the last one has the counts."""

    text: str
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    finish: str = ""
    """Why it ended: `stop`, `length`; empty before the end."""


class Client(Protocol):
    """A server. Blocking; one request at a time; close it, or use it in `with`.

    `adapter` is the name of an adapter there, None for the base model.
    """

    kind: ServerKind

    def state(self) -> ServerState:
        """Whether it answers, and what it has loaded; the error is in the state, none is raised."""

    def load(self, name: str, path: str) -> None:
        """Load the adapter that lies at this path of the server's machine.

        Raises UsageError on a server that can't, and BackendError where the engine refuses it.
        """

    def unload(self, name: str) -> None:
        """Unload it. Raises NotFoundError where it is not loaded."""

    def log_probabilities(self, prompt: str, adapter: str | None) -> Sequence[float]:
        """The log-probability, in nats, of each token of a fixed text, in order.

        Equal input gives equal numbers whatever was asked before: no cache of the server takes
        part. Which tokens are meant depends on the kind of server; two calls on one server with
        the same prompt can be compared token by token. Raises NotANumberError where weights have
        NaN.
        """

    def answer(
        self,
        messages: Sequence[Message],
        adapter: str | None,
        *,
        most_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Iterator[Piece]:
        """The answer to a conversation, piece by piece as it comes.

        With the chat template of the server; where its model has none, the contents one below the
        other as a plain prompt. Closing the iterator ends the request.
        """

    def close(self) -> None:
        """Close the connections; an answer that another thread is reading ends."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
