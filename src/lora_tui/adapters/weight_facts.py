"""What the weights of an adapter say, as plain values: by module, by layer, and as a summary.

Frozen value objects and arithmetic on their figures; `weights.py` computes the figures themselves.
Nothing here imports numpy, so screens can show what the cache holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, Final

from lora_tui import formats
from lora_tui.domain.weight_summary import MOST_NAMES, WeightSummary
from lora_tui.json_values import integer, mapping, number
from lora_tui.text import terminal_safe

FACTS_VERSION: Final = 1
MOST_MODULES: Final = 20_000
"""Modules of one document in the cache; an adapter of a large MoE model has some ten thousand."""
MAX_DAMAGED_LISTED: Final = 100
OUTLIER_SCORE: Final = 3.5
"""Modified z-score from which a norm is an outlier (Iglewicz and Hoaglin 1993)."""
OUTLIER_RATIO: Final = 2.0
"""How many times the median, or its inverse, an outlier must also be: norms of well-behaved
adapters may lie so close together that a few percent are many deviations."""
MIN_SIBLINGS: Final = 5
"""Modules that are needed for a statement about one of them."""

NO_LAYER: Final = -1

_NUMBER: Final = re.compile(r"(?:^|(?<=[._]))\d{1,6}(?=[._]|$)")


@dataclass(frozen=True)
class ModuleWeights:
    """The figures of one module; None where it could not be evaluated, `problem` says why.

    All are of scaling · B · A. Where a module adapts several experts, they are of all of these
    matrices together (norm, largest) or means over the experts (ranks, energy).
    """

    name: str
    """Safe for a terminal, as `LoraModule.name`."""
    rank: int
    scaling: float | None = None
    """The factor; None where the configuration does not give it, and 1 was used."""
    norm: float | None = None
    """The Frobenius norm."""
    largest: float | None = None
    """The largest singular value: the spectral norm."""
    stable_rank: float | None = None
    """norm² / largest² (Rudelson and Vershynin 2007): at least 1, at most the rank."""
    effective_rank: float | None = None
    """exp of the entropy of the singular values divided by their sum (Roy and Vetterli 2007)."""
    energy: tuple[float, ...] = ()
    """The share of norm² in the first 1, 2, 4, 8, … directions, up to the rank."""
    experts: int = 1
    damaged: bool = False
    """One of its matrices has a value that is NaN or infinite."""
    problem: str | None = None
    """Why it was not evaluated, or not completely."""

    @property
    def is_dead(self) -> bool:
        """Whether the module is evaluated and changes nothing: B·A is exactly zero."""
        return self.norm == 0.0

    @property
    def energy_by_directions(self) -> Mapping[int, float]:
        """Number of directions → share of norm² that they hold."""
        return {min(2**place, self.rank): share for place, share in enumerate(self.energy)}


@dataclass(frozen=True)
class DamagedTensor:
    """A tensor with values that are no numbers."""

    name: str
    """As in the file; safe for a terminal."""
    nan: int
    """How many values are NaN."""
    infinite: int

    @property
    def sentence(self) -> str:
        """`layers.0.q_proj.lora_A.weight: 64 values are NaN`."""
        parts = [
            f"{formats.counted(count, 'value')} {'is' if count == 1 else 'are'} {what}"
            for count, what in ((self.nan, "NaN"), (self.infinite, "infinite"))
            if count
        ]
        return f"{self.name}: {', '.join(parts)}"


@dataclass(frozen=True)
class WeightFacts:
    """All that the weights of one file say."""

    tensors: int
    """Tensors of a floating-point type that were read."""
    other_tensors: int
    """Those of them that are outside LoRA pairs."""
    modules: tuple[ModuleWeights, ...]
    damaged: tuple[DamagedTensor, ...]
    """The first `MAX_DAMAGED_LISTED` tensors with values that are no numbers."""
    damaged_count: int
    """How many such tensors there are."""
    scaled: bool
    """Whether the configuration gives the scaling of every module."""
    unread: int = 0
    """Tensors of a type whose values can't be checked."""

    @property
    def evaluated(self) -> tuple[ModuleWeights, ...]:
        """The modules whose norm is known."""
        return tuple(module for module in self.modules if module.norm is not None)

    @property
    def dead(self) -> tuple[ModuleWeights, ...]:
        """The modules without effect."""
        return tuple(module for module in self.modules if module.is_dead)

    @property
    def has_no_effect(self) -> bool:
        """Whether every module was evaluated and none has an effect: as before training."""
        return 0 < len(self.modules) == len(self.dead)


