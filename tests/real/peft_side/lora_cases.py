"""The LoRA adapters that `make real` trains: a table of name, base and PEFT's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True)
class Case:
    """One adapter: on which base, with which settings, and how it is saved."""

    base: str
    settings: Mapping[str, Any]
    """Of the PEFT configuration; `peft_type` picks another class than LoraConfig."""
    auto_class: str = ""
    """The class of transformers that opens the base; empty: the usual one of the base."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """For `from_pretrained` of the base."""
    dtype: str = ""
    """The type in which the weights are saved: `bfloat16`, `float16`, `float8_e4m3fn`."""
    extra_tokens: int = 0
    """Tokens that are added to the vocabulary before the training."""
    with_tokenizer: bool = False
    """Save the tokenizer beside the adapter, as a training script does."""
    data_driven: bool = False
    """PEFT reads the training data to initialize it: see `wrapping.py`."""


QV: Final = ["q_proj", "v_proj"]
_CAUSAL: Final[Mapping[str, Any]] = {"task_type": "CAUSAL_LM", "target_modules": QV}


def _llama(**settings: Any) -> Case:
    return Case("llama", {**_CAUSAL, "r": 8, "lora_alpha": 16, **settings})


def _on(base: str, targets: object, **settings: Any) -> Case:
    return Case(base, {"r": 8, "lora_alpha": 16, "target_modules": targets, **settings})


_SEQUENCE: Final = "AutoModelForSequenceClassification"
_LM: Final = {"task_type": "CAUSAL_LM"}

LORA_CASES: Final[Mapping[str, Case]] = {
    # ranks and scaling
    "plain": Case("llama", {**_CAUSAL, "r": 8, "lora_alpha": 16}, with_tokenizer=True),
    "rank_1": _llama(r=1),
    "rank_64_rslora": _llama(r=64, use_rslora=True),
    "rslora": _llama(r=16, lora_alpha=32, use_rslora=True),
    "alpha_negative": _llama(lora_alpha=-16),
    "alpha_fraction": _llama(lora_alpha=0.5),
    "alpha_zero": _llama(lora_alpha=0),
    "rank_pattern": _llama(rank_pattern={"q_proj": 4, "layers.1.self_attn.v_proj": 32}),
    "rank_pattern_regex": _llama(rank_pattern={r".*\.0\..*q_proj": 32}),
    "rank_pattern_anchored": _llama(rank_pattern={"^model.layers.0.self_attn.q_proj": 2}),
    "rank_and_alpha_pattern": _llama(
        rank_pattern={"layers.0.self_attn.q_proj": 2}, alpha_pattern={"q_proj": 64}
    ),
    "rank_pattern_order": _llama(rank_pattern={"q_proj": 4, "layers.0.self_attn.q_proj": 16}),
    "alpha_pattern": _llama(alpha_pattern={"v_proj": 4, "layers.1.self_attn.q_proj": 1}),
    "alpha_pattern_rslora": _llama(alpha_pattern={"v_proj": 4}, use_rslora=True),
    "rank_pattern_rslora": _llama(rank_pattern={"v_proj": 2}, use_rslora=True),
    # which modules
    "all_linear": _llama(target_modules="all-linear"),
    "regex": _llama(target_modules=r".*\.layers\.\d+\.self_attn\.(q|v)_proj"),
    "default_targets": Case("llama", {**_LM, "r": 8, "lora_alpha": 16}),
    "full_names": _llama(target_modules=["model.layers.0.self_attn.q_proj", "down_proj"]),
    "missing_target": _llama(target_modules=[*QV, "c_attn"]),
    "excluded": _llama(target_modules="all-linear", exclude_modules=["down_proj"]),
    "excluded_regex": _llama(exclude_modules=r".*layers\.0\..*"),
    "one_layer": _llama(layers_to_transform=1),
    "some_layers": _llama(layers_to_transform=[0], layers_pattern="layers"),
    "layer_replication": _llama(layer_replication=[[0, 2], [1, 2]]),
    # variants
    "dora": _llama(use_dora=True),
    "dora_rslora": _llama(use_dora=True, use_rslora=True, target_modules="all-linear"),
    "alora": _llama(alora_invocation_tokens=[5, 6]),
    "lora_bias": _llama(lora_bias=True),
    "bias_all": _on("gpt2", ["c_attn"], bias="all", fan_in_fan_out=True, **_LM),
    "bias_lora_only": _on("qwen2", QV, bias="lora_only", **_LM),
    "qalora": _llama(use_qalora=True),
    "velora": _llama(velora_config={"num_groups": 16}),
    "kasa": _llama(kasa_config={}),
    "monteclora": _llama(monteclora_config={}),
    "block_diagonal": _llama(
        use_bdlora={
            "target_modules_bd_a": ["q_proj"], "target_modules_bd_b": ["v_proj"], "nblocks": 2,
        }
    ),
    # initialization
    "init_false": _llama(init_lora_weights=False),
    "gaussian": _llama(init_lora_weights="gaussian"),
    "olora": _llama(init_lora_weights="olora"),
    "orthogonal": _llama(init_lora_weights="orthogonal"),
    "pissa": _llama(init_lora_weights="pissa"),
    "pissa_rslora": _llama(init_lora_weights="pissa", use_rslora=True),
    "pissa_niter": _llama(init_lora_weights="pissa_niter_4"),
    "mica": _llama(init_lora_weights="mica"),
    "eva": Case("llama", {**_CAUSAL, "r": 8, "init_lora_weights": "eva"}, data_driven=True),
    "corda": Case("llama", {**_CAUSAL, "r": 8, "init_lora_weights": "corda"}, data_driven=True),
    "lora_ga": Case(
        "llama",
        {**_CAUSAL, "r": 8, "init_lora_weights": "lora_ga", "lora_ga_config": {}},
        data_driven=True,
    ),
    # saved beside the matrices
    "saved_head": _llama(modules_to_save=["lm_head"]),
    "saved_embedding_and_head": _llama(modules_to_save=["embed_tokens", "lm_head"]),
    "saved_norms": _llama(modules_to_save=["input_layernorm"]),
    "trainable_tokens": _llama(trainable_token_indices={"embed_tokens": [3, 7, 9]}),
    "trainable_tokens_list": _llama(trainable_token_indices=[3, 7]),
    "embedding_target": _llama(target_modules=[*QV, "embed_tokens", "lm_head"]),
    "tied_embedding": _on("llama-tied", [*QV, "embed_tokens"], **_LM),
    "tied_embedding_both": _on(
        "llama-tied", [*QV, "embed_tokens", "lm_head"], ensure_weight_tying=True, **_LM
    ),
    "tied_saved": _on(
        "llama-tied", QV, modules_to_save=["embed_tokens"], ensure_weight_tying=True, **_LM
    ),
    "tied_trainable_tokens": _on(
        "llama-tied", QV, trainable_token_indices=[4], ensure_weight_tying=True, **_LM
    ),
    "resized_vocabulary": Case(
        "llama", {**_CAUSAL, "r": 8, "modules_to_save": ["embed_tokens", "lm_head"]},
        extra_tokens=3, with_tokenizer=True,
    ),
    "resized_trainable_tokens": Case(
        "llama", {**_CAUSAL, "r": 8, "trainable_token_indices": [95, 96]},
        extra_tokens=2, with_tokenizer=True,
    ),
    # types of the numbers
    "bfloat16": Case("llama", {**_CAUSAL, "r": 8, "lora_alpha": 16}, dtype="bfloat16"),
    "float16": Case("llama", {**_CAUSAL, "r": 8, "lora_alpha": 16}, dtype="float16"),
    "float8": Case("llama", {**_CAUSAL, "r": 8, "lora_alpha": 16}, dtype="float8_e4m3fn"),
    "float8_e5m2": Case("llama", {**_CAUSAL, "r": 8, "lora_alpha": 16}, dtype="float8_e5m2"),
    # other bases
    "mistral": _on("mistral", "all-linear", **_LM),
    "qwen2": _on("qwen2", "all-linear", **_LM),
    "gemma2": _on("gemma2", "all-linear", **_LM),
    "phi3": _on("phi3", ["qkv_proj", "gate_up_proj"], **_LM),
    "gpt2": _on("gpt2", ["c_attn"], fan_in_fan_out=True, **_LM),
    "gpt2_conv1d": _on("gpt2", ["c_attn", "c_proj", "c_fc"], **_LM),
    "moe_attention": _on("mixtral", QV, **_LM),
    "moe_router": _on("mixtral", QV, target_parameters=["gate.weight"], **_LM),
    "moe_names_of_older_versions": _on(
        "qwen3-moe", ["q_proj", "gate_proj", "up_proj", "down_proj"], **_LM
    ),
    "moe_experts": _on(
        "mixtral", QV, target_parameters=["experts.gate_up_proj", "experts.down_proj"], **_LM
    ),
    "moe_experts_only": _on("mixtral", [], target_parameters=["experts.gate_up_proj"], **_LM),
    "moe_experts_rank_pattern": _on(
        "mixtral", QV, target_parameters=["experts.down_proj"], use_rslora=True,
        rank_pattern={"experts.down_proj": 2}, **_LM,
    ),
    "conv": _on("conv2d", ["conv"]),
    "conv_grouped": _on("conv2d", ["conv", "grouped", "head"]),
    "conv_dora": _on("conv2d", ["conv"], use_dora=True),
    "conv1d": _on("conv1d", ["conv", "head"]),
    "conv3d": _on("conv3d", ["conv", "head"]),
    "vit": _on("vit", ["projection", "query", "value", "q_proj", "v_proj"]),
    # tasks
    "bert_features": Case(
        "bert", {"r": 8, "target_modules": ["query", "value"], "task_type": "FEATURE_EXTRACTION"},
        auto_class="AutoModel",
    ),
    "llama_features": Case(
        "llama", {"r": 8, "target_modules": QV, "task_type": "FEATURE_EXTRACTION"},
        auto_class="AutoModel",
    ),
    "t5": _on("t5", ["q", "v"], task_type="SEQ_2_SEQ_LM"),
    "whisper": _on("whisper", QV),
    "image_classes": _on("vit", ["query", "value", "q_proj", "v_proj"],
                         modules_to_save=["classifier"]),
}  # fmt: skip
"""Adapters that a causal, sequence-to-sequence or other base carries without a new head."""


def _with_head(base: str, targets: list[str], task: str, auto_class: str, labels: int) -> Case:
    options = {"num_labels": labels} if labels else {}
    return Case(
        base, {"r": 8, "lora_alpha": 16, "target_modules": targets, "task_type": task},
        auto_class=auto_class, options=options,
    )  # fmt: skip


HEAD_CASES: Final[Mapping[str, Case]] = {
    "bert_sequence_classes": _with_head("bert", ["query", "value"], "SEQ_CLS", _SEQUENCE, 3),
    "bert_two_classes": _with_head("bert", ["query", "value"], "SEQ_CLS", _SEQUENCE, 2),
    "bert_one_score": _with_head("bert", ["query", "value"], "SEQ_CLS", _SEQUENCE, 1),
    "bert_token_classes": _with_head(
        "bert", ["query", "value"], "TOKEN_CLS", "AutoModelForTokenClassification", 5
    ),
    "bert_answers": _with_head(
        "bert", ["query", "value"], "QUESTION_ANS", "AutoModelForQuestionAnswering", 0
    ),
    "llama_sequence_classes": _with_head("llama", QV, "SEQ_CLS", _SEQUENCE, 4),
    "llama_token_classes": _with_head(
        "llama", QV, "TOKEN_CLS", "AutoModelForTokenClassification", 3
    ),
    "gpt2_sequence_classes": _with_head("gpt2", ["c_attn"], "SEQ_CLS", _SEQUENCE, 3),
}
"""Adapters with a head of their own, which PEFT saves with them."""
