"""Compares models: a table with one row for each property. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lora_tui import formats
from lora_tui.clock import parse_timestamp
from lora_tui.domain import Model
from lora_tui.reports import LETTERS, MAX_COMPARED
from lora_tui.reports.best import (
    Basis,
    Judgement,
    Validation,
    judge,
    validation_data,
    validation_of,
)
from lora_tui.reports.exports import csv_table
from lora_tui.reports.losses import training_loss

if TYPE_CHECKING:
    from lora_tui.opinion import Opinion

BEST_MARK: Final = "(best)"


@dataclass(frozen=True)
class Row:
    """One property of all compared models, in their order."""

    group: str
    label: str
    values: tuple[Any, ...]
    """For JSON and CSV: numbers, texts or None."""
    texts: tuple[str, ...]
    """Formatted for people."""
    best: frozenset[int]
    """Indices of the models with the best value; empty where no value is better than another."""
    format_difference: Callable[[Any], str] = field(default=str, compare=False)
    """Formats the absolute difference of two values."""

    @property
    def differs(self) -> bool:
        """Whether the formatted values differ."""
        return len(set(self.texts)) > 1

    def differences_from(self, reference: int) -> tuple[str, ...]:
        """The texts, with each number as its difference from the model at index `reference`."""
        base, same = self.values[reference], self.texts[reference]
        if not _is_number(base):
            return self.texts
        return tuple(
            text
            if index == reference or not _is_number(value)
            else "="
            if text == same
            else f"{'+' if value > base else '-'}{self.format_difference(abs(value - base))}"
            for index, (value, text) in enumerate(zip(self.values, self.texts, strict=True))
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Comparison:
    """The whole table; models are named as in the sentences of `judgement`."""

    models: tuple[Model, ...]
    rows: tuple[Row, ...]
    judgement: Judgement

    def name_of(self, index: int) -> str:
        """A letter; of more models than there are letters a number from 1."""
        return LETTERS[index] if len(self.models) <= MAX_COMPARED else str(index + 1)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Which model is best by its losses, and what can't be compared."""
        return self.judgement.sentences

    def shown(self, *, everything: bool) -> tuple[Row, ...]:
        """The rows that differ; with `everything` all rows that have any value."""
        if not everything:
            return tuple(row for row in self.rows if row.differs)
        return tuple(row for row in self.rows if set(row.texts) != {formats.NO_VALUE})


def compare_models(models: Sequence[Model], opinions: Sequence[Opinion | None]) -> Comparison:
    """Compare `MIN_COMPARED` to `MAX_TABLED` models; `opinions` are in the same order."""
    pairs = list(zip(models, opinions, strict=True))
    judged = judge(models, opinions)
    rows = [
        _row(column.group, column.label, [column.read(*pair) for pair in pairs], column, judged)
        for column in _COLUMNS
    ]
    others = [model.hyperparameters.other_settings for model in models]
    rows += _others("Hyperparameters", others, judged)
    rows += _others("GPU", [model.gpu.other_settings for model in models], judged)
    order = tuple(dict.fromkeys(column.group for column in _COLUMNS))
    rows.sort(key=lambda row: order.index(row.group))
    return Comparison(tuple(models), tuple(rows), judged)


def to_csv(comparison: Comparison, *, everything: bool = False) -> str:
    """CSV with one line a property: group, property, one column a model id, ids of the best."""
    ids = [model.id for model in comparison.models]
    names = ["", "name", *(model.name for model in comparison.models), ""]
    rows = [
        [row.group, row.label, *row.values, " ".join(ids[index] for index in sorted(row.best))]
        for row in comparison.shown(everything=everything)
    ]
    return csv_table(["group", "property", *ids, "best"], [names, *rows])


def to_data(comparison: Comparison, *, everything: bool = False) -> dict[str, Any]:
    """For the JSON envelope.

    {models: [{id, name}], rows: [{group, property, values, best}], judgement: {comparable,
    sentences, validation: {ID: {last, last_step, best, best_step}}, best: {last_validation,
    best_validation, training}}}; `best` has ids.
    """
    ids = [model.id for model in comparison.models]
    judged = comparison.judgement
    return {
        "models": [{"id": model.id, "name": model.name} for model in comparison.models],
        "rows": [
            {
                "group": row.group,
                "property": row.label,
                "values": dict(zip(ids, row.values, strict=True)),
                "best": [ids[index] for index in sorted(row.best)],
            }
            for row in comparison.shown(everything=everything)
        ],
        "judgement": {
            "comparable": judged.comparable,
            "sentences": list(judged.sentences),
            "validation": {
                key: validation_data(found)
                for key, found in zip(ids, judged.validations, strict=True)
            },
            "best": {
                "last_validation": [ids[index] for index in sorted(judged.best_last)],
                "best_validation": [ids[index] for index in sorted(judged.best_lowest)],
                "training": [ids[index] for index in sorted(judged.best_training)],
            },
        },
    }


_Read = Callable[[Model, "Opinion | None"], Any]


@dataclass(frozen=True)
class _Column:
    """How a property is read, formatted and judged.

    `sign` is 1 where a higher value is better, -1 where a lower one is, else 0.
    """

    group: str
    label: str
    read: _Read
    write: Callable[[Any], str] = str
    sign: int = 0
    basis: Basis = Basis.ITSELF


