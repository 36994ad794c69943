"""Decides which of several models is better in what, and says why. Pure functions.

The validation loss decides where a model has one: a training loss also falls while a run learns its
examples by heart. Losses are compared only within one dataset and one base model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lora_tui import formats
from lora_tui.domain import Model, Quality, StepLoss, Training
from lora_tui.reports import LETTERS
from lora_tui.reports.losses import training_loss

if TYPE_CHECKING:
    from lora_tui.opinion import Opinion
    from lora_tui.opinion import Validation as RunValidation


_MOST_NUMBERED: Final = 4
"""Of more models a sentence says only how many they are."""


class Basis(Enum):
    """What a property is computed from, which says whether the models can be ranked by it."""

    ITSELF = "itself"
    """Always comparable: a cost, a time."""
    VALIDATION = "validation"
    """The validation losses."""
    TRAINING = "training"
    """The training losses; not ranked where a model has a validation loss."""
    RATING = "rating"
    """The stored rating, a share of the first training loss: ranked across datasets too."""


@dataclass(frozen=True)
class Validation:
    """The validation losses of a run; what is not known is None."""

    last: float
    """The last recorded one, which may be before the last point."""
    last_step: float | None
    best: float | None
    """The lowest of the run."""
    best_step: float | None


@dataclass(frozen=True)
class Judgement:
    """Which models are ranked by what, and which are best by their losses. Models by index."""

    comparable: bool
    """Whether the models are of one dataset and one base model, as far as is known."""
    broken: frozenset[int]
    """Those whose weights are of a run that ended with losses that are not numbers."""
    zero: frozenset[int]
    """Those whose loss that decides is exactly 0, never ranked by it.

    Trainer logs a NaN of the training so; the rating takes a validation loss of 0 for none.
    """
    ranked: dict[Basis, frozenset[int]]
    validations: tuple[Validation | None, ...]
    best_last: frozenset[int]
    """Those with the best last recorded validation loss; empty where none is better."""
    best_lowest: frozenset[int]
    """Those with the lowest validation loss of their runs; empty where none is better."""
    best_training: frozenset[int]
    """Those with the best training loss; empty where a validation loss decides."""
    sentences: tuple[str, ...]
    """For people; models are named by their letters, of more than six by their numbers from 1.

    The first says what can't be compared.
    """

    def best(
        self,
        values: Sequence[Any],
        texts: Sequence[str],
        *,
        sign: int,
        basis: Basis = Basis.ITSELF,
    ) -> frozenset[int]:
        """The models whose text equals that of the best value; none where no value is better.

        `sign` is 1 where a higher value is better, -1 where a lower one is, else 0.
        """
        return _best(values, texts, sign, self.ranked[basis], basis)


class Ranking(NamedTuple):
    """The models that are ranked by their losses, by index."""

    order: list[int]
    """The best first."""
    basis: Basis
    """The losses that decide."""
    comparable: bool
    broken: frozenset[int]
    """Those that ended with losses that are not numbers; never ranked."""
    zero: frozenset[int]
    """Those whose loss that decides is exactly 0; never ranked."""


def validation_of(model: Model, opinion: Opinion | None) -> Validation | None:
    """The validation losses of the model's run; None where none is known."""
    run = None if opinion is None else opinion.validation
    return validation_from(model.quality, model.training, run)


def validation_from(
    quality: Quality, training: Training, run: RunValidation | None
) -> Validation | None:
    """Like `validation_of`; `run` is what the points of the run recorded, None where nothing."""
    stored = quality.final_validation_loss
    last, best = training.last_validation, None
    if run is not None:
        last, best = StepLoss(run.last_step, run.last), StepLoss(run.best_step, run.best)
    else:
        curve = _validated(training)
        last = last or (curve[-1] if curve else None)
        best = _lowest(training, curve)
    loss = stored if stored is not None else last.loss if last else None
    if loss is None:
        return None
    return Validation(
        loss,
        last.step if last else None,
        best.loss if best else None,
        best.step if best else None,
    )


def best_validation_text(model: Model, opinion: Opinion | None) -> str | None:
    """`0.8811 at step 1,200`, the lowest of the run; None where the last one is the lowest."""
    found = validation_of(model, opinion)
    if found is None or found.best is None:
        return None
    text = formats.loss(found.best)
    return None if text == formats.loss(found.last) else f"{text}{_at(found.best_step)}"


def validation_data(found: Validation | None) -> dict[str, float | None] | None:
    """For JSON: {last, last_step, best, best_step}."""
    if found is None:
        return None
    return {
        "last": found.last,
        "last_step": found.last_step,
        "best": found.best,
        "best_step": found.best_step,
    }


