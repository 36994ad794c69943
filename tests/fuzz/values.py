"""Values that no column should hold, and rows of every table that hold them."""

from __future__ import annotations

import math
from typing import Any, Final

from hypothesis import strategies as st

from tests.fuzz.test_answers import json_values
from tests.tui.library import USER, identifier, model_row, notice_row


def nested(depth: int) -> Any:
    """A list nested this many times."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


WRONG: Final = (
    *(None, True, False, 5, -1, 0.5, "", "text", [], {}, [None], {"": None}, "[]", "{}", "null"),
    *(2**31, 2**63, -(2**63) - 1, 10**30, 1e308, -1e308, 5e-324, "9" * 400, "1e400", "0x10"),
    *(math.nan, math.inf, -math.inf, "NaN", "Infinity", "infinity", "-infinity"),
    *("\ud800", "a\udfffb", "\x00", "a\x00b", "\x1b[2J", "\u202e", "e" + "\u0301" * 500),
    *("0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00", "0044-03-15 BC"),
    *("2026-02-30T10:00:00+00:00", "2026-11-20T10:00:00.123456789+00:00", "2026-11-20"),
    *("00000000-0000-0000-0000-000000000000", "Not-A-UUID", "x" * 100_000, "a,b)\"'\\"),
    *(nested(150), nested(400), {"a": {"a": {"a": nested(120)}}}, ["x"] * 2_000),
)
wrong: Final = st.sampled_from(WRONG) | json_values

_JOB: Final = {
    "id": identifier("job", 0),
    "user_id": USER,
    "dataset_id": identifier("dataset", 0),
    "preset_id": "balanced",
    "hyperparameters": {"lora_rank": 16, "num_epochs": 3},
    "gpu_config": {"gpu_type": "A100", "num_gpus": 1},
    "status": "completed",
    "current_stage": "done",
    "progress": "100.00",
    "current_epoch": 3,
    "current_step": 1500,
    "total_steps": 1500,
    "current_metrics": {"training_loss": 0.4},
    "created_at": "2026-11-20T10:00:00+00:00",
    "started_at": "2026-11-20T10:00:00+00:00",
    "completed_at": "2026-11-20T11:00:00+00:00",
    "updated_at": "2026-11-20T11:00:00+00:00",
    "final_cost": "3.14",
    "error_message": None,
    "external_job_id": "rp-1",
    "artifact_id": None,
}
_DATASET: Final = {
    "id": identifier("dataset", 0),
    "user_id": USER,
    "name": "Customer Support Emails",
    "format": "brightrun_lora_v4",
    "total_training_pairs": 100,
    "total_validation_pairs": 10,
    "total_tokens": 10_000,
    "created_at": "2026-11-20T10:00:00+00:00",
    "updated_at": "2026-11-20T10:00:00+00:00",
    "deleted_at": None,
}
_POINT: Final = {
    "id": identifier("point", 0),
    "job_id": identifier("job", 0),
    "timestamp": "2026-11-20T10:00:00+00:00",
    "epoch": 1,
    "step": 10,
    "training_loss": "1.500000",
    "validation_loss": None,
}
_COST: Final = {
    "id": identifier("cost", 0),
    "user_id": USER,
    "job_id": identifier("job", 0),
    "cost_type": "gpu",
    "amount": "12.500000",
    "details": {"hours": 2},
    "billing_period": "2026-11",
    "recorded_at": "2026-11-20T10:00:00+00:00",
}
ROWS: Final[dict[str, dict[str, Any]]] = {
    "datasets": _DATASET,
    "training_jobs": _JOB,
    "model_artifacts": model_row(0),
    "notifications": notice_row(0),
    "cost_records": _COST,
    "metrics_points": _POINT,
}


@st.composite
def odd_row(draw: st.DrawFn, table: str) -> Any:
    """A row of the table with wrong, missing and unknown columns, or no row at all."""
    if draw(st.integers(0, 11)) == 0:
        return draw(wrong)
    row = dict(ROWS[table])
    row["id"] = identifier(table, draw(st.integers(0, 5)))
    for column in draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=4)):
        match draw(st.integers(0, 5)):
            case 0:
                row.pop(column, None)
            case 1 | 2 if isinstance(row.get(column), dict) and row[column]:
                key = draw(st.sampled_from(sorted(row[column])) | st.text(max_size=8))
                row[column] = row[column] | {key: draw(wrong)}
            case _:
                row[column] = draw(wrong)
    if draw(st.booleans()):
        row["a column of a later version"] = draw(wrong)
    return row


@st.composite
def odd_tables(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Each table with a good row and some odd ones."""
    return {
        table: [
            ROWS[table] | {"id": identifier(table, 99)},
            *draw(st.lists(odd_row(table), max_size=3)),
        ]
        for table in ROWS
    }