def _row(group: str, label: str, values: Sequence[Any], column: _Column, judged: Judgement) -> Row:
    texts = tuple(formats.NO_VALUE if value is None else column.write(value) for value in values)
    best = judged.best(values, texts, sign=column.sign, basis=column.basis)
    difference = formats.count if column.write is formats.score else column.write
    return Row(group, label, tuple(values), texts, best, difference)


def _others(
    group: str, settings: Sequence[Sequence[tuple[str, str]]], judged: Judgement
) -> list[Row]:
    """Rows for settings that this version does not know, labelled by their keys."""
    by_model = [dict(pairs) for pairs in settings]
    keys = dict.fromkeys(key for pairs in settings for key, _ in pairs)
    column = _Column(group, "", lambda *_: None)
    return [
        _row(group, key or "unnamed", [pairs.get(key) for pairs in by_model], column, judged)
        for key in keys
    ]


def _validated(read: Callable[[Validation], float | None]) -> _Read:
    """Reads one of the validation losses or their steps."""

    def value(model: Model, opinion: Opinion | None) -> float | None:
        found = validation_of(model, opinion)
        return None if found is None else read(found)

    return value


_SCORES, _RUN, _SETTINGS = "Scores", "Run", "Hyperparameters"
_COLUMNS: Final = (
    _Column(_SCORES, "Rating", lambda m, _: m.quality.stars, formats.score, 1, Basis.RATING),
    _Column(_SCORES, "Convergence", lambda m, _: m.quality.convergence),
    _Column(_SCORES, "Second opinion", lambda _, o: None if o is None else o.verdict.value),
    _Column(
        _SCORES, "Suggested rating", lambda _, o: None if o is None else o.stars, formats.score, 1
    ),
    _Column(_SCORES, "Training loss", training_loss, formats.loss, -1, Basis.TRAINING),
    _Column(
        _SCORES,
        "Validation loss",
        _validated(lambda v: v.last),
        formats.loss,
        -1,
        Basis.VALIDATION,
    ),
    _Column(_SCORES, "Validated at step", _validated(lambda v: v.last_step), formats.count),
    _Column(
        _SCORES,
        "Best validation",
        _validated(lambda v: v.best),
        formats.loss,
        -1,
        Basis.VALIDATION,
    ),
    _Column(_SCORES, "Best at step", _validated(lambda v: v.best_step), formats.count),
    _Column(
        _SCORES,
        "Perplexity",
        lambda m, _: m.quality.perplexity,
        formats.perplexity,
        -1,
        Basis.VALIDATION,
    ),
    _Column(
        _SCORES,
        "Loss reduction",
        lambda m, _: m.quality.loss_reduction_percent,
        formats.percent,
        1,
        Basis.TRAINING,
    ),
    _Column(_RUN, "Cost", lambda m, _: m.training.total_cost, formats.money, -1),
    _Column(_RUN, "Training time", lambda m, _: m.training.duration_hours, formats.hours, -1),
    _Column(_RUN, "Epochs run", lambda m, _: m.training.epochs_completed, formats.number),
    _Column(_RUN, "Steps", lambda m, _: m.training.total_steps, formats.count),
    _Column(_RUN, "Weights of step", lambda m, _: m.training.weights_step, formats.count),
    _Column(_RUN, "Preset", lambda m, _: m.preset_id),
    _Column(_SETTINGS, "Base model", lambda m, _: m.hyperparameters.base_model),
    _Column(_SETTINGS, "Rank", lambda m, _: m.hyperparameters.rank, formats.count),
    _Column(_SETTINGS, "Alpha", lambda m, _: m.hyperparameters.alpha, formats.number),
    _Column(_SETTINGS, "Dropout", lambda m, _: m.hyperparameters.dropout, formats.number),
    _Column(
        _SETTINGS, "Learning rate", lambda m, _: m.hyperparameters.learning_rate, formats.number
    ),
    _Column(_SETTINGS, "Batch size", lambda m, _: m.hyperparameters.batch_size, formats.count),
    _Column(_SETTINGS, "Epochs", lambda m, _: m.hyperparameters.epochs, formats.number),
    _Column(_SETTINGS, "Warm-up steps", lambda m, _: m.hyperparameters.warmup_steps, formats.count),
    _Column(_SETTINGS, "Weight decay", lambda m, _: m.hyperparameters.weight_decay, formats.number),
    _Column("GPU", "GPU", lambda m, _: m.gpu.type),
    _Column("GPU", "GPUs", lambda m, _: m.gpu.count, formats.count),
    _Column("GPU", "GPU memory", lambda m, _: m.gpu.memory_gb, formats.gigabytes),
    _Column("GPU", "GPU price", lambda m, _: m.gpu.cost_per_hour, formats.hourly_price, -1),
    _Column("Dataset", "Dataset", lambda m, _: m.dataset.name if m.dataset else None),
    _Column(
        "Dataset",
        "Training pairs",
        lambda m, _: m.dataset.total_training_pairs if m.dataset else None,
        formats.count,
    ),
    _Column("Model", "Version", lambda m, _: m.version),
    _Column("Model", "Status", lambda m, _: m.status),
    _Column("Model", "Size", lambda m, _: m.size, formats.size),
    _Column(
        "Model",
        "Created",
        lambda m, _: None if m.created_at is None else m.created_at.isoformat(),
        lambda text: formats.date(parse_timestamp(text)),
    ),
)
