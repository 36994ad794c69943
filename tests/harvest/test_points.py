"""A run of any length is rated and drawn in little memory, exactly as if all of it were at hand."""

from __future__ import annotations

import random
import tracemalloc
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lora_tui.curves.downsample_and_smooth import downsample
from lora_tui.domain import MetricPoint, curve_from_points
from lora_tui.harvest.artifact_rows import MetricColumns
from lora_tui.quality import calculate_quality_metrics

Row = dict[str, Any]
START = datetime(2026, 11, 20, 12, tzinfo=UTC)


def row(number: int, **values: Any) -> Row:
    loss = 2.0 + 1.5 / (1 + number / 50)
    return {
        "id": str(uuid.UUID(int=number * 7919)),
        "timestamp": (START + timedelta(seconds=number)).isoformat(),
        "epoch": number / 1000,
        "step": number,
        "training_loss": f"{loss:.6f}",
        "validation_loss": None,
    } | values


def odd_rows(seed: int, count: int) -> list[Row]:
    """Such as a backend sends: text for numbers, no numbers, no steps, nothing at all."""
    chance = random.Random(seed)
    losses: list[Any] = [None, "NaN", "1.5", 0, -1.25, 1e300, "x"]
    rows = []
    for number in range(count):
        values: Row = {"training_loss": chance.choice([*losses, chance.uniform(0, 3)])}
        if chance.random() < 0.2:
            values["validation_loss"] = chance.choice(losses)
        if chance.random() < 0.2:
            values["step"] = chance.choice([None, "7", "x"])
        rows.append(row(number, **values))
    return rows


@pytest.mark.parametrize("count", [0, 1, 2, 3, 199, 200, 201, 1_234])
@pytest.mark.parametrize("seed", [1, 2])
def test_rating_and_curve_are_those_of_all_points_at_once(count: int, seed: int) -> None:
    rows = odd_rows(seed, count)
    points = MetricColumns(iter(rows))
    assert calculate_quality_metrics(points.ends) == calculate_quality_metrics(rows)
    whole = curve_from_points(MetricPoint.from_row(one) for one in rows)
    assert downsample(points, 200) == downsample(whole, 200)


@pytest.mark.parametrize("again", ["the first page", "all in the order of ids"])
def test_points_that_a_server_sends_twice_count_once(again: str) -> None:
    rows = odd_rows(3, 500)
    more = rows[:100] if again == "the first page" else sorted(rows, key=lambda one: one["id"])
    points, once = MetricColumns(rows[:300] + more + rows), MetricColumns(rows)
    assert points.ends == once.ends
    assert list(points) == list(once)


def test_200_000_points_take_a_fraction_of_the_promised_memory() -> None:
    count = 5_000
    rows = [row(number) for number in range(count)]
    tracemalloc.start()
    try:
        points = MetricColumns(rows)
        curve = downsample(points, 200)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(points) == count
    assert len(curve) == 200
    assert peak / count * 200_000 < 30 << 20
