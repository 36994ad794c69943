"""What is read from a Trainer's log: losses that are no numbers, evaluation sets, checkpoints."""

from __future__ import annotations

import json
import math
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest

from lora_tui.errors import IntegrityError
from lora_tui.push.checkpoint import WeightsStep, find_weights_step
from lora_tui.push.directory import read_directory
from lora_tui.push.trainer_state import TrainingLog, notes, read_trainer_state
from tests.push.adapter import trainer_state, write_adapter

RUNS: Final = Path(__file__).parent / "runs"
"""Logs of real runs of transformers 5.24."""
NAN, INF = math.nan, math.inf


def log_of(tmp_path: Path, *entries: dict[str, Any], **state: Any) -> TrainingLog:
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": list(entries), **state}))
    return read_trainer_state(path)


def losses(log: TrainingLog) -> list[str]:
    return [f"{step.training_loss:g}" for step in log.steps]


@pytest.mark.parametrize("name", ["nan_filter", "nan_end"])
def test_a_run_that_broke_down_keeps_its_nans(name: str) -> None:
    log = read_trainer_state(RUNS / f"{name}.json")
    assert len(log.steps) == 30
    assert [step.step for step in log.steps if math.isnan(step.training_loss)] == [*range(21, 31)]
    assert log.zeros == (10 if name == "nan_filter" else 0)
    assert log.final_loss is None
    last = log.steps[-1].columns()
    assert (last["training_loss"], last["validation_loss"], last["gradient_norm"]) == (
        "NaN",
        "NaN",
        "NaN",
    )
    assert any("10 of 30 points have a training loss that is not a number" in n for n in notes(log))


def test_a_zero_with_a_gradient_is_a_zero(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        {"step": 1, "loss": 0.0, "grad_norm": 0.0},
        {"step": 2, "loss": 0.0},
        {"step": 3, "loss": 0.0, "grad_norm": INF},
    )
    assert losses(log) == ["0", "0", "nan"]


def test_a_loss_that_no_column_holds_is_kept_in_the_summary(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        {"step": 1, "loss": 2.0},
        {"step": 2, "loss": INF, "grad_norm": 1e30},
        {"step": 2, "eval_loss": 10_000.0},
        {"step": 3, "loss": 123456.5},
    )
    assert losses(log) == ["2", "nan", "nan"]
    assert log.summary()["losses_not_stored"] == [
        {"step": 2, "training_loss": "Infinity"},
        {"step": 2, "validation_loss": 10_000.0},
        {"step": 3, "training_loss": 123456.5},
    ]
    assert log.final_loss == 123456.5
    assert log.steps[1].columns()["gradient_norm"] == 1e30
    assert any("3 losses are infinite or too large" in note for note in notes(log))


def test_of_several_evaluation_sets_the_first_is_the_validation_loss() -> None:
    log = read_trainer_state(RUNS / "multi_eval.json")
    easy, hard = log.evaluation_sets
    assert (easy.name, hard.name) == ("easy", "hard")
    assert easy.last is not None
    assert (easy.last.step, round(easy.last.loss, 4)) == (30, 2.4406)
    assert hard.last is not None
    assert round(hard.last.loss, 4) == 2.444
    assert log.steps[-1].validation_loss == round(easy.last.loss, 6)
    assert list(log.summary()["evaluation_sets"]) == ["easy", "hard"]
    assert any("2 evaluation sets (easy, hard): the loss of easy" in note for note in notes(log))


def test_a_plain_evaluation_goes_before_named_ones(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        {"step": 1, "loss": 2.0},
        {"step": 1, "eval_easy_loss": 1.5, "eval_easy_runtime": 1.0},
        {"step": 1, "eval_loss": 1.7, "eval_runtime": 1.0, "eval_token_loss": 9.0},
    )
    assert log.steps[0].validation_loss == 1.7
    assert [each.name for each in log.evaluation_sets] == ["default", "easy"]


def test_a_log_that_is_shorter_than_its_interval_is_not_called_missing() -> None:
    log = read_trainer_state(RUNS / "log500.json")
    assert log.steps == ()
    [note] = notes(log)
    assert note == (
        "log500.json holds no losses (the mean of the run was 2.6548): the run had 30 steps, fewer"
        " than logging_steps (500). The model is rated 3/5, unknown."
    )
    [missing] = notes(TrainingLog())
    assert missing.startswith("No metrics (no trainer_state.json)")


def test_evaluations_before_the_first_loss_are_counted(tmp_path: Path) -> None:
    log = log_of(tmp_path, {"step": 0, "eval_loss": 3.0}, {"step": 5, "loss": 2.0})
    assert [step.step for step in log.steps] == [5]
    assert notes(log) == ["1 evaluation before the first training loss can't be stored."]


