"""The values that lists, conditions and orders use are those that a model's page shows."""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from lora_tui.cache import metrics, models, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.integrity import find_damage
from lora_tui.cache.live_curves import LiveCurves, note_earlier
from lora_tui.cache.model_values import rewrite_values
from lora_tui.cache.models import ModelQuery, Sort, count_models, get_model
from lora_tui.cache.remote_tables import TABLES, Tally, write_rows
from lora_tui.cache.runs import get_opinion
from lora_tui.cache.suggested_ratings import suggest_some
from lora_tui.cache.thinning import thin_old_runs
from lora_tui.cache.weights import delete_weights, get_weight_summary, put_weights
from lora_tui.clock import microseconds
from lora_tui.documents.leaderboard import read_boards
from lora_tui.domain import MetricPoint, WeightSummary
from lora_tui.reports.best import judge
from lora_tui.reports.losses import training_loss
from tests.tui.library import identifier, model_row

MODELS: Final = next(table for table in TABLES if table.cached == "models")
JOBS: Final = next(table for table in TABLES if table.cached == "jobs")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path / "cache.sqlite3")) as connection:
        yield connection


def settle(db: sqlite3.Connection) -> None:
    while suggest_some(db):
        pass


def stored(db: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    return {row["id"]: dict(row) for row in db.execute("SELECT * FROM model_values ORDER BY n")}


def shown(db: sqlite3.Connection, model_id: str) -> dict[str, Any]:
    """What a model's page, Compare and `leaderboard` say, from the model and its opinion."""
    model = get_model(db, model_id)
    assert model is not None
    opinion = get_opinion(db, model.job_id) if model.job_id else None
    judged = judge([model], [opinion])
    found = judged.validations[0]
    weights = get_weight_summary(db, model_id) or model.weights
    chosen = model.hyperparameters
    return {
        "name": model.name,
        "status": model.status,
        "description": model.description,
        "dataset_id": model.dataset_id,
        "base_model": chosen.base_model,
        "preset_id": model.preset_id,
        "gpu": model.gpu.type,
        "rank": chosen.rank,
        "alpha": chosen.alpha,
        "learning_rate": chosen.learning_rate,
        "batch_size": chosen.batch_size,
        "epochs": chosen.epochs,
        "stars": model.quality.stars,
        "perplexity": model.quality.perplexity,
        "cost": model.training.total_cost,
        "size": model.size,
        "created_at": microseconds(model.created_at),
        "final_loss": training_loss(model, opinion),
        "last_validation": found.last if found else None,
        "last_validation_step": found.last_step if found else None,
        "best_validation": found.best if found else None,
        "best_validation_step": found.best_step if found else None,
        "broken": int(bool(judged.broken)),
        "suggested_stars": opinion.stars if opinion else None,
        "effective_rank": weights.effective_rank if weights else None,
    }


def assert_right(db: sqlite3.Connection) -> None:
    """Each model has the values that are shown, and what all of them would be if written anew."""
    settle(db)
    found = stored(db)
    assert {*found} == {row[0] for row in db.execute("SELECT id FROM models")}
    for model_id, values in found.items():
        expected = shown(db, model_id)
        assert {name: values[name] for name in expected} == expected
    listed = models.select_models(db, ModelQuery(sort=Sort.LOSS), offset=0, limit=len(found))
    losses = [model.final_loss for model in listed]
    assert losses == [found[model.id]["final_loss"] for model in listed]
    assert losses == sorted(losses, key=lambda loss: math.inf if loss is None else loss)
    with transaction(db):
        rewrite_values(db)
    settle(db)
    assert stored(db) == found
    assert find_damage(db) is None


def points(count: int, seed: int = 1, *, nan_from: int | None = None) -> list[MetricPoint]:
    chance = random.Random(seed)
    return [
        MetricPoint(
            f"{seed}-{at:05}",
            f"2026-11-20T{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}+00:00",
            at * 10.0,
            at / count,
            None if nan_from is not None and at >= nan_from else 0.5 + 2 * math.exp(-at / 40),
            0.9 + chance.random() if at % 7 == 3 else None,
        )
        for at in range(count)
    ]


def curve_of(some: Sequence[MetricPoint]) -> list[list[float | None]]:
    return [[p.step, p.training_loss, p.validation_loss] for p in some]


def put(db: sqlite3.Connection, *rows: dict[str, Any]) -> None:
    with transaction(db, Topic.MODELS):
        tally = Tally()
        write_rows(db, MODELS, rows, tally)
    assert not tally.unreadable


def configured(number: int, summary: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """A row with this summary of its training and these hyperparameters."""
    row = model_row(number)
    row["training_summary"] |= summary
    row["configuration"]["hyperparameters"] |= settings
    row["configuration"]["gpu_config"] = {"type": f"H{number}00"}
    return row


def test_values_are_those_of_the_row_where_nothing_else_is_known(db: sqlite3.Connection) -> None:
    put(
        db,
        model_row(0),
        configured(1, {}, r="16", lora_alpha=32, learning_rate=2e-4, batch_size=4, num_epochs=3),
        configured(2, {"last_validation": {"step": 30, "loss": 0.7}}, rank=8),
        configured(3, {"evaluation_sets": {"easy": {"best": {"step": 20, "loss": 0.5}}}}),
        model_row(4, quality_metrics=None, training_summary="[]", configuration='{"weights": 3}'),
        model_row(5, job_id=None, training_summary={"loss_curve": curve_of(points(30))}),
        model_row(6, name="\x1b[2Jname", description="one\ntwo", configuration=None),
    )
    assert_right(db)
    assert stored(db)[identifier("model", 1)]["rank"] == 16


def test_values_follow_whatever_is_written(db: sqlite3.Connection) -> None:
    whole, short = points(60), points(12, 2)
    ends_bad = curve_of(points(40, 3, nan_from=33))
    put(
        db,
        configured(0, {}),
        configured(1, {"loss_curve": curve_of(points(50, 4))}),
        configured(2, {"loss_curve": ends_bad, "total_steps": 500}),
        configured(3, {"loss_curve": ends_bad, "weights_of": {"step": 100, "certain": True}}),
    )
    assert_right(db)
    jobs = [identifier("job", number) for number in range(6)]

    with transaction(db):  # a sync fetches points, also in place of the curve of a row
        for number, some in ((0, whole), (1, short), (3, points(80, 5, nan_from=70))):
            metrics.add_points(db, jobs[number], some)
            metrics.draw_curve(db, jobs[number])
    assert_right(db)
    best = min(point.validation_loss or 9 for point in whole)
    assert stored(db)[identifier("model", 0)]["best_validation"] == best

    live = LiveCurves()  # a run that goes on, whose model comes at its end
    with transaction(db):
        live.append(db, jobs[4], points(30, 6))
        note_earlier(db, jobs[4], missing=True)
    put(db, configured(4, {}))
    assert_right(db)
    with transaction(db):
        live.append(db, jobs[4], points(60, 6)[30:])
        note_earlier(db, jobs[4], missing=False)
    assert_right(db)

    row = configured(4, {})
    del row["configuration"]["preset_id"]  # it may leave that to the job
    put(db, row)
    job = {"id": jobs[4], "status": "completed", "dataset_id": identifier("dataset", 0)}
    for preset in ("first", "second"):
        with transaction(db):
            write_rows(db, JOBS, [job | {"preset_id": preset}], Tally())
        assert_right(db)
        assert count_models(db, ModelQuery(preset=preset)) == 1
    put(db, row | {"name": "Renamed"})
    assert_right(db)

    put(db, configured(0, {"weights_of": {"step": 200, "certain": True}}, rank=64))
    put(db, configured(1, {"loss_curve": curve_of(points(50, 4))}, epochs=9))
    assert_right(db)

    corrected = configured(1, {"loss_curve": curve_of(points(40, 9))})
    corrected["updated_at"] = "2026-11-29T00:00:00+00:00"
    put(db, corrected)  # `push --update` replaced its log
    assert_right(db)
    lowest = min(point.validation_loss or 9 for point in points(40, 9))
    assert stored(db)[identifier("model", 1)]["best_validation"] == lowest

    with transaction(db):  # weights are measured, on this disk or before
        put_weights(db, identifier("model", 1), "s", WeightSummary(4, effective_rank=2.5), None)
    row = configured(2, {})
    row["configuration"]["weights"] = WeightSummary(4, effective_rank=3.5).as_json()
    put(db, row)
    assert_right(db)
    assert stored(db)[identifier("model", 2)]["effective_rank"] == 3.5
    with transaction(db):
        delete_weights(db, identifier("model", 1))
    assert_right(db)

    with transaction(db):  # points are dropped, read again, and deleted with their job
        metrics.begin_replacement(db, jobs[0])
        metrics.add_replacement(db, jobs[0], points(2_000, 7))
        metrics.replace_points(db, jobs[0])
        metrics.end_replacement(db, jobs[0])
    assert_right(db)
    with transaction(db):
        job = {"id": jobs[0], "status": "completed", "dataset_id": identifier("dataset", 0)}
        write_rows(db, JOBS, [job], Tally())
    before = stored(db)[identifier("model", 0)]
    assert thin_old_runs(db, 0) == 1
    assert_right(db)
    after = stored(db)[identifier("model", 0)]
    assert [after[name] for name in ("best_validation", "last_validation")] == [
        before[name] for name in ("best_validation", "last_validation")
    ]
    with transaction(db):
        metrics.delete_curves(db, jobs[:2])
    assert_right(db)
    with transaction(db):
        models.delete_models(db, [identifier("model", 0), identifier("model", 3)])
    assert_right(db)


def test_a_rating_is_suggested_again_when_the_data_turn_out_to_be_chats(
    db: sqlite3.Connection,
) -> None:
    """A rise of the validation loss after the first epoch is weak evidence there."""
    rising = [
        [at * 10.0, 1 + 2 * math.exp(-at / 40), 1 + abs(at - 40) / 100 if at % 5 == 0 else None]
        for at in range(100)
    ]
    put(db, configured(0, {"loss_curve": rising}))
    dataset = {"id": identifier("dataset", 0), "name": "Mails", "format": "jsonl"}
    suggested = []
    for form in ("jsonl", "chatml"):
        with transaction(db):
            records.put_datasets(db, [dataset | {"format": form}])
        assert_right(db)
        suggested.append(stored(db)[identifier("model", 0)]["suggested_stars"])
    assert suggested[0] < suggested[1]


def test_a_row_that_is_read_again_keeps_its_suggestion(db: sqlite3.Connection) -> None:
    row = configured(0, {"loss_curve": curve_of(points(50))})
    put(db, row)
    settle(db)
    suggested = stored(db)[identifier("model", 0)]["suggested_stars"]
    put(db, row | {"name": "Another name"})
    assert suggested is not None
    assert stored(db)[identifier("model", 0)]["suggested_stars"] == suggested
    assert suggest_some(db) == 0


def test_broken_runs_do_not_crowd_out_the_best_one(db: sqlite3.Connection) -> None:
    broken = [[step * 10.0, 0.1, 0.1] for step in range(9)] + [[90.0, None, None]]
    settings = {"base_model": "llama"}
    rows = [
        configured(n, {"loss_curve": broken, "total_steps": 500}, **settings) for n in range(40)
    ]
    healthy = configured(40, {"loss_curve": [[10.0, 2.0, 2.5], [20.0, 1.0, 1.5]]}, **settings)
    for row in (*rows, healthy):
        row["dataset_id"] = identifier("dataset", 0)
    put(db, *rows, healthy)
    (board,) = read_boards(db, 3).boards
    assert [place.model.id for place in board.places] == [identifier("model", 40)]
