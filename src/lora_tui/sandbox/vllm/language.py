"""A pretended language model: log-probabilities and words follow from hashes, so they repeat."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lora_tui.sandbox.vllm.adapter import Effect
from lora_tui.sandbox.vllm.base_model import DataType

_TOKEN: Final = re.compile(r"\s*\w{1,8}|\s*[^\w\s]|\s+$")
_ROUNDING: Final = 0.1
"""In bfloat16: how far the sum of a prompt is moved by an effect too small to be one."""
_SURE: Final = 0.02
"""Strength from which an effect changes words."""
_LEAST_TOKENS: Final = 24
_MORE_TOKENS: Final = 72
_SENTENCE: Final = 9
_VOCABULARY: Final = (
    "the a one this that your our each model answer customer order report note line value table"
    " reason result step case team page time week change question clause finding account ticket"
    " is was has can will should needs gives shows keeps takes makes reads sends asks returns"
    " checks covers names lists first then also now here before after with without from to for"
    " of in on by as and but so because when if where which clear short new last small whole"
    " careful open correct likely simple plain direct"
)
_WORDS: Final = tuple(_VOCABULARY.split())
HOSTILE_WORDS: Final = (
    "\x1b[2J",
    "\x1b]0;owned\x07",
    "[red]markup[/]",
    "\u202egpj.exe\u202c",
    "<script>",
    "\x00",
    "\r\nnext: line",
    "[link=file:///etc/passwd]",
)


@dataclass(frozen=True)
class Token:
    """One token of a text, with its natural log-probability."""

    text: str
    logprob: float


@dataclass(frozen=True)
class LanguageModel:
    """The base. Its answers depend on `seed` (its name) and the text before a token alone."""

    seed: bytes
    dtype: DataType

    def logprobs(self, tokens: Sequence[str], effect: Effect) -> list[float | None]:
        """The log-probability of each token after those before it; None for the first."""
        states = _states(self.seed, tokens)
        count = max(1, len(tokens) - 1)
        return [
            None if place == 0 else self._logprob(state, effect, count)
            for place, state in enumerate(states)
        ]

    def continuation(
        self,
        prompt: Sequence[str],
        effect: Effect,
        most: int,
        *,
        chance: bytes = b"",
        hostile: bool = False,
    ) -> tuple[list[Token], str]:
        """What the model writes after the prompt: at most `most` tokens, and the finish reason.

        `chance` makes another text, as a temperature does. With `hostile` some of the words are
        escape sequences, markup and other dangerous text.
        """
        if effect.is_nan:
            return [], "length"
        state = _states(self.seed, prompt)[-1] if prompt else self.seed
        ending = _LEAST_TOKENS + int(_share(b"end", state, effect.digest) * _MORE_TOKENS)
        words: list[Token] = []
        text = ""
        for place in range(min(most, ending)):
            changed = effect.strength >= _SURE and (
                place < 1 or _share(b"changes", state, effect.digest) < 0.5 + effect.strength
            )
            place_of_word = _share(b"word", state, effect.digest if changed else b"", chance)
            word = _WORDS[int(place_of_word * len(_WORDS))]
            if hostile and place % 3 == 1:
                word = HOSTILE_WORDS[place // 3 % len(HOSTILE_WORDS)]
            starts = place % _SENTENCE == 0
            ends = place % _SENTENCE == _SENTENCE - 1 or place == ending - 1
            text = (" " if place else "") + (word.capitalize() if starts else word)
            text += "." if ends else ""
            state = _next_state(state, text)
            words.append(Token(text, self._logprob(state, effect, most)))
        return words, "stop" if ending <= most else "length"

    def _logprob(self, state: bytes, effect: Effect, count: int) -> float:
        base = -math.exp(3.2 * _share(b"base", state) - 1.2)  # -8 to -0.3
        if effect.is_nan:
            return math.nan
        if effect.strength == 0.0:
            return base
        moved = base * math.exp(effect.strength * _signed(b"moved", state, effect.digest))
        if self.dtype == "bfloat16":
            moved += _signed(b"rounding", state, effect.digest) * _ROUNDING / count
        return moved


def tokens_of(text: str) -> list[str]:
    """The text cut into tokens, which joined are the text again."""
    return _TOKEN.findall(text)


def mixture(first: Effect, second: Effect) -> Effect:
    """The effect of attention over keys of one set of weights with queries of another."""
    digest = hashlib.blake2b(first.digest + b"|" + second.digest, digest_size=16).digest()
    return Effect(digest, max(first.strength, second.strength))


def _states(seed: bytes, tokens: Sequence[str]) -> list[bytes]:
    states = []
    state = seed
    for token in tokens:
        state = _next_state(state, token)
        states.append(state)
    return states


def _next_state(state: bytes, token: str) -> bytes:
    return hashlib.blake2b(state + token.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _share(purpose: bytes, *parts: bytes) -> float:
    """A number from 0 to 1 (without it) that follows from the arguments."""
    digest = hashlib.blake2b(b"|".join((purpose, *parts)), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


def _signed(purpose: bytes, *parts: bytes) -> float:
    return 2 * _share(purpose, *parts) - 1
