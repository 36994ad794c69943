"""Makes the tiny base models: random weights, a vocabulary of our own words, written in seconds.

Every base lies in `tiny/NAME` below the working directory, so that the name in an adapter's
configuration, and in a snippet, is a path that transformers opens without a network.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import PreTrainedTokenizerFast

VOCABULARY: Final = 128
_LINES: Final = """
the a of to in is it you that he was for on are with as they be at one have this from or had
by hot word but what some we can out other were all there when up use your how said an each
she which do their time if will way about many then them write would like so these her long
make thing see him two has look more day could go come did number sound no most people my
over know water than call first who may down side been now find question answer good bad
"""
WORDS: Final = tuple(_LINES.split())
SPECIAL: Final = ("<pad>", "<s>", "</s>", "<unk>")
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}<s> {{ message['content'] }} </s> {% endfor %}"
    "{% if add_generation_prompt %}<s>{% endif %}"
)

_TEXT: Final[Mapping[str, Any]] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_PICTURE: Final = {"height": 32, "width": 32}
_WITHOUT_GROUPS: Final = {k: v for k, v in _TEXT.items() if k != "num_key_value_heads"}
_MIXTURE: Final = {**_TEXT, "num_local_experts": 4, "num_experts_per_tok": 2}

CONFIGURATIONS: Final[Mapping[str, tuple[str, str, Mapping[str, Any]]]] = {
    # name: (model type, class of the whole model, settings)
    "llama": ("llama", "AutoModelForCausalLM", _TEXT),
    "llama-tied": ("llama", "AutoModelForCausalLM", {**_TEXT, "tie_word_embeddings": True}),
    "mistral": ("mistral", "AutoModelForCausalLM", _TEXT),
    "qwen2": ("qwen2", "AutoModelForCausalLM", _TEXT),
    "gemma2": ("gemma2", "AutoModelForCausalLM", {**_TEXT, "head_dim": 16}),
    "phi3": ("phi3", "AutoModelForCausalLM", _TEXT),
    "mixtral": ("mixtral", "AutoModelForCausalLM", _MIXTURE),
    "qwen3-moe": (
        "qwen3_moe",
        "AutoModelForCausalLM",
        {**_TEXT, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
         "head_dim": 16},
    ),
    "gpt2": (
        "gpt2",
        "AutoModelForCausalLM",
        {"vocab_size": VOCABULARY, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64,
         "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
    ),
    "bert": ("bert", "AutoModelForPreTraining", _WITHOUT_GROUPS),
    "t5": (
        "t5",
        "AutoModelForSeq2SeqLM",
        {"vocab_size": VOCABULARY, "d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2,
         "num_heads": 4, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 2},
    ),
    "whisper": (
        "whisper",
        "AutoModelForSpeechSeq2Seq",
        {"vocab_size": VOCABULARY, "d_model": 64, "encoder_layers": 2, "decoder_layers": 2,
         "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 96,
         "decoder_ffn_dim": 96, "num_mel_bins": 16, "max_source_positions": 32,
         "max_target_positions": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
         "decoder_start_token_id": 1, "suppress_tokens": [], "begin_suppress_tokens": []},
    ),
    "vit": (
        "vit",
        "AutoModelForImageClassification",
        {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "image_size": 32,
         "num_attention_heads": 4, "patch_size": 8, "num_labels": 5},
    ),
}  # fmt: skip
"""The bases of transformers. `llama-tied` shares its input and output embeddings."""


def _convolutions() -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 16, 3),
            grouped=nn.Conv2d(16, 16, 3, groups=4),
            act=nn.GELU(),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            head=nn.Linear(16, 8),
        )
    )


def _convolutions_1d() -> nn.Module:
    return nn.Sequential(
        OrderedDict(conv=nn.Conv1d(3, 16, 3, stride=2), flat=nn.Flatten(), head=nn.Linear(112, 8))
    )


def _convolutions_3d() -> nn.Module:
    return nn.Sequential(
        OrderedDict(conv=nn.Conv3d(3, 8, 3), flat=nn.Flatten(), head=nn.Linear(64, 8))
    )


PLAIN_MODULES: Final[Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]] = {
    # name: (the module, the shape of its input)
    "conv2d": (_convolutions, (2, 3, 12, 12)),
    "conv1d": (_convolutions_1d, (2, 3, 16)),
    "conv3d": (_convolutions_3d, (2, 3, 4, 4, 4)),
}
"""Bases without transformers."""


def make_bases() -> None:
    """Write every base of transformers to `tiny/NAME`, with its tokenizer."""
    for name, (kind, whole, settings) in CONFIGURATIONS.items():
        directory = Path("tiny", name)
        torch.manual_seed(len(name))
        config = transformers.AutoConfig.for_model(kind, **settings)
        getattr(transformers, whole).from_config(config).save_pretrained(directory)
        if kind == "vit":
            described = {"image_processor_type": "ViTImageProcessor", "size": _PICTURE}
            (directory / "preprocessor_config.json").write_text(json.dumps(described))
            continue
        tokenizer().save_pretrained(directory)
        if kind == "whisper":
            transformers.WhisperFeatureExtractor(feature_size=16).save_pretrained(directory)


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of whole words, with a chat template."""
    words = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate((*SPECIAL, *WORDS))}, unk_token="<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=CHAT_TEMPLATE,
    )


def work_quietly_in(root: Path) -> None:
    """Make `root` the working directory; no network, one thread, nothing printed but results."""
    os.chdir(root)
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")


def open_base(name: str, auto_class: str = "", **options: Any) -> nn.Module:
    """The base in evaluation mode; `auto_class` names a class of transformers, else the usual."""
    torch.manual_seed(7)  # a head that the base lacks is random; let it be the same each time
    if name in PLAIN_MODULES:
        return PLAIN_MODULES[name][0]().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = getattr(transformers, auto_class or CONFIGURATIONS[name][1])
        model: nn.Module = opened.from_pretrained(f"tiny/{name}", dtype="auto", **options)
    return model.eval()


@torch.no_grad()
def answer(model: nn.Module, base: str) -> torch.Tensor:
    """What the model returns for the fixed input of its base, flat, as float32."""
    draw = torch.Generator().manual_seed(3)
    ids = torch.tensor([[1, 9, 17, 5, 6, 21, 33, 2], [1, 40, 5, 6, 41, 42, 43, 2]])
    if base in PLAIN_MODULES:
        given: dict[str, torch.Tensor] = {
            "input": torch.randn(PLAIN_MODULES[base][1], generator=draw)
        }
    elif base == "vit":
        given = {"pixel_values": torch.randn((2, 3, 32, 32), generator=draw)}
    elif base == "whisper":
        sound = torch.randn((2, 16, 64), generator=draw)
        given = {"input_features": sound, "decoder_input_ids": ids}
    elif base == "t5":
        given = {"input_ids": ids, "decoder_input_ids": ids.flip(1)}
    else:
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    settings = getattr(model, "peft_config", {}).get("default")
    if settings is not None and settings.peft_type in ("MULTITASK_PROMPT_TUNING", "POLY"):
        given["task_ids"] = torch.zeros(len(ids), dtype=torch.long)
    torch.manual_seed(11)
    result = model.eval()(*given.values()) if "input" in given else model.eval()(**given)
    if isinstance(result, torch.Tensor):
        found = [result]
    else:
        names = ("logits", "start_logits", "end_logits", "last_hidden_state")
        found = [result[name] for name in names if name in result][:2]
        if "last_hidden_state" in result and "logits" in result:
            found = [result["logits"]]
    return torch.cat([tensor.float().flatten() for tensor in found])