def judge(models: Sequence[Model], opinions: Sequence[Opinion | None]) -> Judgement:
    """Judge models that are compared; `opinions` are in the same order."""
    pairs = list(zip(models, opinions, strict=True))
    found = tuple(validation_of(*pair) for pair in pairs)
    broken = frozenset(n for n, pair in enumerate(pairs) if _is_broken(*pair))
    differences, unknown = _differences(models)
    everyone = frozenset(range(len(models)))
    has_validation = any(found)
    losses = [training_loss(*pair) for pair in pairs]
    deciding = [each and each.last for each in found] if has_validation else losses
    zero = frozenset(n for n in everyone if deciding[n] == 0) - broken
    validated = frozenset(n for n in everyone if found[n]) - broken - zero
    trained = everyone - broken - zero
    ranked = {
        Basis.ITSELF: everyone,
        Basis.VALIDATION: frozenset() if differences else validated,
        Basis.TRAINING: frozenset() if differences or has_validation else trained,
        Basis.RATING: frozenset() if has_validation else trained,
    }

    def lowest(values: Sequence[float | None], basis: Basis) -> frozenset[int]:
        return _best(values, [formats.loss(value) for value in values], -1, ranked[basis], basis)

    best_last = lowest([each.last if each else None for each in found], Basis.VALIDATION)
    best_lowest = lowest([each.best if each else None for each in found], Basis.VALIDATION)
    has_loss = has_validation or any(loss is not None for loss in losses)
    if not has_loss:
        sentences = _broken_sentence(broken, len(models))
    elif differences:
        sentences = [f"Different {_and(differences)}: losses can't be compared; none is marked."]
    else:
        sentences = [*unknown, *_broken_sentence(broken, len(models))]
        if has_validation:
            sentences += _zero_sentence(zero, len(models), "validation loss of exactly 0")
            left_out = broken | zero
            sentences += _validation_sentences(found, validated, left_out, best_last, best_lowest)
        else:
            text = "training loss of exactly 0, as is logged for one that is not a number"
            sentences += _zero_sentence(zero, len(models), text)
            sentences.append("No model has a validation loss: overfitting would not be seen.")
    return Judgement(
        comparable=not differences,
        broken=broken,
        zero=zero,
        ranked=ranked,
        validations=found,
        best_last=best_last,
        best_lowest=best_lowest,
        best_training=lowest(losses, Basis.TRAINING),
        sentences=tuple(text[:1].upper() + text[1:] for text in sentences),
    )


def ranking(models: Sequence[Model], opinions: Sequence[Opinion | None]) -> Ranking:
    """The models in the order of their losses; none where these can't be compared."""
    judged = judge(models, opinions)
    basis = Basis.VALIDATION if any(judged.validations) else Basis.TRAINING
    losses = {
        index: found.last if found else training_loss(models[index], opinions[index])
        for index, found in enumerate(judged.validations)
    }
    known = {
        index: loss
        for index, loss in losses.items()
        if loss is not None and index in judged.ranked[basis]
    }
    return Ranking(
        sorted(known, key=known.__getitem__), basis, judged.comparable, judged.broken, judged.zero
    )


def _best(
    values: Sequence[Any], texts: Sequence[str], sign: int, ranked: frozenset[int], basis: Basis
) -> frozenset[int]:
    known = [index for index in sorted(ranked) if values[index] is not None]
    if basis is Basis.VALIDATION and len(known) < len(ranked):
        # A missing value is no worse value: the last point of that run had no evaluation.
        return frozenset()
    if sign == 0 or len({texts[index] for index in known}) < 2:
        return frozenset()
    best = max(known, key=lambda index: sign * values[index])
    return frozenset(index for index in known if texts[index] == texts[best])


def _validated(training: Training) -> list[StepLoss]:
    """The validation losses of the curve that came with the model."""
    return [
        StepLoss(point.step, point.validation_loss)
        for point in training.loss_curve
        if point.validation_loss is not None
    ]


def _lowest(training: Training, curve: Sequence[StepLoss]) -> StepLoss | None:
    if training.evaluation_sets:
        return training.evaluation_sets[0].best
    return min(curve, key=lambda recorded: recorded.loss, default=None)


def _is_broken(model: Model, opinion: Opinion | None) -> bool:
    if opinion is None:
        return model.training.bad_from is not None
    last = opinion.last_number
    return is_broken(model.training, opinion.ends_bad, last.step if last else None)


def is_broken(training: Training, ends_bad: bool, last_step: float | None) -> bool:
    """Whether the weights are of the end of a run that ended with losses that are not numbers.

    `last_step`: that of the last training loss that is a number.
    """
    weights = training.weights_step
    is_before = weights is not None and last_step is not None and weights <= last_step
    return ends_bad and not is_before


