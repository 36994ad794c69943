"""What the weights say is stored with the model, measured while the files pass."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from lora_tui.domain import WeightSummary
from lora_tui.domain.weight_summary import MAX_SUMMARY_BYTES
from lora_tui.harvest.passing_weights import PassingWeights
from tests.adapters.weight_files import pair, write_tensors
from tests.harvest.world import World

CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}


def take(passing: PassingWeights, path: Path, recorded: object = None) -> object:
    with path.open("rb") as file:
        return passing.take(path.name, file.fileno(), recorded)


def adapter(directory: Path, value: float = 1.0) -> tuple[Path, Path]:
    config = directory / "adapter_config.json"
    config.write_text(json.dumps(CONFIG))
    tensors = pair("layers.0.q_proj", np.ones((2, 4)), np.full((4, 2), value))
    return config, write_tensors(directory / "adapter_model.safetensors", tensors)


def test_every_harvested_model_has_the_summary_of_its_weights(world: World) -> None:
    world.run()
    artifacts = world.artifacts().values()
    assert artifacts
    for artifact in artifacts:
        stored = artifact["configuration"]["weights"]
        assert len(json.dumps(stored)) <= MAX_SUMMARY_BYTES
        summary = WeightSummary.from_json(stored)
        assert summary is not None
        assert (summary.damaged, summary.dead) == (0, 0)
        assert summary.evaluated == summary.modules > 0
        assert summary.scaled


def test_the_scaling_is_that_of_the_configuration_that_passed_before(tmp_path: Path) -> None:
    config, weights = adapter(tmp_path)
    passing = PassingWeights([config.name, weights.name])
    take(passing, config)
    take(passing, weights)
    assert passing.summary is not None
    assert passing.summary["norm"] == 2 * math.sqrt(16 * 4)


def test_after_a_restart_the_receipts_know_what_was_measured(tmp_path: Path) -> None:
    config, weights = adapter(tmp_path)
    first = PassingWeights([config.name, weights.name])
    recorded = [take(first, config), take(first, weights)]
    again = PassingWeights([config.name, weights.name])
    for path, known in zip((config, weights), json.loads(json.dumps(recorded)), strict=True):
        again.take(path.name, None, known)
    assert again.summary == first.summary
    half = PassingWeights([config.name, weights.name])
    half.take(config.name, None, recorded[0])
    take(half, weights)
    assert half.summary == first.summary


def test_damaged_weights_are_stored_as_such(tmp_path: Path) -> None:
    _, weights = adapter(tmp_path, math.nan)
    passing = PassingWeights([weights.name])
    take(passing, weights)
    assert passing.summary is not None
    assert passing.summary["damaged"] == 1


def test_what_can_not_be_measured_stops_no_harvest(tmp_path: Path) -> None:
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(b"no safetensors")
    config = tmp_path / "adapter_config.json"
    config.write_text("[]")
    for names in ([config.name, weights.name], ["a.safetensors", "b.safetensors"], ["a.bin"]):
        passing = PassingWeights(names)
        assert take(passing, config) is None
        assert take(passing, weights) is None
        assert passing.summary is None
        assert passing.take(weights.name, None, {"version": "no"}) is None
