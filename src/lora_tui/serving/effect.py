"""Proves that an adapter on a server changes what the server answers.

The log-probabilities of fixed texts are compared with and without the adapter. Nothing is
generated, so no sampling takes part, and equal weights give equal numbers. docs/serving.md has the
formula and where the floors come from. Nothing here reads or writes files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from lora_tui import formats
from lora_tui.domain.servers import ServerState, Verdict
from lora_tui.errors import BackendError, NotFoundError, UnreachableError, UsageError
from lora_tui.serving.client import Client
from lora_tui.serving.probe import BUILT_IN
from lora_tui.text import terminal_safe

FLOOR_TOKENS: Final = 32
"""Tokens up to which a floor holds as it is; errors of more tokens grow with their root."""
BF16_FLOOR: Final = 0.1
"""Nats, on the sum of a prompt's log-probabilities."""
FP16_FLOOR: Final = BF16_FLOOR / 8
FP32_FLOOR: Final = 1e-3
BASE_CHANGED: Final = 10.0
"""Floors by which the base model may differ from itself; beyond that it is not rounding."""
ABSURD_FALL: Final = 3.0
"""Nats a token that the adapter's mean is below the base model's where answers are garbage: text of
every kind is 20 times less likely. Adapters for one task lose one or two on other text; garbage
comes near the uniform distribution, 10 to 12 below 0, where a base model is at 2 to 4."""
ABSURD_EACH: Final = 1.0
"""Nats a token that it is at least below on every prompt."""
_MOST_TOKENS: Final = 1 << 20
_LOWEST: Final = -1e4
_HIGHEST: Final = 1e-2
"""Of a log-probability, in nats; a little above zero is rounding."""

Numbers = Sequence[float]
Progress = Callable[[int, int], None]
"""Called with the number of answers so far, and of all."""


class Probed(NamedTuple):
    """The log-probabilities of the tokens of one prompt, in nats; all equally long."""

    base: Numbers
    adapted: Numbers
    again: Numbers
    """Of the base model, asked after the adapter."""


@dataclass(frozen=True)
class Measured:
    """What the answers to all prompts have shown."""

    verdict: Verdict
    difference: float
    """Mean absolute difference of the log-probabilities of a token, in nats."""
    noise: float
    """What rounding alone may make of it: the same unit."""
    prompts: int
    tokens: int
    reason: str = ""
    """Sentence: why it can't be told, and what to do."""
    warning: str = ""
    """Sentence: why the answers can't be trusted, although they differ."""


def prove(
    client: Client,
    name: str,
    *,
    probes: Sequence[str] = BUILT_IN,
    progress: Progress = lambda _done, _all: None,
    check_stop: Callable[[], None] = lambda: None,
) -> Measured:
    """Ask a server for every probe with and without the adapter `name`, one request at a time.

    `check_stop` is called before each request, and may raise. Raises NotFoundError where the server
    does not have the adapter, UnreachableError, AuthenticationError, and BackendError where the
    answers can't be compared: values that are no numbers, or other tokens.
    """
    if not probes:
        raise UsageError("There are no prompts to prove an effect with")
    state = _state_with(client, name)
    requests = 3 * len(probes) + 1
    done = 0

    def ask(text: str, adapter: str | None) -> Numbers:
        nonlocal done
        check_stop()
        progress(done, requests)
        found = _checked(client.log_probabilities(text, adapter), adapter)
        done += 1
        return found

    answers = []
    for text in probes:
        # the base model before and after: a cache or a batch that mixes both is seen in the second
        probed = Probed(ask(text, None), ask(text, name), ask(text, None))
        if len({len(numbers) for numbers in probed}) > 1:
            raise _other_tokens()
        answers.append(probed)
    last = ask(probes[0], None)
    if len(last) != len(answers[0].base):
        raise _other_tokens()
    _state_with(client, name)  # else it may be the base model that has answered in its place
    progress(requests, requests)
    return judge(answers, last, floor=floor_of(state.dtype))


def judge(answers: Sequence[Probed], last: Numbers, *, floor: float = BF16_FLOOR) -> Measured:
    """The verdict on the answers. `last`: the base model's to the first prompt, after all others.

    `floor`: nats on the sum of a prompt, below which a difference may be rounding.
    """
    tokens = sum(len(each.base) for each in answers)
    again = [(each, each.again) for each in answers] + [(answers[0], last)]
    floors = [_floor(floor, len(each.base)) for each in answers]
    distances = [_distance(each.adapted, each.base) for each in answers]
    noises = [_distance(each.again, each.base) for each in answers]
    noises[0] = max(noises[0], _distance(last, answers[0].base))
    noise = math.fsum(noises) + math.fsum(floors)
    difference = math.fsum(_absolute(each.adapted, each.base) for each in answers) / tokens
    reason = next((text for each, other in again if (text := _unsteady(each, other, floor))), "")
    if reason:
        verdict = Verdict.UNCLEAR
    elif all(_is_base(each) for each in answers):
        verdict = Verdict.NO_EFFECT
    elif math.fsum(distances) > noise:
        verdict = Verdict.EFFECT
    else:
        verdict = Verdict.UNCLEAR
        found, rounding = (formats.significant(x / len(answers)) for x in (sum(distances), noise))
        reason = (
            f"The sum of a prompt's log-probabilities differs by {found} nats, and rounding alone"
            f" may make {rounding}. Longer prompts like its training data show more: --prompts FILE"
        )
    return Measured(
        verdict,
        difference,
        noise / tokens,
        len(answers),
        tokens,
        reason,
        _absurd(answers) if verdict is Verdict.EFFECT else "",
    )


