"""`push` of stored weights: what else has changed is said, and stored only if that is asked for."""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from lora_tui.harvest.artifact_rows import NAMESPACE
from lora_tui.push import plan
from lora_tui.sandbox import Sandbox
from tests.conftest import Run
from tests.push.adapter import trainer_state, write_adapter
from tests.push.test_push import job_without_model, rows, stored_objects, writes

STATE = trainer_state([2.0, 1.5, 0.9], {20: 1.6, 30: 1.1})


def correct(directory: Path, **settings: Any) -> None:
    """Change settings of the configuration."""
    path = directory / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def downloaded_config(run: Run, model: str, place: Path) -> dict[str, Any]:
    run("sync")
    ran = run("download", model, "--to", str(place), "--force")
    assert ran.code == 0, ran.err
    config: dict[str, Any] = json.loads((place / "adapter_config.json").read_text())
    return config


def test_a_corrected_configuration_is_never_said_to_be_stored(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out", state=STATE)
    assert run("push", str(directory), "--dataset", dataset).code == 0
    correct(directory, lora_alpha=64, use_rslora=True)
    since = len(configured.requests())
    for more in ((), ("--dry-run",), ("--json",)):
        ran = run("push", str(directory), *more)
        assert ran.code == 2
        said = ran.err + ran.out
        assert "lora_alpha 8 → 64" in said.replace("\\u2192", "→")
        assert "--update" in said
        assert "--new-version" in said
    # the stored configuration is read by a signed link, which is asked for with a POST
    assert [write for write in writes(configured, since) if "/object/sign/" not in write] == []


def test_an_update_changes_the_model_and_no_other_file_is_sent(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out", state=STATE)
    first = run("push", str(directory), "--dataset", dataset, "--json").data
    correct(directory, lora_alpha=64)
    ran = run("push", str(directory), "--update", "--json")
    assert ran.code == 0, ran.err
    assert (ran.data["model_id"], ran.data["updated"]) == (first["model_id"], True)
    assert ran.data["sent"] == ["adapter_config.json"]
    assert downloaded_config(run, first["model_id"], tmp_path / "back")["lora_alpha"] == 64
    shown = run("show", first["model_id"], "--json").data
    assert shown["configuration"]["hyperparameters"]["lora_alpha"] == 64
    assert shown["quality_metrics"]["final_validation_loss"] == 1.1
    again = run("push", str(directory), "--json").data
    assert (again["model_id"], again["existed"], again["updated"]) == (
        first["model_id"], True, False,
    )  # fmt: skip
    assert len(rows(configured, f"model_artifacts?id=eq.{first['model_id']}")) == 1
    assert objects_of(configured, first["model_id"]) == 3


def objects_of(sandbox: Sandbox, model: str) -> int:
    """How many objects the model's folder has."""
    [row] = rows(sandbox, f"model_artifacts?id=eq.{model}")
    answer = httpx.post(
        f"{sandbox.url}/storage/v1/object/list/lora-models",
        json={"prefix": f"{row['user_id']}/{model}", "limit": 1000},
        headers={"apikey": sandbox.service_key},
    ).raise_for_status()
    return len(answer.json())


def test_a_new_version_stands_beside_the_first_and_both_are_recognised(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out", state=STATE)
    first = run("push", str(directory), "--dataset", dataset, "--json").data
    correct(directory, lora_alpha=64)
    second = run("push", str(directory), "--new-version", "--json").data
    assert second["model_id"] != first["model_id"]
    assert second["dataset_id"] == first["dataset_id"]
    [row] = rows(configured, f"model_artifacts?id=eq.{second['model_id']}")
    assert (row["version"], row["parent_model_id"]) == ("2.0.0", first["model_id"])
    assert str(row["name"]).endswith(" v2")
    assert run("push", str(directory), "--json").data["model_id"] == second["model_id"]
    correct(directory, lora_alpha=8)
    assert run("push", str(directory), "--json").data["model_id"] == first["model_id"]
    assert run("push", str(directory), "--new-version", "--json").data["existed"]


@pytest.mark.parametrize("what", ["name", "metrics", "tokenizer", "new file", "removed file"])
def test_any_other_correction_is_offered_and_carried_out_once(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path, what: str
) -> None:
    directory = write_adapter(tmp_path / "out", state=STATE)
    model = run("push", str(directory), "--dataset", dataset, "--json").data["model_id"]
    name = ("--name", "Better name") if what == "name" else ()
    if what == "metrics":
        state = trainer_state([2.0, 1.5], {20: 1.2})
        (directory / "trainer_state.json").write_text(json.dumps(state))
    elif what == "tokenizer":
        (directory / "tokenizer_config.json").write_text('{"model_max_length": 4096}')
    elif what == "new file":
        (directory / "spiece.model").write_bytes(b"\n\x0esentencepiece")
    elif what == "removed file":
        (directory / "tokenizer_config.json").unlink()
    refused = run("push", str(directory), *name)
    assert refused.code == 2
    words = {
        "name": "Better name",
        "metrics": "the metrics (3 points stored, 2 now)",
        "tokenizer": "tokenizer_config.json differs",
        "new file": "spiece.model is not stored",
        "removed file": "tokenizer_config.json is stored, and not in the directory",
    }
    assert words[what] in refused.err
    assert run("push", str(directory), *name, "--update").code == 0
    again = run("push", str(directory), *name, "--json")
    assert again.code == 0, again.err
    assert (again.data["model_id"], again.data["existed"]) == (model, True)
    [row] = rows(configured, f"model_artifacts?id=eq.{model}")
    if what == "metrics":
        points = rows(configured, f"metrics_points?job_id=eq.{row['job_id']}&order=timestamp")
        assert [point["step"] for point in points] == [10, 20]
        assert row["quality_metrics"]["final_validation_loss"] == 1.2  # type: ignore[index]
    if what == "name":
        assert row["name"] == "Better name"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/storage/v1/object/lora-models"),
        ("PATCH", "/rest/v1/training_jobs"),
        ("POST", "/rest/v1/metrics_points"),
        ("DELETE", "/rest/v1/metrics_points"),
        ("PATCH", "/rest/v1/model_artifacts"),
    ],
)
def test_an_interrupted_update_leaves_the_old_model_whole_and_is_finished_by_the_next(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path, method: str, path: str
) -> None:
    directory = write_adapter(tmp_path / "out", state=STATE)
    model = run("push", str(directory), "--dataset", dataset, "--json").data["model_id"]
    [before] = rows(configured, f"model_artifacts?id=eq.{model}")
    correct(directory, lora_alpha=64)
    state = trainer_state([2.0, 1.5], {20: 1.2})
    (directory / "trainer_state.json").write_text(json.dumps(state))
    configured.faults(path=path, method=method, fail_next=99, status=503)
    assert run("push", str(directory), "--update").code == 5
    configured.clear_faults()
    [row] = rows(configured, f"model_artifacts?id=eq.{model}")
    for column in ("artifacts", "configuration", "quality_metrics", "name"):
        assert row[column] == before[column]
    assert downloaded_config(run, model, tmp_path / "old")["lora_alpha"] == 8
    refused = run("push", str(directory))
    assert refused.code == 2
    assert "the metrics" in refused.err
    assert run("push", str(directory), "--update").code == 0
    assert downloaded_config(run, model, tmp_path / "new")["lora_alpha"] == 64
    assert run("push", str(directory), "--json").data["existed"]
    assert objects_of(configured, model) == 3
    assert len(rows(configured, f"metrics_points?job_id=eq.{before['job_id']}")) == 2


def test_what_an_earlier_version_pushed_is_recognised_by_its_weights_and_configuration(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = write_adapter(tmp_path / "out", state=STATE)
    user = run("whoami", "--json").data["user_id"]
    digest = hashlib.sha256((directory / "adapter_model.safetensors").read_bytes()).hexdigest()
    old = str(uuid.uuid5(NAMESPACE, f"push {user} {digest}"))
    with monkeypatch.context() as earlier:
        earlier.setattr(plan, "job_id_of", lambda *_: old)
        first = run("push", str(directory), "--dataset", dataset, "--json").data
    assert first["job_id"] == old
    again = run("push", str(directory), "--json").data
    assert (again["model_id"], again["existed"]) == (first["model_id"], True)
    correct(directory, lora_alpha=64)
    assert run("push", str(directory)).code == 2
    assert run("push", str(directory), "--new-version").code == 0


def test_a_reformatted_configuration_is_the_same_one(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out", state=STATE)
    first = run("push", str(directory), "--dataset", dataset, "--json").data
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text())
    config["target_modules"].reverse()  # PEFT writes a set, in any order
    config["lora_alpha"] = float(config["lora_alpha"])
    path.write_text(json.dumps(dict(reversed(config.items())), indent=4))
    again = run("push", str(directory), "--json")
    assert again.code == 0, again.err
    assert (again.data["model_id"], again.data["existed"]) == (first["model_id"], True)


def test_a_correction_after_an_interrupted_first_push_is_stored_with_its_own_metrics(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out", state=STATE)
    configured.faults(path="/rest/v1/model_artifacts", method="POST", fail_next=99, status=503)
    assert run("push", str(directory), "--dataset", dataset).code == 5
    configured.clear_faults()
    state = trainer_state([3.0, 2.5], {20: 2.6})
    (directory / "trainer_state.json").write_text(json.dumps(state))
    ran = run("push", str(directory), "--dataset", dataset, "--json")
    assert ran.code == 0, ran.err
    points = rows(configured, f"metrics_points?job_id=eq.{ran.data['job_id']}&order=timestamp")
    assert [(point["step"], float(str(point["training_loss"]))) for point in points] == [
        (10, 3.0), (20, 2.5),
    ]  # fmt: skip
    [job] = rows(configured, f"training_jobs?id=eq.{ran.data['job_id']}")
    assert job["current_metrics"] == {"training_loss": 2.5}


def test_another_adapter_for_a_job_that_has_a_model_is_refused_or_updates_it(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    run("login")
    waiting = job_without_model(configured, run)
    first = write_adapter(tmp_path / "first", rank=4)
    job = ("--job", str(waiting["id"]))
    model = run("push", str(first), *job, "--json").data["model_id"]
    second = write_adapter(tmp_path / "second", rank=8)
    refused = run("push", str(second), *job)
    assert refused.code == 2
    assert "adapter_model.safetensors differs" in refused.err
    assert run("push", str(second), *job, "--new-version").code == 2
    ran = run("push", str(second), *job, "--update", "--json")
    assert (ran.code, ran.data["model_id"]) == (0, model)
    assert downloaded_config(run, model, tmp_path / "back")["r"] == 8
    assert run("push", str(second), *job, "--json").data["existed"]


def test_an_update_of_a_model_that_is_deleted_meanwhile_is_said(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = write_adapter(tmp_path / "out")
    model = run("push", str(directory), "--dataset", dataset, "--json").data["model_id"]
    correct(directory, lora_alpha=64)
    service = httpx.Client(
        base_url=configured.url, headers={"apikey": configured.service_key}, trust_env=False
    )

    def delete(*_arguments: object) -> None:
        change = {"deleted_at": "2026-11-29T00:00:00Z"}
        service.patch(f"/rest/v1/model_artifacts?id=eq.{model}", json=change).raise_for_status()

    monkeypatch.setattr("lora_tui.commands.push.report_stored", delete)
    ran = run("push", str(directory), "--update")
    assert ran.code == 3
    assert "deleted during the update" in ran.err
    service.close()


def test_nothing_of_another_model_is_touched_by_an_update(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out", state=STATE)
    run("push", str(directory), "--dataset", dataset)
    others = rows(configured, "model_artifacts?order=id&select=id,updated_at")
    service = httpx.Client(
        base_url=configured.url, headers={"apikey": configured.service_key}, trust_env=False
    )
    folders = stored_objects(service, configured.user_id)
    correct(directory, lora_alpha=64)
    run("push", str(directory), "--update")
    after = rows(configured, "model_artifacts?order=id&select=id,updated_at")
    assert len([row for row in after if row not in others]) == 1
    assert stored_objects(service, configured.user_id) == folders
    service.close()


def test_a_log_without_losses_is_a_correction_too_and_a_missing_log_is_none(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out")
    model = run("push", str(directory), "--dataset", dataset, "--json").data["model_id"]
    state = trainer_state([], {}) | {
        "global_step": 40,
        "log_history": [{"step": 40, "train_loss": 2.5}],
    }
    log = directory / "trainer_state.json"
    log.write_text(json.dumps(state))
    assert "the metrics" in run("push", str(directory)).err
    assert run("push", str(directory), "--update").code == 0
    assert run("push", str(directory), "--json").data["existed"]
    [row] = rows(configured, f"model_artifacts?id=eq.{model}")
    assert row["training_summary"]["total_steps"] == 40  # type: ignore[index]
    log.unlink()
    assert run("push", str(directory), "--json").data["existed"]


def test_a_run_that_diverged_is_the_same_one_when_it_is_pushed_again(
    configured: Sandbox, run: Run, dataset: str, tmp_path: Path
) -> None:
    state = trainer_state([2.0, float("nan"), 1e9], {20: float("inf")})
    directory = str(write_adapter(tmp_path / "out", state=state))
    first = run("push", directory, "--dataset", dataset, "--json").data
    again = run("push", directory, "--json")
    assert again.code == 0, again.err
    assert (again.data["model_id"], again.data["existed"]) == (first["model_id"], True)