@dataclass(frozen=True)
class Outlier:
    """A module whose norm is far from those of the same kind in other layers."""

    module: ModuleWeights
    usual: float
    """The median of the norms of its kind."""
    score: float
    """The modified z-score of the logarithm of the norm."""

    @property
    def sentence(self) -> str:
        """The fact with its figures."""
        norm = self.module.norm or 0.0
        return (
            f"{self.module.name}: norm {formats.significant(norm)}, usual for its kind"
            f" {formats.significant(self.usual)}"
        )


@dataclass(frozen=True)
class Layer:
    """The modules of one layer together."""

    stack: str
    """What the layer is one of: `model.layers`; empty for modules outside layers."""
    number: int
    """`NO_LAYER` for the modules outside layers."""
    norm: float | None
    """The root of the sum of the squares of its modules' norms; None where none is known."""
    effective_rank: float | None
    """Median over its modules that have an effect."""
    modules: int
    damaged: bool

    @property
    def label(self) -> str:
        """`3`, or `other` for modules outside layers."""
        return "other" if self.number == NO_LAYER else str(self.number)


def place_of(name: str) -> tuple[str, int, str]:
    """Stack, number and kind of a module: `model.layers`, 3, `self_attn.q_proj`.

    The first number that is a part of the name is that of the layer, as in the names of
    transformers. Without one the stack is empty and the number `NO_LAYER`.
    """
    found = _NUMBER.search(name)
    if found is None:
        return "", NO_LAYER, name
    return name[: found.start()].strip("._"), int(found[0]), name[found.end() :].strip("._")


def layers_of(modules: Iterable[ModuleWeights]) -> tuple[Layer, ...]:
    """The layers in the order of their stacks and numbers; modules outside layers come last."""
    found: dict[tuple[str, int], list[ModuleWeights]] = {}
    for module in modules:
        stack, number_, _ = place_of(module.name)
        found.setdefault((stack, number_), []).append(module)
    stacks = list(dict.fromkeys(stack for stack, _ in found))
    ordered = sorted(
        found.items(),
        key=lambda item: (item[0][1] == NO_LAYER, stacks.index(item[0][0]), item[0][1]),
    )
    return tuple(
        Layer(
            stack=stack,
            number=place,
            norm=total_norm(module.norm for module in inner),
            effective_rank=_median(m.effective_rank for m in inner if not m.is_dead),
            modules=len(inner),
            damaged=any(module.damaged for module in inner),
        )
        for (stack, place), inner in ordered
    )


def total_norm(norms: Iterable[float | None]) -> float | None:
    """The Frobenius norm of matrices together; None where none is known, or it is too large."""
    known = [norm for norm in norms if norm is not None]
    total = math.hypot(*known) if known else math.inf
    return total if math.isfinite(total) else None


def outliers_of(modules: Iterable[ModuleWeights]) -> tuple[Outlier, ...]:
    """The modules whose norm is far from those of their siblings, the farthest first.

    Siblings have the same kind (`self_attn.q_proj`), stack and rank; dead modules are left out,
    since they are reported as such. The modified z-score is 0.6745 · (x - median) / MAD, with MAD
    the median absolute deviation; where MAD is zero the mean absolute deviation takes its place
    (Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993). x is the logarithm of the
    norm: norms differ by factors.
    """
    kinds: dict[tuple[str, str, int], list[tuple[ModuleWeights, float]]] = {}
    for module in modules:
        stack, place, kind = place_of(module.name)
        if place != NO_LAYER and module.norm:
            logarithm = math.log(module.norm)
            kinds.setdefault((stack, kind, module.rank), []).append((module, logarithm))
    found: list[Outlier] = []
    for siblings in kinds.values():
        if len(siblings) < MIN_SIBLINGS:
            continue
        centre = median(logarithm for _, logarithm in siblings)
        for (module, logarithm), score in zip(
            siblings, modified_scores([logarithm for _, logarithm in siblings]), strict=True
        ):
            far = abs(logarithm - centre) >= math.log(OUTLIER_RATIO)
            if far and abs(score) > OUTLIER_SCORE:
                found.append(Outlier(module, math.exp(centre), score))
    return tuple(sorted(found, key=lambda outlier: -abs(outlier.score)))


def modified_scores(values: Sequence[float]) -> list[float]:
    """The modified z-score of each value (Iglewicz and Hoaglin 1993); zeros where all are equal."""
    centre = median(values)
    distances = [abs(value - centre) for value in values]
    # both estimate the standard deviation: of normal values the MAD is 0.6745 of it, and the mean
    # absolute deviation sqrt(2 / pi), which is 1 / 1.253314
    deviation = median(distances) / 0.6745
    if deviation == 0.0:
        deviation = fmean(distances) * 1.253314
    if deviation == 0.0:
        return [0.0] * len(values)
    return [(value - centre) / deviation for value in values]


