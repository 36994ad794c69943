"""The rows that a harvest writes, whatever the rows are like that it has read."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.domain import Training
from lora_tui.gateway.gpu import MalformedJobError
from lora_tui.harvest.artifact_rows import (
    StoredFile,
    artifact_id_of,
    artifact_row,
    notification_row,
)

JOB: dict[str, Any] = {
    "id": "6d0cbbd0-8f0c-4a54-9f0e-1f5a5b1f3c11",
    "user_id": "c7a3f4c2-5b55-4a0c-8c0b-0a6b7f1f2d22",
    "dataset_id": "e2b5d6f8-7c1e-4d9a-b3f4-2d8c9e0f1a33",
    "external_job_id": "job-1",
    "preset_id": "balanced",
    "hyperparameters": {"lora_rank": 16},
    "gpu_config": None,
    "current_epoch": 3,
    "current_step": 1200,
    "current_metrics": {"training_loss": 0.5},
    "final_cost": "12.500000",
    "started_at": "2026-11-23T08:00:00+00:00",
    "completed_at": "2026-11-23 09:30:00.5+00",
    "dataset": {"name": "Support tickets"},
}
FILES = [StoredFile("adapter_config.json", "u/a/adapter_config.json", 10, "ab" * 32)]


def row_of(points: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    return artifact_row({**JOB, **changes}, points or [], FILES)


def test_the_same_job_always_gets_the_same_ids() -> None:
    assert row_of()["id"] == artifact_id_of(JOB["id"]) == "100bd603-0c7d-5c6d-b2d5-4cb3630a6587"
    assert notification_row(row_of())["id"] == "ca3ace5c-6d7a-5128-a2cf-9f100fadeb46"


def test_the_summary_holds_numbers_even_where_the_backend_sends_text() -> None:
    summary = row_of()["training_summary"]
    assert summary["total_cost"] == 12.5
    assert summary["training_duration_hours"] == pytest.approx(1.5, abs=1e-3)
    assert json.dumps(summary["epochs_completed"]) == "3"


@pytest.mark.parametrize("missing", ["started_at", "completed_at"])
def test_a_missing_time_leaves_the_duration_open(missing: str) -> None:
    assert row_of(**{missing: None})["training_summary"]["training_duration_hours"] is None


def test_a_model_without_a_dataset_name_is_called_model() -> None:
    assert row_of(dataset=None)["name"] == "Model - 2026-11-23"
    assert row_of(dataset={"name": " "})["name"] == "Model - 2026-11-23"


def test_a_long_name_is_cut_and_keeps_its_date() -> None:
    name = row_of(dataset={"name": "x" * 300})["name"]
    assert len(name) == 200
    assert name.endswith("x - 2026-11-23")


@pytest.mark.parametrize("column", ["id", "user_id", "dataset_id"])
def test_a_job_that_no_artifact_can_be_made_of_is_refused(column: str) -> None:
    with pytest.raises(MalformedJobError):
        row_of(**{column: None})


def test_the_manifest_names_size_and_checksum_of_each_file() -> None:
    row = row_of()
    assert row["artifacts"] == {"adapter_config.json": "u/a/adapter_config.json"}
    assert row["configuration"]["files"] == {
        "adapter_config.json": {"size": 10, "sha256": "ab" * 32}
    }


def test_a_run_that_logged_nothing_is_rated_unknown() -> None:
    row = row_of()
    assert row["quality_metrics"]["convergence_quality"] == "unknown"
    assert row["training_summary"]["loss_curve"] == []
    assert notification_row(row)["message"].endswith("Quality score: 3/5 stars")


def test_points_that_are_no_numbers_are_gaps_of_the_curve() -> None:
    points = [
        {"id": str(n), "step": n, "training_loss": loss, "validation_loss": None}
        for n, loss in enumerate([2.0, "NaN", "1.5", math.inf, 1.0])
    ]
    curve = row_of(points)["training_summary"]["loss_curve"]
    nothing = [None, None]
    assert curve == [
        [0, 2.0, None],
        [2, *nothing],
        [2, 1.5, None],
        [4, *nothing],
        [4, 1.0, None],
    ]
    read = Training.from_json({"loss_curve": curve}).loss_curve
    assert [(point.step, point.after_gap) for point in read] == [(0, False), (2, True), (4, True)]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@given(
    st.fixed_dictionaries(
        {
            column: ANY_JSON
            for column in JOB
            if column not in ("id", "user_id", "dataset_id", "external_job_id")
        }
    ),
    st.lists(
        st.fixed_dictionaries(
            {
                "step": ANY_JSON,
                "training_loss": st.none() | st.floats() | st.text(max_size=8),
                "validation_loss": st.none() | st.floats() | st.text(max_size=8),
            }
        ),
        max_size=6,
    ),
)
def test_whatever_the_rows_hold_the_artifact_is_valid_json(
    columns: dict[str, Any], points: list[dict[str, Any]]
) -> None:
    row = row_of(points, **columns)
    json.dumps(row, allow_nan=False)
    json.dumps(notification_row(row), allow_nan=False)
    assert 0 < len(row["name"]) <= 200
    for column in ("quality_metrics", "training_summary", "configuration", "artifacts"):
        assert isinstance(row[column], dict)
