"""`push`: a directory that PEFT wrote becomes a model, once, whatever happens on the way."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from lora_tui.commands import push as push_command
from lora_tui.harvest import receipts
from lora_tui.sandbox import Sandbox
from tests.conftest import Run
from tests.push.adapter import TARGETS, trainer_state, weights, write_adapter

RUNS = Path(__file__).parent / "runs"
STATE = trainer_state([2.0, 1.5, 0.9], {20: 1.6, 30: 1.1})


def rows(sandbox: Sandbox, query: str) -> list[dict[str, object]]:
    answer = httpx.get(
        f"{sandbox.url}/rest/v1/{query}", headers={"apikey": sandbox.service_key}
    ).raise_for_status()
    return list(answer.json())


def job_without_model(sandbox: Sandbox, run: Run) -> dict[str, object]:
    """A completed job of the user, who is signed in, whose model was never stored."""
    user = run("whoami", "--json").data["user_id"]
    return rows(
        sandbox, f"training_jobs?status=eq.completed&artifact_id=is.null&user_id=eq.{user}"
    )[0]


def announcements(sandbox: Sandbox, model: str) -> int:
    return len(rows(sandbox, f"notifications?metadata->>artifact_id=eq.{model}"))


def writes(sandbox: Sandbox, since: int) -> list[str]:
    return [
        f"{r['method']} {r['path']}"
        for r in sandbox.requests()[since:]
        if r["method"] in ("POST", "PATCH", "PUT", "DELETE") and "/auth/" not in str(r["path"])
    ]


def test_an_adapter_becomes_a_model_that_is_rated_announced_and_downloaded_unchanged(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out", state=STATE)
    ran = run("push", str(directory), "--dataset", dataset, "--json")
    assert ran.code == 0, ran.err
    model = ran.data["model_id"]
    assert (ran.data["stars"], ran.data["convergence"]) == (5, "excellent")
    assert "optimizer.pt" in ran.err
    run("sync")
    shown = run("show", model, "--json").data
    assert sorted(shown["artifacts"]) == [
        "adapter_config.json", "adapter_model.safetensors", "tokenizer_config.json",
    ]  # fmt: skip
    assert shown["quality_metrics"]["final_validation_loss"] == 1.1
    assert shown["training_summary"]["training_duration_hours"] == 1.0
    assert shown["training_summary"]["loss_curve"] == [
        [10, 2.0, None],
        [20, 1.5, 1.6],
        [30, 0.9, 1.1],
    ]
    assert shown["configuration"]["weights"]["evaluated"] == len(TARGETS)
    assert shown["configuration"]["hyperparameters"]["lora_rank"] == 4
    assert shown["configuration"]["hyperparameters"]["learning_rate"] == 2e-4
    [job] = rows(configured, f"training_jobs?id=eq.{shown['job_id']}")
    assert (job["artifact_id"], job["external_job_id"]) == (model, None)
    assert announcements(configured, model) == 1
    assert run("download", model, "--to", str(tmp_path / "back")).code == 0
    assert (tmp_path / "back" / "adapter_model.safetensors").read_bytes() == weights()


def test_pushing_again_makes_nothing_new(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = str(write_adapter(tmp_path / "out", state=STATE))
    first = run("push", directory, "--dataset", dataset, "--json").data
    again = run("push", directory, "--json").data
    assert (again["model_id"], again["existed"], again["sent"]) == (first["model_id"], True, [])
    (tmp_path / "out" / "trainer_state.json").unlink()
    later = run("push", directory)
    assert later.code == 0
    assert "5/5 stars" in later.err
    assert "No metrics" not in later.err
    assert len(rows(configured, f"model_artifacts?job_id=eq.{first['job_id']}")) == 1
    assert len(rows(configured, f"metrics_points?job_id=eq.{first['job_id']}")) == 3


def test_what_broke_off_is_finished_by_the_same_push(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    for rank, path in enumerate(
        (
            "/storage/v1/object/lora-models",
            "/rest/v1/training_jobs",
            "/rest/v1/metrics_points",
            "/rest/v1/model_artifacts",
            "/rest/v1/notifications",
        ),
        1,
    ):
        directory = str(write_adapter(tmp_path / str(rank), rank=rank, state=STATE))
        planned = run("push", directory, "--dataset", dataset, "--dry-run", "--json").data
        configured.faults(path=path, method="POST", fail_next=99, status=503)
        ran = run("push", directory, "--dataset", dataset)
        assert (ran.code, ran.out) == (5, ""), path
        visible = rows(configured, f"model_artifacts?id=eq.{planned['model_id']}")
        assert bool(visible) == (path == "/rest/v1/notifications")
        configured.clear_faults()
        assert run("push", directory, "--dataset", dataset).code == 0
        [model] = rows(configured, f"model_artifacts?id=eq.{planned['model_id']}")
        assert len(rows(configured, f"metrics_points?job_id=eq.{model['job_id']}")) == 3
        assert announcements(configured, str(model["id"])) == 1


def test_a_large_adapter_goes_in_resumable_pieces_and_on_where_it_broke_off(
    configured: Sandbox,
    run: Run,
    dataset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the second push is this process, too, and would leave the upload to the first
    monkeypatch.setattr(receipts, "is_alive", lambda *_: False)
    directory = write_adapter(tmp_path / "out", rank=64, width=64_000)  # 32 MB: six pieces
    content = (directory / "adapter_model.safetensors").read_bytes()
    configured.faults(standard_upload_limit=6 << 20)
    configured.faults(path="/storage/v1/upload/resumable", method="PATCH", fail_next=99, status=503)
    assert run("push", str(directory), "--dataset", dataset).code == 5
    configured.clear_faults()
    before = len(configured.requests())
    ran = run("push", str(directory), "--dataset", dataset, "--json")
    assert ran.code == 0, ran.err
    assert ran.data["files"]["adapter_model.safetensors"] == {
        "size": len(content), "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    assert "POST /storage/v1/upload/resumable" not in writes(configured, before)


def test_a_dataset_that_is_deleted_meanwhile_is_said_and_nothing_stays_behind(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = httpx.Client(
        base_url=configured.url, headers={"apikey": configured.service_key}, trust_env=False
    )
    (there,) = rows(configured, f"datasets?id=eq.{dataset}")
    mine = there | {"id": "5d0c6f0e-0000-4000-8000-000000000001", "name": "short-lived"}
    mine |= {"storage_path": "short-lived.jsonl"}
    service.post("/rest/v1/datasets", json=mine).raise_for_status()

    def delete(*_arguments: object) -> None:
        service.delete(f"/rest/v1/datasets?id=eq.{mine['id']}").raise_for_status()

    monkeypatch.setattr(push_command, "report_stored", delete)
    directory = write_adapter(tmp_path / "out", state=STATE)
    objects = stored_objects(service, configured.user_id)
    ran = run("push", str(directory), "--dataset", "short-lived")
    assert ran.code == 3
    assert "deleted during the push" in ran.err
    assert "already there" not in ran.err
    assert stored_objects(service, configured.user_id) == objects
    service.close()


def stored_objects(service: httpx.Client, user_id: str) -> set[str]:
    """The folders of a user in the bucket."""
    answer = service.post(
        "/storage/v1/object/list/lora-models", json={"prefix": user_id, "limit": 1000}
    ).raise_for_status()
    return {entry["name"] for entry in answer.json()}


def test_a_dry_run_writes_nothing(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = str(write_adapter(tmp_path / "out", state=STATE))
    before = len(configured.requests())
    ran = run("push", directory, "--dataset", dataset, "--dry-run")
    assert ran.code == 0
    assert "adapter_model.safetensors" in ran.out
    assert writes(configured, before) == []


def test_the_lost_result_of_a_job_is_pushed_to_it_and_its_own_metrics_stay(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    run("login")
    waiting = job_without_model(configured, run)
    before = len(rows(configured, f"metrics_points?job_id=eq.{waiting['id']}"))
    assert before > 3
    directory = str(write_adapter(tmp_path / "out", state=STATE))
    ran = run("push", directory, "--job", str(waiting["id"]), "--name", "Found again", "--json")
    assert ran.code == 0, ran.err
    assert (ran.data["model_name"], ran.data["new_job"]) == ("Found again", False)
    assert len(rows(configured, f"metrics_points?job_id=eq.{waiting['id']}")) == before
    [job] = rows(configured, f"training_jobs?id=eq.{waiting['id']}")
    assert job["artifact_id"] == ran.data["model_id"]


def test_without_the_service_key_it_is_explained(
    configured: Sandbox,
    run: Run,
    dataset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SUPABASE_SERVICE_ROLE_KEY")
    directory = str(write_adapter(tmp_path / "out", state=STATE))
    ran = run("push", directory, "--dataset", dataset)
    assert (ran.code, ran.out) == (2, "")
    assert "SUPABASE_SERVICE_ROLE_KEY" in ran.err
    assert "row of a training job" in ran.err


def test_another_users_dataset_and_job_look_like_missing_ones(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    user = run("whoami", "--json").data["user_id"]
    foreign = rows(configured, f"training_jobs?user_id=neq.{user}&status=eq.completed")[0]
    directory = str(write_adapter(tmp_path / "out", state=STATE))
    assert run("push", directory, "--job", str(foreign["id"])).code == 3
    assert run("push", directory, "--dataset", str(foreign["dataset_id"])).code == 3
    ran = run("push", directory)
    assert ran.code == 2
    assert "--dataset" in ran.err


def test_a_directory_that_is_not_sound_is_refused_before_anything_is_sent(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    before = len(configured.requests())
    for number, (name, content, code) in enumerate(
        (
            ("adapter_model.safetensors", weights()[:-1], 6),
            ("adapter_model.safetensors", (1 << 62).to_bytes(8, "little") + b"{}", 6),
            ("adapter_model.safetensors", None, 3),
            ("adapter_config.json", json.dumps({"peft_type": "LORA", "r": 8}).encode(), 6),
            ("adapter_config.json", b"[" * 100_000, 6),
            ("adapter_config.json", None, 3),
            ("tokenizer_config.json", b"<!DOCTYPE html><html></html>", 6),
            ("tokenizer_config.json", b"", 6),
            ("trainer_state.json", b"{}", 6),
            ("trainer_state.json", b"\xff\xfe not json", 6),
        )
    ):
        directory = write_adapter(tmp_path / str(number), state=STATE)
        (directory / name).unlink()
        if content is not None:
            (directory / name).write_bytes(content)
        ran = run("push", str(directory), "--dataset", dataset)
        assert (ran.code, ran.out) == (code, ""), (name, ran.err)
        assert ran.err.splitlines()[-1].startswith("lora-tui: ")
    assert writes(configured, before) == []


def test_a_run_that_broke_down_is_stored_rated_and_judged_as_what_it_was(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    for rank, name in enumerate(("nan_filter", "nan_end"), 1):
        state = json.loads((RUNS / f"{name}.json").read_text())
        directory = str(write_adapter(tmp_path / name, rank=rank, state=state))
        ran = run("push", directory, "--dataset", dataset, "--json")
        assert ran.code == 0, ran.err
        assert "10 of 30 points have a training loss that is not a number" in ran.err
        assert (ran.data["stars"], ran.data["convergence"]) == (1, "poor")
        assert run("sync").code == 0
        points = rows(configured, f"metrics_points?job_id=eq.{ran.data['job_id']}&order=step")
        assert [point["training_loss"] == "NaN" for point in points] == [False] * 20 + [True] * 10
        assert points[-1]["gradient_norm"] == "NaN"
        shown = run("show", ran.data["model_id"])
        assert "NaN (last number 2.5294 at step 20)" in shown.out
        assert "Validation loss      2.4718 at step 20" in shown.out
        assert "Second opinion       diverged. Agrees with the stored rating: 1/5." in shown.out
        assert "from step 21 of 30 to the end" in shown.out
        summary = run("show", ran.data["model_id"], "--json").data["training_summary"]
        assert summary["last_validation"] == {"step": 20, "loss": 2.471786}
        assert summary["final_loss"] is None


def test_losses_that_no_column_holds_are_stored_as_nan_with_their_values_beside(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    state = trainer_state([2.0, float("nan"), 1e9, 1.0], {40: float("inf")})
    directory = str(write_adapter(tmp_path / "out", state=state))
    ran = run("push", directory, "--dataset", dataset, "--json")
    assert ran.code == 0
    assert "2 losses are infinite or too large for the table (step 30: 1e+09)" in ran.err
    assert ran.data["metric_points"] == 4
    run("sync")
    summary = run("show", ran.data["model_id"], "--json").data["training_summary"]
    assert summary["losses_not_stored"] == [
        {"step": 30, "training_loss": 1e9},
        {"step": 40, "validation_loss": "Infinity"},
    ]
    assert summary["final_loss"] == 1.0


def test_a_gradient_norm_of_any_size_is_stored(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    state = json.loads((RUNS / "huge_grad_norm.json").read_text())
    state["log_history"][3]["grad_norm"] = float("inf")
    directory = str(write_adapter(tmp_path / "out", state=state))
    ran = run("push", directory, "--dataset", dataset, "--json")
    assert ran.code == 0, ran.err
    points = rows(configured, f"metrics_points?job_id=eq.{ran.data['job_id']}&order=step")
    assert [points[0]["gradient_norm"], points[3]["gradient_norm"]] == [1e30, "Infinity"]
    assert run("sync").code == 0
    assert "The gradient norm is usually 1e+30" in run("show", ran.data["model_id"]).out


def test_a_log_without_losses_and_several_evaluation_sets_are_named(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    outputs = {}
    for rank, name in enumerate(("log500", "multi_eval"), 1):
        state = json.loads((RUNS / f"{name}.json").read_text())
        directory = str(write_adapter(tmp_path / name, rank=rank, state=state))
        ran = run("push", directory, "--dataset", dataset, "--json")
        assert ran.code == 0, ran.err
        run("sync")
        outputs[name] = ran.err, run("show", ran.data["model_id"]).out
    said, shown = outputs["log500"]
    assert "trainer_state.json holds no losses" in said
    assert "no trainer_state.json" not in said
    assert "Mean of the run      2.6548" in shown
    said, shown = outputs["multi_eval"]
    assert "2 evaluation sets (easy, hard)" in said
    assert "  on easy            2.4406 at step 30 (the validation loss)" in shown
    assert "  on hard            2.4440 at step 30" in shown


def test_the_weights_of_an_earlier_checkpoint_are_said_to_be_so(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    state = STATE | {"best_global_step": 20, "best_model_checkpoint": "out/checkpoint-20"}
    directory = str(write_adapter(tmp_path / "out", state=state))
    ran = run("push", directory, "--dataset", dataset, "--json")
    assert "The weights are probably those of step 20 of 30" in ran.err
    run("sync")
    assert "Weights              probably of step 20 of 30" in run("show", ran.data["model_id"]).out


def test_the_network_is_left_alone_when_offline(run: Run, tmp_path: Path) -> None:
    assert run("--offline", "push", str(write_adapter(tmp_path / "out"))).code == 5


def test_a_file_that_is_taken_away_meanwhile_is_said_in_a_sentence(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = write_adapter(tmp_path / "out", state=STATE)
    plan = push_command.plan_push

    def plan_then_remove(*arguments: Any, **options: Any) -> Any:
        made = plan(*arguments, **options)
        (directory / "adapter_config.json").unlink()
        return made

    monkeypatch.setattr(push_command, "plan_push", plan_then_remove)
    ran = run("push", str(directory), "--dataset", dataset)
    assert ran.code == 1
    assert "The adapter can't be read: no such file" in ran.err


@pytest.mark.parametrize(
    "name", ["merges.txt", "adapter_config.json", "adapter_model.safetensors", "trainer_state.json"]
)
def test_a_link_out_of_the_directory_is_not_followed(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path, name: str
) -> None:
    directory = write_adapter(tmp_path / "out", state=STATE)
    outside = tmp_path / "secret"
    outside.write_bytes((directory / name).read_bytes() if (directory / name).exists() else b"no")
    (directory / name).unlink(missing_ok=True)
    (directory / name).symlink_to(outside)
    since = len(configured.requests())
    ran = run("push", str(directory), "--dataset", dataset)
    assert ran.code == 2
    assert "link to a file outside" in ran.err
    assert writes(configured, since) == []


def test_a_link_within_the_directory_is_followed(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out")
    (directory / "tokenizer.json").symlink_to("tokenizer_config.json")
    ran = run("push", str(directory), "--dataset", dataset, "--json")
    assert ran.code == 0, ran.err
    assert "tokenizer.json" in ran.data["sent"]


@pytest.mark.parametrize("name", ["a\udcffb", "a\x1b[31mb"])
@pytest.mark.parametrize("option", ["--name", "--dataset", "--job"])
def test_a_name_that_no_row_can_hold_is_refused_before_anything_is_written(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path, name: str, option: str
) -> None:
    directory = write_adapter(tmp_path / "out")
    since = len(configured.requests())
    ran = run("push", str(directory), "--dataset", dataset, option, name)
    assert ran.code == 2, ran.err
    assert "control characters" in ran.err
    assert writes(configured, since) == []


def test_metrics_in_a_pipe_are_not_waited_for(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out")
    os.mkfifo(tmp_path / "pipe")
    ran = run("push", str(directory), "--dataset", dataset, "--metrics", str(tmp_path / "pipe"))
    assert ran.code == 6
    assert "not the state of a Trainer" in ran.err


@pytest.mark.parametrize(
    ("fill", "words"), [(b"\xff", "hold values that are NaN"), (b"\0", "has an effect")]
)
def test_weights_that_can_not_work_are_named_before_anything_is_sent(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path, fill: bytes, words: str
) -> None:
    directory = write_adapter(tmp_path / "out")
    (directory / "adapter_model.safetensors").write_bytes(weights(fill=fill))
    ran = run("push", str(directory), "--dataset", dataset, "--dry-run")
    assert ran.code == 0
    assert words in ran.err
