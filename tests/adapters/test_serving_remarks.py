"""`serve-config` for each task, and what it says that a server refuses or serves wrongly."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from lora_tui.adapters.served import served_adapter
from lora_tui.adapters.serving_remarks import remarks
from lora_tui.adapters.snippets import PROGRAMS, ServedAdapter, snippet
from lora_tui.domain import Model

LORA = {
    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": [8, 64],
    "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight": [64, 8],
    "base_model.model.model.layers.1.self_attn.v_proj.lora_A.weight": [8, 64],
    "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight": [64, 8],
}
CONFIG = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "org/base",
    "r": 8,
    "lora_alpha": 16,
    "target_modules": ["q_proj", "v_proj"],
}
SERVERS = ("vllm", "llama.cpp", "ollama")


def adapter(
    place: Path, tensors: dict[str, list[int]] | None = None, *files: str, **settings: Any
) -> ServedAdapter:
    """A directory with these tensors, settings and further files."""
    place.mkdir(parents=True, exist_ok=True)
    header, at = dict[str, Any](), 0
    for name, shape in (LORA if tensors is None else tensors).items():
        size = 4
        for figure in shape:
            size *= figure
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(at)
    (place / "adapter_model.safetensors").write_bytes(content)
    (place / "adapter_config.json").write_text(json.dumps(CONFIG | settings))
    for name in files:
        (place / name).write_text("{}")
    return served_adapter(Model.from_row({"id": "x", "name": "My model"}), place)


def calls(text: str) -> dict[str, ast.Call]:
    """The calls of a snippet by what is called: `AutoModel.from_pretrained`."""
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return {ast.unparse(call.func): call for call in found}


@pytest.mark.parametrize(
    ("task", "class_name"),
    [
        ("CAUSAL_LM", "AutoModelForCausalLM"),
        ("SEQ_2_SEQ_LM", "AutoModelForSeq2SeqLM"),
        ("SEQ_CLS", "AutoModelForSequenceClassification"),
        ("TOKEN_CLS", "AutoModelForTokenClassification"),
        ("QUESTION_ANS", "AutoModelForQuestionAnswering"),
        ("FEATURE_EXTRACTION", "AutoModel"),
    ],
)
def test_the_peft_snippet_loads_the_class_of_the_task(
    tmp_path: Path, task: str, class_name: str
) -> None:
    text = snippet(adapter(tmp_path, task_type=task), "peft")
    assert f"{class_name}.from_pretrained" in calls(text)
    imported = next(node for node in ast.parse(text).body[1:] if isinstance(node, ast.ImportFrom))
    assert {name.name for name in imported.names} == {class_name, "AutoTokenizer"}


@pytest.mark.parametrize(
    ("head", "labels"),
    [
        ({"classifier.weight": [3, 64], "classifier.bias": [3]}, 3),
        ({"score.weight": [5, 64]}, 5),
        ({"classifier.dense.weight": [64, 64], "classifier.out_proj.weight": [7, 64]}, 7),
        ({"pre_classifier.weight": [64, 64], "classifier.weight": [4, 64]}, 4),
        ({}, None),
    ],
)
def test_the_base_model_gets_a_head_as_large_as_the_saved_one(
    tmp_path: Path, head: dict[str, list[int]], labels: int | None
) -> None:
    tensors = LORA | {f"base_model.model.{name}": shape for name, shape in head.items()}
    served = adapter(
        tmp_path, tensors, task_type="SEQ_CLS", modules_to_save=["classifier", "score"]
    )
    call = calls(snippet(served, "peft"))["AutoModelForSequenceClassification.from_pretrained"]
    given = {word.arg: ast.unparse(word.value) for word in call.keywords}
    assert given.get("num_labels") == (None if labels is None else str(labels))
    assert any("no head" in line for line in remarks(served, "peft")) == (labels is None)


@pytest.mark.parametrize(
    ("tensors", "rows"),
    [
        ({"model.embed_tokens.weight": [1004, 64], "lm_head.weight": [1004, 64]}, 1004),
        ({"model.embed_tokens.base_layer.weight": [1004, 64]}, 1004),
        ({"model.embed_tokens.lora_embedding_A": [8, 1004]}, 1004),
        ({"transformer.wte.weight": [1004, 64]}, 1004),
        ({"shared.weight": [1004, 64]}, 1004),
        ({}, None),
    ],
)
def test_the_vocabulary_is_made_as_large_as_the_saved_embeddings(
    tmp_path: Path, tensors: dict[str, list[int]], rows: int | None
) -> None:
    saved = {f"base_model.model.{name}": shape for name, shape in tensors.items()}
    text = snippet(adapter(tmp_path, LORA | saved), "peft")
    assert (f"base.resize_token_embeddings({rows}," in text) == (rows is not None)
    before, _, after = text.partition("PeftModel.from_pretrained")
    assert "resize" not in after
    assert before


def test_the_tokenizer_is_the_adapters_own_where_it_has_a_whole_one(tmp_path: Path) -> None:
    own = adapter(tmp_path / "own", None, "tokenizer.json", "tokenizer_config.json")
    assert f"AutoTokenizer.from_pretrained({str(tmp_path / 'own')!r})" in snippet(own, "peft")
    part = adapter(tmp_path / "part", None, "tokenizer_config.json")
    assert "AutoTokenizer.from_pretrained('org/base')" in snippet(part, "peft")


def test_without_a_task_the_noted_class_is_loaded_and_no_other_library(tmp_path: Path) -> None:
    noted = {
        "base_model_class": "WhisperForConditionalGeneration",
        "parent_library": "transformers.models.whisper.modeling_whisper",
    }
    served = adapter(tmp_path / "a", task_type=None, auto_mapping=noted)
    text = snippet(served, "peft")
    assert "WhisperForConditionalGeneration.from_pretrained" in calls(text)
    assert "AutoProcessor.from_pretrained" in calls(text)
    assert remarks(served, "peft") == ()
    for bad in (noted | {"parent_library": "os"}, noted | {"base_model_class": "x; evil"}):
        served = adapter(tmp_path / "b", task_type=None, auto_mapping=bad)
        assert "AutoModelForCausalLM.from_pretrained" in calls(snippet(served, "peft"))
        assert any("assumption" in line for line in remarks(served, "peft"))


@pytest.mark.parametrize("program", SERVERS)
def test_a_plain_adapter_is_served_without_a_word(tmp_path: Path, program: str) -> None:
    assert remarks(adapter(tmp_path), program) == ()


@pytest.mark.parametrize(
    ("settings", "tensors", "word"),
    [
        ({"use_dora": True}, {}, "DoRA"),
        ({"lora_bias": True}, {}, "lora_bias"),
        ({"bias": "all"}, {}, "bias all"),
        ({"layer_replication": [[0, 1]]}, {}, "layer_replication"),
        ({"modules_to_save": ["lm_head"]}, {"lm_head.weight": [100, 64]}, "the saved lm_head"),
        (
            {},
            {"model.embed_tokens.token_adapter.trainable_tokens_delta": [2, 64]},
            "trained tokens",
        ),
        ({}, {"model.odd.weight": [2, 64]}, "the tensor model.odd.weight"),
    ],
)
def test_what_every_server_refuses_is_said_with_its_remedy(
    tmp_path: Path, settings: dict[str, Any], tensors: dict[str, list[int]], word: str
) -> None:
    saved = {f"base_model.model.{name}": shape for name, shape in tensors.items()}
    served = adapter(tmp_path, LORA | saved, **settings)
    for program in SERVERS:
        (line,) = remarks(served, program)
        assert "refuses" in line
        assert word in line
        unmerged = {"lora_bias", "layer_replication"} & settings.keys()
        assert ("use it with PEFT" if unmerged else "merge it into its base model") in line
    assert remarks(served, "peft") == ()


@pytest.mark.parametrize(
    ("settings", "numbers", "remedy"),
    [
        (
            {"use_rslora": True, "r": 16, "lora_alpha": 16},
            ("by 1 in place of 4", "rsLoRA"),
            "lora_alpha is 64",
        ),
        ({"alpha_pattern": {"v_proj": 64}}, ("by 2 in place of 8", "alpha_pattern"), "merge it"),
    ],
)
def test_a_scale_that_a_gguf_file_can_not_hold_is_said_in_figures(
    tmp_path: Path, settings: dict[str, Any], numbers: tuple[str, str], remedy: str
) -> None:
    served = adapter(tmp_path, **settings)
    for program in ("llama.cpp", "ollama"):
        (line,) = remarks(served, program)
        assert all(number in line for number in numbers)
        assert remedy in line
    assert remarks(served, "vllm") == ()


def test_an_initialisation_that_changed_the_base_model_is_said(tmp_path: Path) -> None:
    for method in ("pissa", "pissa_niter_4", "olora", "corda", "loftq"):
        served = adapter(tmp_path, init_lora_weights=method)
        assert any(f"refuses init_lora_weights {method}" in x for x in remarks(served, "vllm"))
        assert any("would answer wrongly" in x for x in remarks(served, "llama.cpp"))
    for method in (True, False, "gaussian", "eva", "orthogonal"):
        assert remarks(adapter(tmp_path, init_lora_weights=method), "vllm") == ()


def test_saved_heads_are_taken_by_vllm_and_by_no_other(tmp_path: Path) -> None:
    saved = LORA | {"base_model.model.score.weight": [3, 64]}
    served = adapter(tmp_path, saved, modules_to_save=["classifier", "score"])
    assert remarks(served, "vllm") == ()
    assert "the saved score" in remarks(served, "llama.cpp")[0]


def test_the_base_models_own_embeddings_are_no_obstacle(tmp_path: Path) -> None:
    saved = LORA | {"base_model.model.model.embed_tokens.base_layer.weight": [1004, 64]}
    assert remarks(adapter(tmp_path, saved), "vllm") == ()


@pytest.mark.parametrize("name", ["transformer.h.0.attn.c_attn", "language_model.layers.0.q_proj"])
def test_names_that_vllm_takes_without_any_effect_are_said(tmp_path: Path, name: str) -> None:
    tensors = {
        f"base_model.model.{name}.lora_A.weight": [8, 64],
        f"base_model.model.{name}.lora_B.weight": [64, 8],
    }
    (line,) = remarks(adapter(tmp_path, tensors), "vllm")
    assert "without any effect" in line


def test_names_that_peft_loads_nothing_of_are_said(tmp_path: Path) -> None:
    bare = {name.removeprefix("base_model.model."): shape for name, shape in LORA.items()}
    assert "lack base_model.model." in remarks(adapter(tmp_path / "a", bare), "peft")[0]
    keyed = {name.replace(".weight", ".default.weight"): shape for name, shape in LORA.items()}
    assert "PEFT loads nothing" in remarks(adapter(tmp_path / "b", keyed), "peft")[0]
    assert "vLLM refuses names" in remarks(adapter(tmp_path / "b", keyed), "vllm")[0]


def test_lm_head_a_comma_and_an_alpha_with_a_point_are_said(tmp_path: Path) -> None:
    tensors = {
        "base_model.model.lm_head.lora_A.weight": [8, 64],
        "base_model.model.lm_head.lora_B.weight": [100, 8],
    }
    served = adapter(tmp_path / "a,b", tensors)
    lines = remarks(served, "llama.cpp")
    assert any("lm_head" in line for line in lines)
    assert any("comma" in line for line in lines)
    assert snippet(served, "llama.cpp").rstrip().endswith("--lora my-model.gguf")
    (line,) = remarks(adapter(tmp_path / "c", lora_alpha=0.5), "ollama")
    assert "whole number" in line


def test_the_flag_for_the_rank_covers_every_module(tmp_path: Path) -> None:
    served = adapter(tmp_path, rank_pattern={"v_proj": 40})
    assert "--max-lora-rank 64" in snippet(served, "vllm")


def test_another_type_of_adapter_is_named_and_no_server_is_said_to_load_it(tmp_path: Path) -> None:
    tensors = {"base_model.model.model.layers.0.mlp.down_proj.ia3_l": [1, 64]}
    served = adapter(tmp_path, tensors, peft_type="IA3")
    for program in SERVERS:
        (line,) = remarks(served, program)
        assert "LoRA" in line
    assert "merge_and_unload" in snippet(served, "peft")
    prompts = {"prompt_embeddings": [4, 64]}
    served = adapter(tmp_path / "prompts", prompts, peft_type="PROMPT_TUNING")
    assert "merge_and_unload" not in snippet(served, "peft")
    for program in SERVERS:
        assert "can't merge it" in remarks(served, program)[0]


def test_a_model_of_images_or_sound_is_said_to_be_no_model_of_text(tmp_path: Path) -> None:
    noted = {"base_model_class": "ViTForImageClassification", "parent_library": "transformers"}
    served = adapter(tmp_path, task_type=None, auto_mapping=noted)
    for program in SERVERS:
        (line,) = remarks(served, program)
        assert "ViTForImageClassification" in line
    assert "AutoImageProcessor" in snippet(served, "peft")


def test_a_configuration_that_peft_refuses_is_said(tmp_path: Path) -> None:
    assert "PEFT refuses it" in remarks(adapter(tmp_path, r=0), "peft")[0]


def test_a_directory_that_can_not_be_read_still_has_its_snippets(tmp_path: Path) -> None:
    served = adapter(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"cut")
    served = served_adapter(Model.from_row({"id": "x", "name": "My model"}), tmp_path)
    for program in PROGRAMS:
        assert snippet(served, program)
