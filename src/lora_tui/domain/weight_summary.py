"""The summary of an adapter's weights: `configuration.weights` of a model, read without trust.

`adapters/weight_facts.py` makes it when a model is harvested or pushed. It takes at most 1 KB, and
every figure can be absent, since anybody may have written the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lora_tui.json_values import integer, json_text, mapping, number
from lora_tui.text import terminal_safe

MAX_SUMMARY_BYTES: Final = 1024
SUMMARY_VERSION: Final = 1
MOST_NAMES: Final = 3
_LONGEST_NAME: Final = 80
_MOST_LAYERS: Final = 200


@dataclass(frozen=True)
class WeightSummary:
    """What the weights of an adapter say, in a few figures.

    A norm is the Frobenius norm of scaling · B · A, in the unit of the weights.
    """

    tensors: int
    """Tensors of a floating-point type that were read."""
    damaged: int = 0
    """Tensors with a value that is NaN or infinite."""
    damaged_names: tuple[str, ...] = ()
    """The first few of them; safe for a terminal."""
    modules: int = 0
    """Modules with LoRA matrices."""
    evaluated: int = 0
    """Modules whose norm is known: the others are damaged, or not plain LoRA."""
    dead: int = 0
    """Evaluated modules without any effect: B·A is zero."""
    other_tensors: int = 0
    """Tensors outside LoRA pairs: saved modules, biases, magnitudes."""
    scaled: bool = True
    """False where the configuration gives no scaling: norms are those of B·A."""
    rank: int | None = None
    """The largest rank of a module."""
    norm: float | None = None
    """Of all evaluated modules together: the root of the sum of their squares."""
    median_norm: float | None = None
    largest: float | None = None
    """The largest singular value of any module."""
    stable_rank: float | None = None
    """Median over the modules that have an effect."""
    effective_rank: float | None = None
    """Median over the modules that have an effect."""
    highest_effective_rank: float | None = None
    outliers: int = 0
    """Modules whose norm is far from those of the same kind in other layers."""
    outlier_names: tuple[str, ...] = ()
    layers: tuple[float, ...] = ()
    """The norm of each layer, in order; empty where the adapter has no single stack of layers."""

    @property
    def is_damaged(self) -> bool:
        """Whether a value is NaN or infinite: the model can't give a sensible answer."""
        return self.damaged > 0

    @property
    def has_no_effect(self) -> bool:
        """Whether no LoRA module changes anything; tensors beside the matrices still may."""
        return 0 < self.modules == self.evaluated == self.dead

    def as_json(self) -> dict[str, Any]:
        """The summary as `configuration.weights` has it, at most `MAX_SUMMARY_BYTES` as JSON.

        Figures have four significant digits. The norms of layers, then names, are left out where
        they would not fit.
        """
        document: dict[str, Any] = {
            "version": SUMMARY_VERSION,
            "tensors": self.tensors,
            "damaged": self.damaged,
            "modules": self.modules,
            "evaluated": self.evaluated,
            "dead": self.dead,
            "other_tensors": self.other_tensors,
            "scaled": self.scaled,
            "rank": self.rank,
            "outliers": self.outliers,
            **{name: _short(getattr(self, name)) for name in _FIGURES},
        }
        for name, value in (
            ("damaged_names", list(self.damaged_names[:MOST_NAMES])),
            ("outlier_names", list(self.outlier_names[:MOST_NAMES])),
            ("layers", [_short(norm, 3) for norm in self.layers]),
        ):
            longer = {**document, name: value}
            if value and len(json_text(longer)) <= MAX_SUMMARY_BYTES:
                document = longer
        return document

    @classmethod
    def from_json(cls, value: object) -> WeightSummary | None:
        """Read `configuration.weights`; None where there is none that this version can read."""
        data = mapping(value)
        tensors = _count(data.get("tensors"))
        if tensors is None or integer(data.get("version")) != SUMMARY_VERSION:
            return None
        modules = _count(data.get("modules")) or 0
        evaluated = min(modules, _count(data.get("evaluated")) or 0)
        return cls(
            tensors=tensors,
            damaged=min(tensors, _count(data.get("damaged")) or 0),
            damaged_names=_names(data.get("damaged_names")),
            modules=modules,
            evaluated=evaluated,
            dead=min(evaluated, _count(data.get("dead")) or 0),
            other_tensors=_count(data.get("other_tensors")) or 0,
            scaled=data.get("scaled") is not False,
            rank=_count(data.get("rank")) or None,
            outliers=min(evaluated, _count(data.get("outliers")) or 0),
            outlier_names=_names(data.get("outlier_names")),
            layers=_layers(data.get("layers")),
            **{name: _size(data, name) for name in _FIGURES},
        )


_FIGURES: Final = (
    "norm", "median_norm", "largest", "stable_rank", "effective_rank", "highest_effective_rank",
)  # fmt: skip


def _short(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")


def _count(value: object) -> int | None:
    found = None if isinstance(value, str) else integer(value)
    return found if found is not None and found >= 0 else None


def _size(data: Mapping[str, Any], name: str) -> float | None:
    """A finite figure that is not negative."""
    value = data.get(name)
    found = None if isinstance(value, str) else number(value)
    return found if found is not None and found >= 0 else None


def _names(value: object) -> tuple[str, ...]:
    items = value[:MOST_NAMES] if isinstance(value, list) else []
    safe = (terminal_safe(item, limit=_LONGEST_NAME) for item in items if isinstance(item, str))
    return tuple(name for name in safe if name)


def _layers(value: object) -> tuple[float, ...]:
    items = value if isinstance(value, list) and len(value) <= _MOST_LAYERS else []
    found = [_size({"norm": item}, "norm") for item in items]
    return tuple(norm for norm in found if norm is not None) if None not in found else ()
