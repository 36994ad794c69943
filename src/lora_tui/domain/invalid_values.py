"""Finds the values of a backend's row that have the wrong type, column by column.

Such values are not shown. `lora-tui doctor` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from lora_tui.clock import parse_timestamp
from lora_tui.json_values import Row, identifier, integer, mapping, number

Check = Callable[[object], bool]
Part = Check | Mapping[str, Any]


def invalid_columns(table: str, row: Row) -> list[str]:
    """The columns, and the parts of JSON columns (`training_summary.final_loss`), by their names.

    Null is valid, and so is NaN, because a loss may be NaN.
    """
    return [*_invalid(_TABLES[table], row, ""), *_missing(table, row)]


def _invalid(parts: Mapping[str, Any], values: Mapping[str, Any], place: str) -> Iterator[str]:
    for name, part in parts.items():
        value = values.get(name)
        if value is None:
            continue
        if callable(part):
            if not part(value):
                yield f"{place}{name}"
        elif not _is_object(value):
            yield f"{place}{name}"
        else:
            yield from _invalid(part, mapping(value), f"{place}{name}.")


def _missing(table: str, row: Row) -> Iterator[str]:
    for name in ("id", *_REQUIRED_COLUMNS.get(table, ())):
        if name not in row:
            yield name


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_id(value: object) -> bool:
    return bool(identifier(value)) and identifier(value) == value


def _is_time(value: object) -> bool:
    return parse_timestamp(value) is not None


def _is_number(value: object) -> bool:
    return number(value) is not None or (
        not isinstance(value, bool)
        and isinstance(value, (str, float))
        and str(value).strip().lower() in _NON_FINITE
    )


def _is_whole(value: object) -> bool:
    return integer(value) is not None or (number(value) is None and _is_number(value))


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool)


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping) or bool(mapping(value)) or value == "{}"


def _are_paths(value: object) -> bool:
    return _is_object(value) and all(
        isinstance(path, str) and path for path in mapping(value).values()
    )


def _are_files(value: object) -> bool:
    return _is_object(value) and all(
        _is_object(facts) and ("size" not in mapping(facts) or _is_size(mapping(facts)["size"]))
        for facts in mapping(value).values()
    )


def _is_size(value: object) -> bool:
    size = integer(value)
    return value is None or (size is not None and size >= 0)


_NON_FINITE: Final = ("nan", "inf", "-inf", "infinity", "-infinity", "+inf", "+infinity")
_HYPERPARAMETERS: Final[Mapping[str, Part]] = {
    "base_model": _is_text,
    "lora_rank": _is_whole,
    "rank": _is_whole,
    "lora_alpha": _is_number,
    "lora_dropout": _is_number,
    "learning_rate": _is_number,
    "batch_size": _is_whole,
    "num_epochs": _is_number,
    "epochs": _is_number,
}
_GPU: Final[Mapping[str, Part]] = {"gpu_type": _is_text, "num_gpus": _is_whole}
_TABLES: Final[Mapping[str, Mapping[str, Part]]] = {
    "datasets": {
        "id": _is_id,
        "name": _is_text,
        "format": _is_text,
        "total_training_pairs": _is_whole,
        "total_validation_pairs": _is_whole,
        "total_tokens": _is_whole,
        "created_at": _is_time,
        "updated_at": _is_time,
    },
    "training_jobs": {
        "id": _is_id,
        "dataset_id": _is_id,
        "status": _is_text,
        "hyperparameters": _HYPERPARAMETERS,
        "gpu_config": _GPU,
        "progress": _is_number,
        "current_epoch": _is_number,
        "current_step": _is_whole,
        "total_steps": _is_whole,
        "final_cost": _is_number,
        "created_at": _is_time,
        "started_at": _is_time,
        "completed_at": _is_time,
        "updated_at": _is_time,
    },
    "model_artifacts": {
        "id": _is_id,
        "job_id": _is_id,
        "dataset_id": _is_id,
        "name": _is_text,
        "version": _is_text,
        "description": _is_text,
        "status": _is_text,
        "quality_metrics": {
            "overall_score": _is_whole,
            "convergence_quality": _is_text,
            "final_training_loss": _is_number,
            "final_validation_loss": _is_number,
            "perplexity": _is_number,
            "loss_reduction_percent": _is_number,
        },
        "training_summary": {
            "epochs_completed": _is_number,
            "total_steps": _is_whole,
            "final_loss": _is_number,
            "training_duration_hours": _is_number,
            "total_cost": _is_number,
            "loss_curve": lambda value: isinstance(value, list),
        },
        "configuration": {
            "preset_id": _is_text,
            "hyperparameters": _HYPERPARAMETERS,
            "gpu_config": _GPU,
            "files": _are_files,
        },
        "artifacts": _are_paths,
        "created_at": _is_time,
        "updated_at": _is_time,
    },
    "notifications": {
        "id": _is_id,
        "type": _is_text,
        "title": _is_text,
        "message": _is_text,
        "read": _is_boolean,
        "metadata": {},
        "created_at": _is_time,
    },
    "cost_records": {
        "id": _is_id,
        "job_id": _is_id,
        "cost_type": _is_text,
        "amount": _is_number,
        "billing_period": _is_text,
        "recorded_at": _is_time,
    },
}
_REQUIRED_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "datasets": ("updated_at",),
    "training_jobs": ("updated_at",),
    "model_artifacts": (
        "quality_metrics",
        "training_summary",
        "configuration",
        "artifacts",
        "updated_at",
    ),
    "notifications": ("created_at",),
    "cost_records": ("amount", "recorded_at"),
}
