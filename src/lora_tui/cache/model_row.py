"""Converts a backend's row of a model into the columns of the list.

The values equal those of `Model.from_row`. A sync converts a hundred thousand rows, and most of a
`Model` is not in the list.
"""

from __future__ import annotations

from typing import Final

from lora_tui.cache.sums import SUMMED
from lora_tui.clock import microseconds, parse_timestamp, timestamp_text
from lora_tui.domain import NO_VERSION, Row
from lora_tui.domain.training import convergence_of, stars_of
from lora_tui.json_values import (
    identifier,
    integer,
    mapping,
    number,
    row_json,
    text_or_none,
    total_size,
)

COLUMNS: Final = SUMMED["models"]
_WRITTEN: Final = (*COLUMNS, "sum")
UPSERT: Final = (
    f"INSERT INTO models ({', '.join(_WRITTEN)}) VALUES ({', '.join('?' for _ in _WRITTEN)})"
    " ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _WRITTEN[1:])
)
"""Inserts or replaces a model; its parameters are `columns` and their checksum."""


def columns(row: Row) -> tuple[object, ...]:
    """The values of `COLUMNS`."""
    configuration = mapping(row.get("configuration"))
    hyperparameters = mapping(configuration.get("hyperparameters"))
    quality = mapping(row.get("quality_metrics"))
    training = mapping(row.get("training_summary"))
    base_model = hyperparameters.get("base_model")
    preset = text_or_none(configuration.get("preset_id"))
    created, updated = parse_timestamp(row.get("created_at")), row.get("updated_at")
    changed = created if updated == row.get("created_at") else parse_timestamp(updated)
    return (
        identifier(row.get("id")),
        row_json(_own(row)),
        text_or_none(row.get("name")) or "Unnamed model",
        text_or_none(row.get("version"), limit=40) or NO_VERSION,
        text_or_none(row.get("description"), limit=2_000, lines=True),
        text_or_none(row.get("status"), limit=20) or "unknown",
        identifier(row.get("dataset_id")),
        identifier(row.get("job_id")),
        preset or text_or_none(mapping(row.get("job")).get("preset_id")),
        text_or_none(hyperparameters.get("model_name") if base_model is None else base_model),
        stars_of(quality),
        convergence_of(quality),
        _final_loss(quality, training),
        number(quality.get("perplexity")),
        number(training.get("total_cost")),
        number(training.get("training_duration_hours")),
        _size(row.get("artifacts"), configuration.get("files")),
        microseconds(created),
        timestamp_text(changed) if changed else "",
    )


def final_loss(row: Row) -> float | None:
    """The final training loss that the row has.

    The column is NULL where the run ended with losses that are not numbers (model_values.py).
    """
    return _final_loss(mapping(row.get("quality_metrics")), mapping(row.get("training_summary")))


def _final_loss(quality: Row, training: Row) -> float | None:
    loss = number(quality.get("final_training_loss"))
    return number(training.get("final_loss")) if loss is None else loss


def _own(row: Row) -> Row:
    """The row without those of other tables that may be embedded."""
    if "dataset" not in row and "job" not in row:
        return row
    return {key: row[key] for key in row if key not in ("dataset", "job")}


def _size(artifacts: object, manifest: object) -> int | None:
    """The size of all files in bytes; None unless every size is known."""
    described = mapping(manifest)
    sizes = []
    for name, path in mapping(artifacts).items():
        if isinstance(path, str) and path:
            size = integer(mapping(described.get(name)).get("size"))
            if size is None or size < 0:
                return None
            sizes.append(size)
    return total_size(sizes)