def summarise(facts: WeightFacts) -> WeightSummary:
    """The summary that is stored with the model."""
    evaluated = facts.evaluated
    alive = [module for module in evaluated if not module.is_dead]
    outliers = outliers_of(facts.modules)
    layers = layers_of(facts.modules)
    numbered = [layer for layer in layers if layer.number != NO_LAYER]
    single = len({layer.stack for layer in numbered}) == 1 and all(
        layer.norm is not None for layer in numbered
    )
    return WeightSummary(
        tensors=facts.tensors,
        damaged=facts.damaged_count,
        damaged_names=tuple(tensor.name for tensor in facts.damaged[:MOST_NAMES]),
        modules=len(facts.modules),
        evaluated=len(evaluated),
        dead=len(facts.dead),
        other_tensors=facts.other_tensors,
        scaled=facts.scaled,
        rank=max((module.rank for module in facts.modules), default=None),
        norm=total_norm(module.norm for module in evaluated),
        median_norm=_median(module.norm for module in evaluated),
        largest=max((m.largest for m in alive if m.largest is not None), default=None),
        stable_rank=_median(module.stable_rank for module in alive),
        effective_rank=_median(module.effective_rank for module in alive),
        highest_effective_rank=max(
            (m.effective_rank for m in alive if m.effective_rank is not None), default=None
        ),
        outliers=len(outliers),
        outlier_names=tuple(outlier.module.name for outlier in outliers[:MOST_NAMES]),
        layers=tuple(layer.norm or 0.0 for layer in numbered) if single else (),
    )


def facts_document(facts: WeightFacts) -> dict[str, Any]:
    """The facts as JSON, for the cache; `facts_from` reads them."""
    return {
        "version": FACTS_VERSION,
        "tensors": facts.tensors,
        "other_tensors": facts.other_tensors,
        "scaled": facts.scaled,
        "unread": facts.unread,
        "damaged_count": facts.damaged_count,
        "damaged": [[tensor.name, tensor.nan, tensor.infinite] for tensor in facts.damaged],
        "modules": [
            {
                "name": module.name,
                "rank": module.rank,
                "scaling": module.scaling,
                "norm": module.norm,
                "largest": module.largest,
                "stable_rank": module.stable_rank,
                "effective_rank": module.effective_rank,
                "energy": list(module.energy),
                "experts": module.experts,
                "damaged": module.damaged,
                "problem": module.problem,
            }
            for module in facts.modules
        ],
    }


def facts_from(document: object) -> WeightFacts | None:
    """The facts of a document that this version can read, else None; nothing in it is trusted."""
    data = mapping(document)
    modules, damaged = data.get("modules"), data.get("damaged")
    if integer(data.get("version")) != FACTS_VERSION or not isinstance(modules, list):
        return None
    return WeightFacts(
        tensors=max(0, integer(data.get("tensors")) or 0),
        other_tensors=max(0, integer(data.get("other_tensors")) or 0),
        modules=tuple(_module_from(mapping(module)) for module in modules[:MOST_MODULES]),
        damaged=tuple(
            DamagedTensor(
                terminal_safe(entry[0], limit=200),
                max(0, integer(entry[1]) or 0),
                max(0, integer(entry[2]) or 0),
            )
            for entry in (damaged if isinstance(damaged, list) else [])
            if isinstance(entry, list) and len(entry) == 3
        ),
        damaged_count=max(0, integer(data.get("damaged_count")) or 0),
        scaled=data.get("scaled") is not False,
        unread=max(0, integer(data.get("unread")) or 0),
    )


def _module_from(data: Mapping[str, Any]) -> ModuleWeights:
    energy = data.get("energy")
    shares = [number(share) for share in (energy if isinstance(energy, list) else [])[:64]]
    problem = data.get("problem")
    return ModuleWeights(
        name=terminal_safe(data.get("name"), limit=200),
        rank=max(0, integer(data.get("rank")) or 0),
        scaling=number(data.get("scaling")),
        norm=_size(data.get("norm")),
        largest=_size(data.get("largest")),
        stable_rank=_size(data.get("stable_rank")),
        effective_rank=_size(data.get("effective_rank")),
        energy=tuple(min(1.0, max(0.0, share)) for share in shares if share is not None),
        experts=max(1, integer(data.get("experts")) or 1),
        damaged=data.get("damaged") is True,
        problem=terminal_safe(problem, limit=200) if isinstance(problem, str) else None,
    )


def _size(value: object) -> float | None:
    found = number(value)
    return found if found is not None and found >= 0 else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
