"""The best few models of one dataset and base model, and in what the first one differs.

Pure functions; `best.py` decides the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lora_tui import formats
from lora_tui.domain import Model
from lora_tui.reports.best import (
    Basis,
    Ranking,
    Validation,
    ranking,
    validation_data,
    validation_of,
)
from lora_tui.reports.compare import Row, compare_models
from lora_tui.reports.losses import training_loss

if TYPE_CHECKING:
    from lora_tui.opinion import Opinion

_CHOSEN = ("Hyperparameters", "Dataset")
"""The groups of properties that somebody chose; and these of other groups:"""
_CHOSEN_TOO = ("Preset", "GPU", "GPUs")


@dataclass(frozen=True)
class Place:
    """One model of the board."""

    place: int
    """From 1; models whose losses are equal as shown share a place."""
    model: Model
    validation: Validation | None
    training_loss: float | None


class PlaceTexts(NamedTuple):
    """The cells of a place, as a table shows them."""

    place: str
    name: str
    last: str
    last_step: str
    lowest: str
    lowest_step: str
    training: str


HEADINGS: Final = PlaceTexts("", "NAME", "VAL. LOSS", "AT STEP", "BEST VAL.", "AT STEP", "TRAINING")


def place_texts(place: Place) -> PlaceTexts:
    """The place as a table shows it; a dash where a loss or a step is unknown."""
    found = place.validation
    lowest = found if found is not None and found.best is not None else None
    return PlaceTexts(
        str(place.place),
        place.model.name,
        formats.loss(found.last if found else None),
        _step(found.last_step if found else None),
        formats.loss(lowest.best if lowest else None),
        _step(lowest.best_step if lowest else None),
        formats.loss(place.training_loss),
    )


def _step(value: float | None) -> str:
    return formats.NO_VALUE if value is None else formats.step(value)


@dataclass(frozen=True)
class Difference:
    """A setting in which the first model differs from all others of the board."""

    property: str
    value: Any
    others: tuple[Any, ...]
    text: str
    """`Rank 32 (others 8, 16)`."""


@dataclass(frozen=True)
class Board:
    """The best few of one dataset and base model."""

    dataset_id: str
    dataset_name: str | None
    base_model: str
    models: int
    """How many there are in all."""
    basis: Basis | None
    """What they are ranked by: validation or training losses; None where there are none."""
    places: tuple[Place, ...]
    differences: tuple[Difference, ...]
    sentences: tuple[str, ...]
    """What they are ranked by, who is not, and in what the first differs."""


class Counts(NamedTuple):
    """Of all models of a group, also those that are no candidates."""

    models: int
    validated: int
    """How many have a validation loss."""
    broken: int
    """How many of those that could be ranked ended with losses that are not numbers."""


def board(
    group: tuple[str, str | None, str],
    counts: Counts,
    models: Sequence[Model],
    opinions: Sequence[Opinion | None],
    limit: int,
) -> Board:
    """Rank the candidates of a group (dataset's id, its name, base model).

    `models` has the candidates, with their `opinions` in the same order.
    """
    ranked = ranking(models, opinions)
    shown = ranked.order[:limit]
    places: list[Place] = []
    for index in shown:
        model, opinion = models[index], opinions[index]
        found, trained = validation_of(model, opinion), training_loss(model, opinion)
        place = Place(len(places) + 1, model, found, trained)
        if places and _text(places[-1]) == _text(place):
            place = Place(places[-1].place, model, found, trained)
        places.append(place)
    differences = _differences([models[n] for n in shown], [opinions[n] for n in shown])
    return Board(
        *group,
        models=counts.models,
        basis=ranked.basis if shown else None,
        places=tuple(places),
        differences=differences,
        sentences=tuple(_sentences(ranked, counts, len(models), places, differences)),
    )


def board_data(found: Board) -> dict[str, Any]:
    """For the JSON envelope."""
    return {
        "dataset": {"id": found.dataset_id, "name": found.dataset_name},
        "base_model": found.base_model,
        "models": found.models,
        "ranked_by": found.basis.value if found.basis else None,
        "places": [
            {
                "place": place.place,
                "id": place.model.id,
                "name": place.model.name,
                "validation": validation_data(place.validation),
                "training_loss": place.training_loss,
            }
            for place in found.places
        ],
        "differences": [
            {"property": each.property, "value": each.value, "others": list(each.others)}
            for each in found.differences
        ],
        "sentences": list(found.sentences),
    }


def _text(place: Place) -> str:
    return formats.loss(place.validation.last if place.validation else place.training_loss)


def _differences(
    models: Sequence[Model], opinions: Sequence[Opinion | None]
) -> tuple[Difference, ...]:
    if len(models) < 2:
        return ()
    return tuple(
        Difference(
            row.label,
            row.values[0],
            tuple(dict.fromkeys(row.values[1:])),
            f"{row.label} {row.texts[0]} (others {', '.join(dict.fromkeys(row.texts[1:]))})",
        )
        for row in compare_models(models, opinions).rows
        if _is_chosen(row) and row.texts[0] not in row.texts[1:]
    )


def _is_chosen(row: Row) -> bool:
    return row.group in _CHOSEN or row.label in _CHOSEN_TOO


def _sentences(
    ranked: Ranking,
    counts: Counts,
    looked_at: int,
    places: Sequence[Place],
    differences: Sequence[Difference],
) -> list[str]:
    total, validated, all_broken = counts
    if not ranked.comparable:
        return ["Different evaluation sets: losses can't be compared; none is ranked."]
    sentences = []
    if places and ranked.basis is Basis.TRAINING:
        sentences.append(
            "No model has a validation loss: ranked by training loss, which hides overfitting."
        )
    broken = len(ranked.broken)
    zero = len(ranked.zero)
    without = (
        looked_at - len(ranked.order) - broken - zero + (total - validated if validated else 0)
    )
    if without:
        have = "has" if without == 1 else "have"
        which = "validation loss" if validated else "loss"
        text = formats.counted(without, "model")
        sentences.append(f"{text} {have} no {which}: not ranked.")
    broken = max(broken, all_broken)  # the best suffice for a board, so that not all were read
    if broken:
        text = formats.counted(broken, "model")
        sentences.append(f"{text} ended with losses that are not numbers: not ranked.")
    if zero:
        have = "has" if zero == 1 else "have"
        text = formats.counted(zero, "model")
        sentences.append(f"{text} {have} a {ranked.basis.value} loss of exactly 0: not ranked.")
    if not places:
        return sentences or ["No model has a loss."]
    if [place.place for place in places].count(1) > 1:
        sentences.append("The first ones have the same loss.")
    elif len(places) > 1:
        texts = [each.text for each in differences]
        sentences.append(
            f"The first differs from the others in: {formats.some_of(texts, 4)}."
            if texts
            else "No setting of the first differs from those of all others."
        )
    return sentences