_OF_A_MODEL: Final[tuple[tuple[str, Callable[[Model], str | None]], ...]] = (
    ("dataset", lambda model: model.dataset_id),
    ("base model", lambda model: model.hyperparameters.base_model),
)


def _differences(models: Sequence[Model]) -> tuple[list[str], list[str]]:
    """In what the models differ so that losses can't be compared, and what is not known, in words.

    Of several evaluation sets the first one is the validation loss; another name is other data.
    """
    different, unknown = [], []
    for what, read in _OF_A_MODEL:
        values = [read(model) or None for model in models]
        missing = [index for index, value in enumerate(values) if value is None]
        if len(set(values) - {None}) > 1:
            different.append(f"{what}s")
        elif missing:
            its = "its" if len(missing) == 1 else "their"
            unknown.append(
                f"The {what} of {_named(missing, len(models))} is not known: "
                f"{its} losses may not be comparable."
            )
    sets = [model.training.evaluation_sets for model in models]
    if len({each[0].name for each in sets if each}) > 1:
        different.append("evaluation sets")
    return different, unknown


def _broken_sentence(broken: frozenset[int], of: int) -> list[str]:
    if not broken:
        return []
    are = "it is" if len(broken) == 1 else "they are"
    return [
        f"{_named(broken, of)} ended with losses that are not numbers: {are} not ranked by losses."
    ]


def _zero_sentence(zero: frozenset[int], of: int, loss: str) -> list[str]:
    if not zero:
        return []
    verb, are = ("has", "it is") if len(zero) == 1 else ("have", "they are")
    return [f"{_named(zero, of)} {verb} a {loss}: {are} not ranked."]


def _validation_sentences(
    found: Sequence[Validation | None],
    validated: frozenset[int],
    left_out: frozenset[int],
    best_last: frozenset[int],
    best_lowest: frozenset[int],
) -> list[str]:
    """Who is best by validation, ties, who has no validation loss, and what is not marked."""
    missing = [index for index, each in enumerate(found) if each is None and index not in left_out]
    have, are = ("has", "it is") if len(missing) == 1 else ("have", "they are")
    without = [
        f"{_named(missing, len(found))} {have} no validation loss: {are} not ranked by losses."
    ]
    if not validated:
        return without if missing else []
    if len(validated) == 1:
        only = "is left with" if left_out else "has"
        sentence = (
            f"Only {_named(validated, len(found))} {only} a validation loss: no loss is marked."
        )
        return [sentence, *(without if missing and left_out else ())]
    sentences = _best_sentences(found, validated, best_last, best_lowest)
    if missing:
        sentences += without
    sentences.append("Not marked, as validation decides: training loss, loss reduction, rating.")
    return sentences


def _best_sentences(
    found: Sequence[Validation | None],
    validated: frozenset[int],
    best_last: frozenset[int],
    best_lowest: frozenset[int],
) -> list[str]:
    """Who has the best last validation loss, and who had the lowest of its run."""
    sentences = []
    some = found[min(best_last or validated)]
    last = formats.loss(some.last if some else None)
    if not best_last:
        who = _named(validated, len(found)) if len(validated) < len(found) else "All"
        sentences.append(f"{who} have the same last validation loss: {last}.")
    elif len(best_last) == 1:
        step = some.last_step if some else None
        sentences.append(
            f"{_named(best_last, len(found))} has the best last validation loss: {last}{_at(step)}."
        )
    else:
        sentences.append(
            f"{_named(best_last, len(found))} have the same best last validation loss: {last}."
        )
    if best_lowest and best_lowest != best_last:
        one = found[min(best_lowest)]
        text = formats.loss(one.best if one else None)
        step = one.best_step if one and len(best_lowest) == 1 else None
        runs = "its run" if len(best_lowest) == 1 else "their runs"
        sentences.append(
            f"{_named(best_lowest, len(found))} had the lowest of {runs}: {text}{_at(step)}."
        )
    return sentences


def _at(step: float | None) -> str:
    return "" if step is None else f" at step {formats.step(step)}"


def _named(indices: Iterable[int], of: int) -> str:
    """`A and C`; of more models than there are letters `model 3`, `models 3 and 7`, `12 models`."""
    places = sorted(indices)
    if of <= len(LETTERS):
        return _and([LETTERS[index] for index in places])
    if len(places) > _MOST_NUMBERED:
        return f"{formats.count(len(places))} models"
    return f"model{'s' if len(places) > 1 else ''} {_and([str(n + 1) for n in places])}"


def _and(words: Sequence[str]) -> str:
    """`A`, `A and B`, `A, B and C`; nothing of no words."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
