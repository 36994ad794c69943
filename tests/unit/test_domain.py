"""Rows of either dialect, and damaged ones, become models that can be shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.domain import Job, Model, Notification
from lora_tui.json_values import integer, number

API_DIALECT = {
    "hyperparameters": {"lora_rank": 16, "num_epochs": 3, "lora_alpha": 32, "base_model": "m"},
    "gpu_config": {"gpu_type": "A100", "num_gpus": 2, "gpu_memory_gb": 80},
}
WEB_DIALECT = {
    "hyperparameters": {"rank": "16", "epochs": "3", "lora_alpha": "32", "base_model": "m"},
    "gpu_config": {"type": "A100", "count": "2", "gpu_memory_gb": "80"},
}


def row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "11111111-1111-4111-8111-111111111111",
        "user_id": "22222222-2222-4222-8222-222222222222",
        "name": "Support - 2026-11-01",
        "version": "1.0.0",
        "status": "stored",
        "created_at": "2026-11-01T10:00:00+00:00",
        "updated_at": "2026-11-01 10:00:00.5+00",
        "quality_metrics": {"overall_score": "4", "convergence_quality": "good"},
        "training_summary": {"total_cost": "3.140000", "training_duration_hours": None},
        "configuration": {"preset_id": "balanced", **API_DIALECT},
        "artifacts": {"adapter_config.json": "u/a/adapter_config.json"},
        **changes,
    }


def test_both_dialects_say_the_same() -> None:
    one = Model.from_row(row(configuration=API_DIALECT))
    other = Model.from_row(row(configuration=WEB_DIALECT))
    assert one.hyperparameters == other.hyperparameters
    assert one.gpu == other.gpu
    assert (one.hyperparameters.rank, one.hyperparameters.epochs, one.gpu.count) == (16, 3.0, 2)


def test_numbers_that_come_as_strings_are_numbers() -> None:
    model = Model.from_row(row())
    assert (model.quality.stars, model.training.total_cost) == (4, 3.14)


def test_unknown_settings_are_kept() -> None:
    model = Model.from_row(
        row(configuration={"hyperparameters": {"lora_rank": 8, "packing": True}})
    )
    assert model.hyperparameters.other_settings == (("packing", "true"),)


@pytest.mark.parametrize("damaged", [None, [], "", "not json", 7, "[1]", {"artifacts": None}])
def test_a_json_column_of_a_wrong_type_is_empty(damaged: object) -> None:
    model = Model.from_row(
        row(
            quality_metrics=damaged,
            training_summary=damaged,
            configuration=damaged,
            artifacts=damaged,
        )
    )
    assert model.quality.stars is None
    assert model.quality.convergence == "unknown"
    assert model.files == ()


def test_a_json_column_that_comes_as_text_is_read() -> None:
    model = Model.from_row(row(artifacts=json.dumps({"a.json": "u/a/a.json"})))
    assert [file.path for file in model.files] == ["u/a/a.json"]


def test_the_manifest_of_a_harvest_gives_size_and_checksum() -> None:
    digest = "AB" * 32
    model = Model.from_row(
        row(
            configuration={
                "files": {"adapter_config.json": {"size": "120", "sha256": digest}},
            }
        )
    )
    assert (model.files[0].size, model.files[0].sha256) == (120, digest.lower())
    assert model.size == 120


def test_an_invalid_checksum_is_ignored() -> None:
    files = {"adapter_config.json": {"size": -5, "sha256": "zz" * 32}}
    model = Model.from_row(row(configuration={"files": files}))
    assert (model.files[0].size, model.files[0].sha256) == (None, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["hyperparameters", "gpu_config", "files", "loss_curve", "rank", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
keys = [*row(), "dataset", "job", "deployed_at", "metadata", "read", "title", "progress"]


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(keys), json_values))
def test_no_row_makes_reading_fail(damaged: dict[str, Any]) -> None:
    for entity in (Model, Job, Notification):
        entity.from_row(damaged)


@pytest.mark.parametrize(
    ("value", "read"),
    [("2.5", 2.5), (3, 3.0), (True, None), ("NaN", None), ("x", None), (None, None), (1e400, None)],
)
def test_only_finite_numbers_are_numbers(value: object, read: float | None) -> None:
    assert number(value) == read


def test_whole_numbers_are_rounded() -> None:
    assert (integer("1200.0"), integer(2.6), integer("many")) == (1200, 3, None)


def test_a_notification_points_to_its_model() -> None:
    notice = Notification.from_row(
        {"id": "n", "title": "Ready\x1b[2J", "metadata": {"artifact_id": "a"}, "read": False}
    )
    assert (notice.title, notice.model_id, notice.read) == ("Ready[2J", "a", False)
