"""Writes a tiny random base model, and adapters of it, in the format of llama.cpp (GGUF)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import gguf
import numpy as np
from numpy.typing import NDArray

WIDTH: Final = 64
"""Hidden size of the base; an adapter of another width does not fit it."""

_LAYERS: Final = 2
_HEADS: Final = 4
_INNER: Final = 128
_CONTEXT: Final = 1024
_SPECIAL: Final = (b"<unk>", b"<s>", b"</s>")
_ASCII: Final = ("\u2581".encode(), *(bytes([code]) for code in range(33, 127)))
# A tokenizer without these refuses every text with a line break. Their output rows are zero, so
# that others are always likelier: the server leaves parts of a character out of its probabilities.
_BYTES: Final = tuple(f"<0x{code:02X}>".encode() for code in range(256))
_CHAT: Final = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


def write_base(path: Path, *, width: int = WIDTH, chat_template: str | None = _CHAT) -> Path:
    """A llama model of 2 layers with a token for each ASCII character; equal in each run."""
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(width)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // _HEADS)
    tokens = [*_SPECIAL, *_BYTES, *_ASCII]
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(
        [
            gguf.TokenType.UNKNOWN,
            gguf.TokenType.CONTROL,
            gguf.TokenType.CONTROL,
            *[gguf.TokenType.BYTE] * len(_BYTES),
            *[gguf.TokenType.NORMAL] * len(_ASCII),
        ]
    )
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if chat_template is not None:
        writer.add_chat_template(chat_template)

    output = _random(random, len(tokens), width)
    output[: len(_SPECIAL) + len(_BYTES)] = 0
    writer.add_tensor("token_embd.weight", _random(random, len(tokens), width))
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    writer.add_tensor("output.weight", output)
    for layer in range(_LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(width, np.float32))
        for module in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{layer}.{module}.weight", _random(random, width, width))
        for module in ("ffn_gate", "ffn_up"):
            writer.add_tensor(f"blk.{layer}.{module}.weight", _random(random, _INNER, width))
        writer.add_tensor(f"blk.{layer}.ffn_down.weight", _random(random, width, _INNER))
    _write(writer)
    return path


def write_adapter(
    path: Path, *, b: float = 0.3, rank: int = 4, width: int = WIDTH, seed: int = 1
) -> Path:
    """An adapter of q and v; `b` is the standard deviation of B's elements, 0 for no effect."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 2.0 * rank)
    for layer in range(_LAYERS):
        for module in ("attn_q", "attn_v"):
            name = f"blk.{layer}.{module}.weight"
            writer.add_tensor(f"{name}.lora_a", _random(random, rank, width))
            writer.add_tensor(f"{name}.lora_b", _random(random, width, rank, deviation=b))
    _write(writer)
    return path


def _random(
    random: np.random.Generator, rows: int, columns: int, *, deviation: float = 0.3
) -> NDArray[np.float32]:
    return (random.standard_normal((rows, columns)) * deviation).astype(np.float32)


def _write(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
