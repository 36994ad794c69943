"""Runs as Trainers leave them: lists, `show`, Compare and `leaderboard` say the same of them."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from lora_tui.account.sessions import load_session
from lora_tui.cache.connection import open_existing
from lora_tui.cache.model_columns import column_of, values_of
from lora_tui.cache.models import ModelQuery
from lora_tui.config.table import Profile
from lora_tui.sandbox import Sandbox
from tests.conftest import Run
from tests.push.adapter import trainer_state, write_adapter

RUNS = Path(__file__).parent / "runs"
_VALIDATION = {
    "last": "last_validation_loss",
    "last_step": "last_validation_step",
    "best": "best_validation_loss",
    "best_step": "best_validation_step",
}


def values(profile: Profile, *columns: str, **query: Any) -> dict[str, tuple[Any, ...]]:
    session = load_session(profile)
    assert session is not None
    with closing(open_existing(profile.cache_path(session.user_id))) as db:
        found = values_of(db, [column_of(name) for name in columns], ModelQuery(**query))
    return {row[0]: row[1:] for row in found}


def test_lists_say_of_each_run_what_its_page_compare_and_the_leaderboard_say(
    configured: Sandbox, run: Run, profile: Profile, dataset: str, tmp_path: Path
) -> None:
    runs = {path.stem: json.loads(path.read_text()) for path in sorted(RUNS.glob("*.json"))}
    overfit = trainer_state([2.0 - n / 50 for n in range(40)], {100: 1.2, 200: 1.0, 390: 1.6})
    pushed = {}
    for rank, (name, state) in enumerate([*runs.items(), ("overfit", overfit)], 1):
        directory = str(write_adapter(tmp_path / name, rank=rank, state=state))
        ran = run("push", directory, "--dataset", dataset, "--json")
        assert ran.code == 0, ran.err
        pushed[name] = ran.data["model_id"]
    assert run("sync").code == 0
    columns = ("final_loss", *_VALIDATION.values(), "suggested_stars", "stars", "rank", "alpha")
    found = values(profile, *columns)
    compared = run("compare", *found, "--json").data
    said = {}
    for model_id in found:
        validation = compared["judgement"]["validation"][model_id] or {}
        said[model_id] = {
            **{name: validation.get(key) for key, name in _VALIDATION.items()},
            **{
                _ROWS[row["property"]]: row["values"][model_id]
                for row in compared["rows"]
                if row["property"] in _ROWS
            },
        }
    assert {*pushed.values()} <= {*said}
    for model_id, row in found.items():
        assert dict(zip(columns, row, strict=True)) == said[model_id]
    assert found[pushed["overfit"]][1:5] == (1.6, 390.0, 1.0, 200.0)

    broken = {pushed["nan_end"], pushed["nan_filter"]}
    for column, place in (("best_validation_loss", 3), ("last_validation_loss", 1)):
        for reverse in (False, True):
            order = [*values(profile, "name", sort=column, reverse=reverse)]
            ranked = [i for i in order if i not in broken and found[i][place] is not None]
            assert order[: len(ranked)] == ranked, (column, reverse)

    boards = run("leaderboard", "--json", "--limit", "6").data["boards"]
    places = [place for each in boards for place in each["places"]]
    assert not broken & {place["id"] for place in places}
    for place in places:
        validation = place["validation"] or {}
        assert found[place["id"]][:5] == (
            place["training_loss"],
            *(validation.get(key) for key in _VALIDATION),
        )


_ROWS = {
    "Training loss": "final_loss",
    "Suggested rating": "suggested_stars",
    "Rating": "stars",
    "Rank": "rank",
    "Alpha": "alpha",
}