def test_evaluations_of_a_run_that_logged_no_loss_are_kept_in_the_summary(tmp_path: Path) -> None:
    log = log_of(tmp_path, {"step": 10, "eval_loss": 3.0}, {"step": 20, "eval_loss": 2.5})
    assert log.steps == ()
    assert log.summary()["last_validation"] == {"step": 20, "loss": 2.5}
    assert notes(log)[-1].startswith("2 evaluations before the first training loss")


STATE: Final = trainer_state([2.0, 1.5, 1.2, 1.1], {10: 1.8, 20: 1.4, 30: 1.5, 40: 1.6})


def weights_of(directory: Path, **state: Any) -> WeightsStep | None:
    (directory / "trainer_state.json").write_text(json.dumps(STATE | state))
    log = read_trainer_state(directory / "trainer_state.json")
    return find_weights_step(read_directory(directory), log)


def test_a_directory_that_is_named_after_its_step_has_the_weights_of_it(tmp_path: Path) -> None:
    found = weights_of(write_adapter(tmp_path / "checkpoint-20"))
    assert found is not None
    assert (found.step, found.is_certain) == (20, True)
    assert weights_of(write_adapter(tmp_path / "other" / "checkpoint-40")) is None


def test_the_best_checkpoint_is_only_probably_the_one_of_the_weights(tmp_path: Path) -> None:
    directory = write_adapter(tmp_path / "out")
    assert weights_of(directory) is None
    assert weights_of(directory, best_global_step=40) is None
    for state in (
        {"best_global_step": 20},
        {"best_model_checkpoint": "C:\\runs\\checkpoint-20"},
        {"best_model_checkpoint": "/runs/checkpoint-20"},
    ):
        found = weights_of(directory, **state)
        assert found is not None
        assert (found.step, found.is_certain) == (20, False)
        assert "probably those of step 20 of 40" in found.note


def test_equal_weights_prove_the_checkpoint(tmp_path: Path) -> None:
    directory = write_adapter(tmp_path / "out")
    for step, rank in ((20, 8), (40, 4)):
        write_adapter(directory / f"checkpoint-{step}", rank=rank)
    assert weights_of(directory, best_global_step=20) is None  # they are those of the end
    shutil.copy(
        directory / "adapter_model.safetensors",
        directory / "checkpoint-20" / "adapter_model.safetensors",
    )
    found = weights_of(directory, best_global_step=20)
    assert found is not None
    assert found.is_certain


@pytest.mark.parametrize("option", [True, False])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_the_option_is_read_from_the_arguments_without_loading_them(
    option: bool, protocol: int, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out")
    planted = tmp_path / "planted"

    class Planted:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (planted,))

    arguments = {"output_dir": "x", "load_best_model_at_end": option, "hub_token": None}
    with zipfile.ZipFile(directory / "training_args.bin", "w") as archive:
        content = pickle.dumps({"run": Planted(), "args": arguments}, protocol=protocol)
        archive.writestr("training_args/data.pkl", content)
    found = weights_of(directory, best_global_step=20)
    assert (found is not None and found.is_certain) is option
    assert not planted.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02}q\x00.", b"\xff" * 100])
def test_arguments_that_can_not_be_read_are_no_evidence(content: bytes, tmp_path: Path) -> None:
    directory = write_adapter(tmp_path / "out", state=STATE | {"best_global_step": 20})
    adapter = read_directory(directory)
    (directory / "training_args.bin").write_bytes(content)
    found = find_weights_step(adapter, read_trainer_state(directory / "trainer_state.json"))
    assert found is not None
    assert not found.is_certain


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_arguments_that_are_damaged_at_any_byte_are_no_evidence(
    method: int, tmp_path: Path
) -> None:
    directory = write_adapter(tmp_path / "out", state=STATE | {"best_global_step": 20})
    adapter = read_directory(directory)
    log = read_trainer_state(directory / "trainer_state.json")
    path = directory / "training_args.bin"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("training_args/data.pkl", pickle.dumps({"output_dir": "x"}))
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
        found = find_weights_step(adapter, log)
        assert found is not None
        assert not found.is_certain


def test_a_log_of_too_many_points_is_refused_before_it_takes_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trainer_state.json"
    path.write_bytes(b'{"log_history": [' + b"{}," * 500_000 + b"{}]}")

    def parse(*_: object, **__: object) -> object:
        pytest.fail("it was read into objects")

    monkeypatch.setattr("lora_tui.push.trainer_state.parse_json", parse)
    with pytest.raises(IntegrityError, match="more points than any training"):
        read_trainer_state(path)
