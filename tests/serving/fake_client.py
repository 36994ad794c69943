"""A server in memory with made-up log-probabilities, for tests of what is done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from lora_tui.domain.servers import ServedName, ServerKind, ServerState
from lora_tui.errors import NotFoundError
from lora_tui.serving.client import Message, Piece

Numbers = Sequence[float]
Change = Callable[[list[float]], Sequence[float]]
"""Makes the answers of an adapter of those of the base model."""


class FakeClient:
    """Answers with numbers that depend on the prompt, changed by the adapter's function."""

    def __init__(
        self,
        adapters: Mapping[str, Change],
        *,
        kind: ServerKind = ServerKind.VLLM,
        base: str = "tiny",
        dtype: str = "",
        paths: Mapping[str, str] | None = None,
    ) -> None:
        self.adapters, self.kind = dict(adapters), kind
        self.base, self.dtype, self.paths = base, dtype, dict(paths or {})
        self.asked: list[tuple[str, str | None]] = []
        self.base_answers: Change = lambda numbers: numbers
        self.before: Callable[[], None] = lambda: None
        """Called before each question."""
        self.answers = True

    def state(self) -> ServerState:
        served = tuple(ServedName(name, self.paths.get(name, "")) for name in self.adapters)
        at = "2026-11-30T12:00:00.000000+00:00"
        return ServerState(
            "gpu-1", "http://gpu", str(self.kind), at, self.answers, "gone" * (not self.answers),
            self.base, "1", served if self.answers else (), self.dtype,
        )  # fmt: skip

    def load(self, name: str, path: str) -> None:
        raise NotImplementedError

    def unload(self, name: str) -> None:
        raise NotImplementedError

    def log_probabilities(self, prompt: str, adapter: str | None) -> Sequence[float]:
        self.asked.append((prompt, adapter))
        self.before()
        plain = [-1.0 - (ord(sign) * 7 + place) % 40 / 10 for place, sign in enumerate(prompt[:24])]
        if adapter is None:
            return self.base_answers(plain)
        if adapter not in self.adapters:
            raise NotFoundError("no such adapter")
        return self.adapters[adapter](plain)

    def answer(
        self,
        messages: Sequence[Message],
        adapter: str | None,
        *,
        most_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Iterator[Piece]:
        raise NotImplementedError

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