def floor_of(dtype: str) -> float:
    """Nats on the sum of a prompt that rounding makes of an adapter too small to matter.

    `dtype` is what a server says: `bfloat16`, `float16`, `all F32`, `Q4_K - Medium`. Anything
    unknown counts as bf16, the coarsest; so do quantised weights, for which llama.cpp rounds the
    activations to 8 bits too.
    """
    plain = dtype.lower().replace("all ", "").strip()
    if plain in ("float32", "fp32", "f32"):
        return FP32_FLOOR
    if plain in ("float16", "fp16", "f16", "half"):
        return FP16_FLOOR
    return BF16_FLOOR


def _floor(floor: float, tokens: int) -> float:
    return floor * math.sqrt(max(1.0, tokens / FLOOR_TOKENS))


def _distance(one: Numbers, other: Numbers) -> float:
    """How far two answers to one prompt are apart, in nats on the sum.

    The difference of their sums, or, where the tokens' differences cancel each other, their
    Euclidean length: for independent rounding errors both are equally large.
    """
    changes = [a - b for a, b in zip(one, other, strict=True)]
    return max(abs(math.fsum(changes)), math.hypot(*changes))


def _absolute(one: Numbers, other: Numbers) -> float:
    return math.fsum(abs(a - b) for a, b in zip(one, other, strict=True))


def _is_base(each: Probed) -> bool:
    """Whether the adapter's answer is exactly one of the base model's."""
    return any(list(each.adapted) == list(base) for base in (each.base, each.again))


def _unsteady(each: Probed, again: Numbers, floor: float) -> str:
    """Why the base model's answers can't be compared with; empty where they can."""
    own = _floor(floor, len(each.base))
    moved = _distance(again, each.base)
    if moved <= own:
        return ""
    if _distance(again, each.adapted) < moved / 2:
        return (
            "The server answers the base model as it answers the adapter, once that was asked: it"
            " mixes both, as vLLM on a CPU does while it answers several requests at once. Try"
            " again while nobody else uses the server, or start it again"
        )
    if moved > BASE_CHANGED * own:
        return (
            "The base model does not give the same answer twice: the sum of a prompt's"
            f" log-probabilities changed by {formats.significant(moved)} nats. Try again while"
            " nobody changes or uses the server"
        )
    return ""


def _absurd(answers: Sequence[Probed]) -> str:
    falls = [(math.fsum(each.base) - math.fsum(each.adapted)) / len(each.base) for each in answers]
    mean = math.fsum(falls) / len(falls)
    if mean < ABSURD_FALL or min(falls) < ABSURD_EACH:
        return ""
    return (
        f"With the adapter every prompt is less likely than without it, by"
        f" {formats.significant(mean)} nats a token:"
        " its answers are probably garbage, as from an adapter of another base model or of damaged"
        " weights"
    )


def _state_with(client: Client, name: str) -> ServerState:
    """The state of a server that has this adapter. Raises NotFoundError, UnreachableError."""
    state = client.state()
    if not state.answers:
        raise UnreachableError("The server does not answer", details=state.error or None)
    if name not in {adapter.name for adapter in state.adapters}:
        raise NotFoundError(
            "The server does not have this adapter",
            details=terminal_safe(name, limit=200),
            remedy="load it with `lora-tui load`; `lora-tui servers list` shows what it has",
        )
    return state


def _checked(numbers: Sequence[float], adapter: str | None) -> Numbers:
    """The numbers, if they can be log-probabilities. Raises BackendError."""
    if not 0 < len(numbers) <= _MOST_TOKENS:
        raise BackendError(
            "The server gives no log-probabilities for a prompt",
            remedy="use prompts of several words; see `lora-tui servers list` for the server",
        )
    if all(_LOWEST <= number <= _HIGHEST for number in numbers):  # false for NaN
        return numbers
    who = "base model" if adapter is None else "adapter"
    raise BackendError(
        f"The server's log-probabilities for the {who} are no numbers",
        details="NaN or infinite, or none that a probability can have",
        remedy="run `lora-tui spectrum` on the adapter: its weights may be damaged"
        if adapter is not None
        else "check the server: its base model may be damaged",
    )


def _other_tokens() -> BackendError:
    return BackendError(
        "The server's answers to one prompt have different lengths, so they can't be compared",
        remedy="try again; if it stays so, the server reads a prompt otherwise for the adapter",
    )
