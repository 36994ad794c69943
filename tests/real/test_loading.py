"""A configuration is refused only where PEFT refuses it: the same adapter with many changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from tests.real.cases import ask_peft, directory, root
from tests.real.commands import User

pytestmark = pytest.mark.xdist_group("loading")

REMOVED: Final = object()

CHANGES: Final[dict[str, dict[str, Any]]] = {
    "as_it_is": {},
    "r_doubled": {"r": 16},
    "r_halved": {"r": 4},
    "r_zero": {"r": 0},
    "r_negative": {"r": -8},
    "r_removed": {"r": REMOVED},
    "r_text": {"r": "8"},
    "r_null": {"r": None},
    "alpha_removed": {"lora_alpha": REMOVED},
    "alpha_zero": {"lora_alpha": 0},
    "alpha_negative": {"lora_alpha": -4},
    "alpha_null": {"lora_alpha": None},
    "alpha_text": {"lora_alpha": "16"},
    "peft_type_removed": {"peft_type": REMOVED},
    "peft_type_unknown": {"peft_type": "NOTHING"},
    "peft_type_lower": {"peft_type": "lora"},
    "peft_type_other": {"peft_type": "IA3"},
    "task_type_removed": {"task_type": REMOVED},
    "task_type_unknown": {"task_type": "SOMETHING"},
    "base_removed": {"base_model_name_or_path": REMOVED},
    "targets_removed": {"target_modules": REMOVED},
    "targets_null": {"target_modules": None},
    "targets_empty": {"target_modules": []},
    "targets_more": {"target_modules": ["q_proj", "v_proj", "k_proj"]},
    "targets_fewer": {"target_modules": ["q_proj"]},
    "targets_with_a_name_the_base_lacks": {"target_modules": ["q_proj", "v_proj", "nothing"]},
    "targets_that_the_base_lacks": {"target_modules": ["nothing"]},
    "targets_regex": {"target_modules": r".*\.(q|v)_proj"},
    "targets_regex_broken": {"target_modules": r".*\.(q|v_proj"},
    "targets_one_name": {"target_modules": "q_proj"},
    "targets_all_linear": {"target_modules": "all-linear"},
    "unknown_setting": {"some_setting_of_a_later_version": 3},
    "dora_without_magnitudes": {"use_dora": True},
    "dora_with_bias": {"use_dora": True, "lora_bias": True},
    "lora_bias_without_biases": {"lora_bias": True},
    "lora_bias_with_olora": {"lora_bias": True, "init_lora_weights": "olora"},
    "rslora": {"use_rslora": True},
    "rank_pattern_wrong": {"rank_pattern": {"q_proj": 4}},
    "rank_pattern_right": {"r": 4, "rank_pattern": {"q_proj": 8, "v_proj": 8}},
    "rank_pattern_without_effect": {"rank_pattern": {"nothing": 4}},
    "rank_pattern_null": {"rank_pattern": None},
    "rank_pattern_broken": {"rank_pattern": {"(": 4}},
    "alpha_pattern": {"alpha_pattern": {"q_proj": 1, r".*1\..*v_proj": 3}},
    "alpha_pattern_null": {"alpha_pattern": None},
    "layers_to_transform": {"layers_to_transform": [0]},
    "layers_to_transform_with_regex": {"target_modules": ".*q_proj", "layers_to_transform": [0]},
    "layers_pattern_alone": {"layers_pattern": "layers"},
    "bias_unknown": {"bias": "some"},
    "bias_all": {"bias": "all"},
    "init_unknown": {"init_lora_weights": "nothing"},
    "init_eva": {"init_lora_weights": "eva"},
    "init_corda": {"init_lora_weights": "corda"},
    "init_pissa": {"init_lora_weights": "pissa"},
    "saved_head_missing": {"modules_to_save": ["lm_head"]},
    "excluded_all": {"exclude_modules": ["q_proj", "v_proj"]},
    "excluded_one": {"exclude_modules": ["v_proj"]},
    "target_parameters_text": {"target_parameters": "experts.down_proj"},
    "target_parameters_missing": {"target_parameters": ["experts.down_proj"]},
    "trainable_tokens_missing": {"trainable_token_indices": {"embed_tokens": [3]}},
    "layer_replication": {"layer_replication": [[0, 2], [0, 2]]},
    "dropout_high": {"lora_dropout": 1.5},
    "fan_in_fan_out": {"fan_in_fan_out": True},
    "megatron": {"megatron_config": {"a": 1}},
    "megatron_with_dora": {"megatron_config": {"a": 1}, "use_dora": True},
    "alora": {"alora_invocation_tokens": [5, 6]},
    "inference_mode": {"inference_mode": False},
    "revision": {"revision": "main"},
}
"""Settings that replace those of the plain adapter, whose weights stay as they are."""

NOT_SEEN: Final = {
    "target_parameters_missing",  # needs the names of the base's parameters
    "megatron",  # needs a package
    "dropout_high",  # is ignored where the adapter is only used
}
"""Changes that PEFT refuses for what the files don't show."""

REMARKED: Final = {
    "targets_that_the_base_lacks",  # needs the names of the base's modules
    "targets_one_name",  # a pattern, which a module of the base could match
    "excluded_all",
    "saved_head_missing",  # a name that the base lacks is no fault
    "init_corda",  # loads where the base was prepared by preprocess_corda
    "init_unknown",  # a later PEFT may have it
}
"""Changes that PEFT refuses here, but not everywhere: a remark, no problem."""


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for each change."""
    place = tmp_path_factory.mktemp("changed")
    for name, settings in CHANGES.items():
        shutil.copytree(directory("plain"), place / name)
        file = place / name / "adapter_config.json"
        config = json.loads(file.read_text()) | settings
        kept = {key: value for key, value in config.items() if value is not REMOVED}
        file.write_text(json.dumps(kept))
    return place


@pytest.fixture(scope="module")
def verdicts(changed: Path) -> dict[str, Any]:
    """What PEFT does with each of them."""
    found: dict[str, Any] = ask_peft("load_verdicts", root(), changed)
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_configuration_is_refused_where_peft_refuses_it(
    name: str, changed: Path, verdicts: dict[str, Any], user: User
) -> None:
    ran = user.types("inspect", changed / name, "--json")
    verdict = verdicts[name]
    if verdict["error"] is None:
        assert ran.code == 0, f"PEFT loads it with scaling {verdict['scaling']}; {ran.err}"
        assert ran.data["problems"] == []
        return
    if name in REMARKED:
        assert ran.data["remarks"] != [], f"PEFT: {verdict['error']}"
        return
    if name in NOT_SEEN:
        return
    assert ran.code == 6, f"PEFT: {verdict['error']}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CHANGES)
def test_the_scaling_of_a_changed_configuration_is_that_of_peft(
    name: str, changed: Path, verdicts: dict[str, Any], user: User
) -> None:
    verdict = verdicts[name]
    if verdict["error"] is not None or verdict["missing"] or verdict["unexpected"]:
        return  # the model has other modules than the file
    ran = user.types("inspect", changed / name, "--json")
    shown = {f"{module['scaling']:.9g}" for module in ran.data["modules"]}
    assert shown == set(verdict["scaling"])
