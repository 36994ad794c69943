"""`list` and `show` answer from the cache, in the shapes that scripts rely on."""

from __future__ import annotations

import csv
import io

import pytest

from lora_tui.sandbox import Sandbox
from tests.conftest import Run


@pytest.fixture
def synced(configured: Sandbox, run: Run) -> Sandbox:
    assert run("sync").code == 0
    return configured


def test_the_json_of_a_list_is_the_web_applications_envelope(synced: Sandbox, run: Run) -> None:
    data = run("list", "--json", "--limit", "4").data
    assert data["pagination"] == {"page": 1, "limit": 4, "total": 6, "totalPages": 2}
    assert len(data["models"]) == 4
    for model in data["models"]:
        assert set(model["dataset"]) == {"name"}
        assert set(model["job"]) == {"preset_id", "created_at"}
        assert model["user_id"] == synced.user_id


def test_the_json_of_a_model_embeds_its_dataset_and_job(synced: Sandbox, run: Run) -> None:
    model = run("list", "--json").data["models"][0]
    shown = run("show", model["id"], "--json").data
    assert set(shown["dataset"]) == {"id", "name", "format", "total_training_pairs"}
    assert set(shown["job"]) == {"id", "preset_id", "created_at", "started_at", "completed_at"}
    assert {key: shown[key] for key in model if key not in ("dataset", "job")} == {
        key: value for key, value in model.items() if key not in ("dataset", "job")
    }


def test_list_still_answers_when_the_backend_is_gone(synced: Sandbox, run: Run) -> None:
    before = run("list").out
    synced.stop()
    assert run("list").out == before
    assert run("--offline", "list").out == before


def test_pages_follow_each_other(synced: Sandbox, run: Run) -> None:
    whole = run("list", "--json", "--limit", "6").data["models"]
    pages = [
        run("list", "--json", "--limit", "2", "--page", str(page)).data["models"]
        for page in (1, 2, 3, 4)
    ]
    assert [model["id"] for page in pages for model in page] == [model["id"] for model in whole]


def test_the_best_come_first_when_sorted_by_quality(synced: Sandbox, run: Run) -> None:
    models = run("list", "--json", "--sort", "quality").data["models"]
    stars = [model["quality_metrics"]["overall_score"] for model in models]
    assert stars == sorted(stars, reverse=True)


def test_csv_is_read_back_by_a_csv_reader(synced: Sandbox, run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("list", "--csv").out)))
    assert len(rows) == 6
    assert {row["id"] for row in rows} == {
        model["id"] for model in run("list", "--json").data["models"]
    }


def test_people_see_what_the_web_pages_show(synced: Sandbox, run: Run) -> None:
    best = run("list", "--json", "--sort", "quality").data["models"][0]
    shown = run("show", best["id"]).out
    assert best["name"] in shown
    assert f"{best['quality_metrics']['overall_score']}/5" in shown
    assert f"{best['quality_metrics']['final_training_loss']:,.4f}" in shown
    assert f"{best['training_summary']['total_steps']:,}" in shown
    for name in best["artifacts"]:
        assert name in shown


def test_people_see_the_second_opinion_and_scripts_do_not(synced: Sandbox, run: Run) -> None:
    models = run("list", "--json").data["models"]
    shown = [run("show", model["id"]).out for model in models]
    assert any("The smoothed training loss fell from" in text for text in shown)
    assert any(" the stored rating" in text for text in shown)
    assert "opinion" not in run("show", models[0]["id"], "--json").out


def test_no_output_carries_an_escape_character(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.conftest import set_environment

    with Sandbox.start(hostile=True) as sandbox:
        set_environment(sandbox, monkeypatch)
        assert run("sync").code == 0
        for arguments in (("list", "--limit", "99"), ("list", "--limit", "99", "--json")):
            ran = run(*arguments)
            assert "\x1b" not in ran.out + ran.err
            assert "\u202e" not in ran.out + ran.err
        for model in run("list", "--limit", "99", "--json").data["models"]:
            ran = run("show", model["id"])
            assert ran.code == 0
            assert "\x1b" not in ran.out + ran.err


def test_a_list_before_any_sync_says_what_to_do(configured: Sandbox, run: Run) -> None:
    assert run("login").code == 0
    ran = run("list")
    assert ran.code == 0
    assert "lora-tui sync" in ran.err


def test_a_list_can_be_narrowed_by_every_filter(synced: Sandbox, run: Run) -> None:
    everything = run("list", "--json").data["models"]
    one = next(model for model in everything if model["configuration"])
    preset = one["configuration"]["preset_id"]
    day = one["created_at"][:10]

    def ids(*arguments: str) -> set[str]:
        return {model["id"] for model in run("list", "--json", *arguments).data["models"]}

    assert ids("--preset", preset) == {
        m["id"] for m in everything if (m["configuration"] or {}).get("preset_id") == preset
    }
    assert one["id"] in ids("--since", day, "--until", day)
    assert ids("--since", day, "--until", day) == {
        m["id"] for m in everything if m["created_at"][:10] == day
    }
    assert ids("--base-model", "no such model") == ids("--downloaded") == set()
    ran = run("list", "--since", "yesterday")
    assert ran.code == 2
    assert "2026-11-23" in ran.err


@pytest.mark.parametrize("sort", ["size", "perplexity", "duration", "loss"])
def test_every_sort_lists_every_model_in_both_directions(
    synced: Sandbox, run: Run, sort: str
) -> None:
    there = [m["id"] for m in run("list", "--json", "--sort", sort).data["models"]]
    back = [m["id"] for m in run("list", "--json", "--sort", sort, "--reverse").data["models"]]
    assert set(there) == set(back)
    assert len(there) == 6
