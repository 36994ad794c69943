"""The engine behind the stand-in: which adapters it knows, which weights it holds, its caches.

The traps of a real vLLM are here. An adapter that was pushed out of its slot is read from disk
again, and ends the engine if that fails; the prefix cache is keyed by name and path, not by
weights; on the CPU a batch of base and adapter gives the base the adapter's answers.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lora_tui.sandbox.vllm.adapter import (
    NO_EFFECT,
    Effect,
    EngineRefusedError,
    MissingAdapterError,
    read_adapter,
)
from lora_tui.sandbox.vllm.base_model import BaseModel
from lora_tui.sandbox.vllm.language import LanguageModel, mixture

BLOCK: Final = 16
"""Tokens in one block of the prefix cache; shorter prompts are never cached."""
_POISON: Final = 3
"""After a request to an adapter with NaN, each so many'th answer of the base is NaN."""


class EngineDeadError(Exception):
    """The engine has ended; the message is what the server still answers."""

    def __init__(self) -> None:
        super().__init__(
            "EngineCore encountered an issue. See stack trace (above) for the root cause."
        )


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter that the server serves under a name."""

    name: str
    path: str
    number: int
    """The engine's own number of it, which a replacement in place keeps."""


@dataclass(eq=False)
class Running:
    """A request that is being answered."""

    adapter: str | None
    """None for the base."""
    own: Effect
    """Of the weights that it asked for."""
    beside: Effect | None = None
    """Of an adapter that is or was asked at the same time."""


@dataclass
class Engine:
    """The state of a running engine. Not thread-safe: one event loop uses it."""

    base: BaseModel
    max_lora_rank: int
    max_loras: int
    """Adapters whose weights it holds; the least recently used one is dropped."""
    mixes_batches: bool
    language: LanguageModel
    adapters: dict[str, LoadedAdapter] = field(default_factory=dict)
    died: str | None = None
    most_at_once: int = 0
    """The largest number of requests that were answered at the same time."""
    _held: OrderedDict[int, Effect] = field(default_factory=OrderedDict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _prefixes: dict[bytes, Effect] = field(default_factory=dict)
    _running: list[Running] = field(default_factory=list)
    _poisoned: Iterator[int] | None = None

    def load(self, name: str, path: str) -> None:
        """Serve the adapter in this folder; an adapter of this name is replaced.

        Raises MissingAdapterError or EngineRefusedError, and changes nothing then.
        """
        effect = self._read(path)
        known = self.adapters.get(name)
        number = next(self._numbers) if known is None else known.number
        self.adapters[name] = LoadedAdapter(name, path, number)
        self._hold(number, effect)

    def unload(self, name: str) -> None:
        """Serve it no more. Raises KeyError for an unknown name."""
        adapter = self.adapters.pop(name)
        self._held.pop(adapter.number, None)

    @contextmanager
    def running(self, name: str | None) -> Iterator[Running]:
        """While a request for this adapter (None: the base) is answered.

        Raises EngineDeadError where the adapter has to be read again and can't be.
        """
        entry = Running(name, self._weights(name))
        for other in self._running:
            if other.adapter is not None:
                entry.beside = other.own
            if name is not None:
                other.beside = entry.own
        self._running.append(entry)
        self.most_at_once = max(self.most_at_once, len(self._running))
        try:
            yield entry
        finally:
            self._running.remove(entry)

    def effect_on(self, running: Running) -> Effect:
        """The effect on a running request's answer, in the batch of all that run with it."""
        if running.adapter is None:
            if self.mixes_batches and running.beside is not None:
                return running.beside
            if self._poisoned is not None and next(self._poisoned) % _POISON == 0:
                return Effect(b"nan", float("nan"))
            return NO_EFFECT
        if running.own.is_nan and self._poisoned is None:
            self._poisoned = itertools.count(1)
        return running.own

    def forget_all(self) -> None:
        """Forget adapters and caches, as a restart does."""
        self.adapters.clear()
        self._held.clear()
        self._prefixes.clear()
        self._poisoned = None

    def with_prefix_cache(
        self, name: str | None, tokens: Sequence[str], salt: str, effect: Effect
    ) -> Effect:
        """The effect on an answer to this prompt, whose first blocks may be cached already.

        Keys and values that other weights made under the same name and path are used as they are.
        """
        adapter = None if name is None else self.adapters.get(name)
        place = "" if adapter is None else f"{adapter.name}\n{adapter.path}"
        found = None
        for end in range(BLOCK, len(tokens), BLOCK):
            text = "\x00".join((place, salt, *tokens[:end])).encode("utf-8", "surrogatepass")
            key = hashlib.blake2b(text, digest_size=16).digest()
            cached = self._prefixes.setdefault(key, effect)
            if cached.digest != effect.digest:
                found = cached
        return effect if found is None else mixture(found, effect)

    def _weights(self, name: str | None) -> Effect:
        """The weights of an adapter, read from disk again if they were dropped."""
        if name is None:
            return NO_EFFECT
        adapter = self.adapters[name]
        if (effect := self._held.get(adapter.number)) is None:
            try:
                effect = self._read(adapter.path)
            except (MissingAdapterError, EngineRefusedError) as error:
                self.died = f"loading {name} from {adapter.path} again failed: {error}"
                raise EngineDeadError from error
        self._hold(adapter.number, effect)
        return effect

    def _hold(self, number: int, effect: Effect) -> None:
        self._held[number] = effect
        self._held.move_to_end(number)
        while len(self._held) > self.max_loras:
            self._held.popitem(last=False)

    def _read(self, path: str) -> Effect:
        return read_adapter(Path(path).expanduser(), self.base, self.max_lora_rank)
