"""Says why an adapter is likely to have no effect on a server, from what its files hold.

Pure functions of what `adapters/` has read. Each reason is a sentence with the fact it rests on;
the server is not asked, for none of them tells what it has skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lora_tui import formats
from lora_tui.adapters.inspection import Adapter
from lora_tui.adapters.weight_facts import NO_LAYER, place_of
from lora_tui.domain import WeightSummary
from lora_tui.domain.servers import ServerKind
from lora_tui.text import terminal_safe

_FOREIGN: Final = ("transformer.", "language_model.")
"""Beginnings of names of modules that vLLM loads without effect and without an error."""
_MOST_PROBLEMS: Final = 2
_NOT_HERE: Final = (
    "The adapter's files are not on this machine, so they were not looked at: `lora-tui download`"
    " fetches them"
)
_NO_WEIGHTS: Final = (
    "Only the adapter's header was read; whether B is zero shows when the model is downloaded"
)
_UNEXPLAINED: Final = (
    "The adapter's files do not explain it. The server knows which modules it has skipped; its log"
    " may tell. Or it answers the base model with this adapter too, until it is started again"
)


@dataclass(frozen=True)
class KnownFiles:
    """What is known of the files of an adapter."""

    adapter: Adapter | None = None
    """Its header and configuration."""
    weights: WeightSummary | None = None
    """What its weights say."""


def likely_reasons(
    files: KnownFiles, kind: ServerKind, base: str, *, explained: bool = True
) -> tuple[str, ...]:
    """Sentences, the most certain first: why it may have no effect on a server of this kind.

    `base`: the base model that the server names. With `explained` there is always one sentence,
    if only that nothing is known.
    """
    reasons = [*_of_weights(files), *_of_header(files, kind), *_of_base(files, base)]
    if explained and not reasons:
        if files.adapter is None and files.weights is None:
            return (_NOT_HERE,)
        reasons.append(_UNEXPLAINED)
    if explained and files.weights is None and files.adapter is not None:
        reasons.append(_NO_WEIGHTS)
    return tuple(reasons)


def base_mismatch(files: KnownFiles, base: str) -> str:
    """The sentence that it was trained for another base model than the server has; or empty."""
    return next(_of_base(files, base), "")


def _of_weights(files: KnownFiles) -> Iterator[str]:
    weights = files.weights
    if weights is None:
        return
    modules = files.adapter.modules if files.adapter is not None else ()
    scalings = [module.scaling for module in modules]
    if scalings and not any(scaling is None or scaling for scaling in scalings):
        yield f"lora_alpha is 0, so the change of {_all(len(scalings))} is multiplied by 0"
    elif weights.has_no_effect:
        yield (
            f"B is zero in {_all(weights.modules)} (B·A is): the weights are as they were before"
            " training"
        )
    elif weights.dead:
        yield (
            f"B is zero in {formats.count(weights.dead)} of"
            f" {formats.counted(weights.modules, 'module')} (B·A is); the others change something"
        )
    if weights.is_damaged:
        yield f"{formats.counted(weights.damaged, 'tensor')} with NaN or infinite values"


def _of_header(files: KnownFiles, kind: ServerKind) -> Iterator[str]:
    adapter = files.adapter
    if adapter is None:
        return
    names = [module.name for module in adapter.header.modules]
    if not names:
        yield f"The file has no LoRA matrices: it is {adapter.kind}"
        return
    if kind is ServerKind.VLLM:
        yield from _of_names(names)
    layers = sorted({place_of(name)[1] for name in names} - {NO_LAYER})
    if layers and layers[0] > 0:
        yield (
            f"It changes only layers {layers[0]} to {layers[-1]}: a server drops the layers that"
            " its base model lacks"
        )
    yield from (
        f"PEFT does not load it either: {problem}" for problem in adapter.problems[:_MOST_PROBLEMS]
    )


def _of_names(names: Sequence[str]) -> Iterator[str]:
    for what in _FOREIGN:
        found = [name for name in names if name.startswith(what)]
        if found:
            yield _skipped(found, names, f"begin with {what}")
            return
    found = [name for name in names if ".h." in f".{name}"]
    if found:
        yield _skipped(found, names, "have .h. in place of .layers.")


def _skipped(found: Sequence[str], names: Sequence[str], what: str) -> str:
    return (
        f"The names of {formats.count(len(found))} of {formats.counted(len(names), 'module')}"
        f" {what}, such as {found[0]}: vLLM skips names that its own model does not have, without"
        " an error"
    )


def _of_base(files: KnownFiles, base: str) -> Iterator[str]:
    config = files.adapter.config if files.adapter is not None else None
    trained = config.base_model if config is not None and config.base_model else ""
    if trained and base and _last(trained) != _last(base):
        yield (
            f"It was trained for {terminal_safe(trained, limit=120)}, and the server says that its"
            f" base model is {terminal_safe(base, limit=120)}"
        )


def _last(name: str) -> str:
    """What a name of a base model has in common with its directory, or its GGUF file."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
    return last.removesuffix(".gguf")


def _all(count: int) -> str:
    return "the only module" if count == 1 else f"all {formats.count(count)} modules"
