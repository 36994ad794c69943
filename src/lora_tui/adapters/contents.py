"""Reads what a directory of an adapter holds beside its configuration, as snippets need it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lora_tui.adapters.header import WEIGHTS, read_header_at
from lora_tui.adapters.snippets import AdapterContents
from lora_tui.adapters.tensor_names import PREFIX, paired
from lora_tui.errors import IntegrityError
from lora_tui.json_values import mapping, parse_json

_VOCABULARIES: Final = (
    "tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model", "spiece.model", "tekken.json",
    "sentencepiece.bpe.model", "source.spm", "tiktoken.model",
)  # fmt: skip
_PROCESSORS: Final = ("preprocessor_config.json", "processor_config.json")
_HEAD: Final = re.compile(r"(.+\.)?(classifier|score|out_proj|logits_proj)\.weight")
_HEADS: Final = frozenset(("classifier", "score", "classification_head", "logits_proj"))
_EMBEDDING: Final = re.compile(
    r"(.+\.)?(embed_tokens|wte|word_embeddings|shared|embed_in|tok_embeddings|lm_head|embed_out)"
    r"(\.base_layer)?\.(?P<matrix>weight|lora_embedding_A)(\.weight)?"
)
_KEYED: Final = re.compile(r".+\.lora_[AB]\.[^.]+\.weight")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


def read_contents(directory: Path, config: bytes) -> AdapterContents:
    """The contents of a directory; `config` is its adapter_config.json.

    Of weights in a pickle nothing is known. Raises IntegrityError, OSError.
    """
    names = {path.name for path in directory.iterdir()}
    shapes = _shapes(directory / WEIGHTS) if WEIGHTS in names else {}
    pairs = paired(shapes)
    plain = {name.removeprefix(PREFIX): shape for name, shape in shapes.items()}
    table = _table(config)
    return AdapterContents(
        modules=tuple(module.name for module in pairs.modules),
        saved=tuple(name.removeprefix(PREFIX) for name in pairs.others),
        labels=_labels(plain),
        vocabulary=_vocabulary(plain),
        tokenizer="tokenizer_config.json" in names and not names.isdisjoint(_VOCABULARIES),
        processor=not names.isdisjoint(_PROCESSORS),
        base_class=_base_class(table.get("auto_mapping")),
        unprefixed=bool(pairs.modules) and not any(name.startswith(PREFIX) for name in shapes),
        keyed=any(_KEYED.fullmatch(name) for name in shapes),
        alpha_with_point=isinstance(table.get("lora_alpha"), float),
    )


def _shapes(weights: Path) -> dict[str, tuple[int, ...]]:
    with weights.open("rb") as file:

        def read_at(count: int, at: int) -> bytes:
            file.seek(at)
            return file.read(count)

        header = read_header_at(read_at, weights.stat().st_size)
    return {name: tensor.shape for name, tensor in header.tensors.items() if len(name) <= 1000}


def _labels(shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Rows of the last layer of a classification head: `classifier`, `classifier.out_proj` …"""
    for name, shape in shapes.items():
        if len(shape) == 2 and _HEAD.fullmatch(name) and not _HEADS.isdisjoint(name.split(".")):
            return shape[0]
    return None


def _vocabulary(shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Rows of the embeddings; of their LoRA matrices [rank, rows] are saved, too."""
    rows = [
        shape[0] if match["matrix"] == "weight" else shape[1]
        for name, shape in shapes.items()
        if len(shape) == 2 and (match := _EMBEDDING.fullmatch(name))
    ]
    return max(rows, default=None)


def _base_class(auto_mapping: object) -> str:
    """The class of transformers that PEFT noted for a base model without a task."""
    table = mapping(auto_mapping)
    name, library = table.get("base_model_class"), str(table.get("parent_library"))
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
        return ""
    return name if library == "transformers" or library.startswith("transformers.") else ""


def _table(config: bytes) -> Mapping[str, object]:
    try:
        return mapping(parse_json(config))
    except (ValueError, RecursionError):
        raise IntegrityError("adapter_config.json is not valid JSON") from None
