"""The base model that the stand-in pretends to have: its modules and their sizes, no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

DataType = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class BaseModel:
    """A decoder with the module names of Llama, Qwen and Mistral."""

    name: str
    """What requests call it; also its path on the server's disk."""
    hidden_size: int
    layers: int
    key_value_size: int
    """Outputs of `k_proj` and `v_proj`."""
    intermediate_size: int
    vocabulary_size: int
    dtype: DataType
    max_model_len: int = 4096

    def modules(self) -> Mapping[str, tuple[int, int]]:
        """Full name of each module that an adapter may change → (inputs, outputs)."""
        hidden, wide = self.hidden_size, self.intermediate_size
        in_a_layer = {
            "self_attn.q_proj": (hidden, hidden),
            "self_attn.k_proj": (hidden, self.key_value_size),
            "self_attn.v_proj": (hidden, self.key_value_size),
            "self_attn.o_proj": (hidden, hidden),
            "mlp.gate_proj": (hidden, wide),
            "mlp.up_proj": (hidden, wide),
            "mlp.down_proj": (wide, hidden),
        }
        names = {
            f"model.layers.{layer}.{module}": sizes
            for layer in range(self.layers)
            for module, sizes in in_a_layer.items()
        }
        return {
            **names,
            "model.embed_tokens": (self.vocabulary_size, hidden),
            "lm_head": (hidden, self.vocabulary_size),
        }


def tiny_base(
    name: str, hidden_size: int, layers: int, key_value_size: int | None, dtype: DataType
) -> BaseModel:
    """A base of the tests: k_proj and v_proj have `key_value_size` outputs, else `hidden_size`."""
    return BaseModel(
        name,
        hidden_size,
        layers,
        key_value_size=hidden_size if key_value_size is None else key_value_size,
        intermediate_size=2 * hidden_size,
        vocabulary_size=512,
        dtype=dtype,
    )


LLAMA_8B: Final = BaseModel(
    "meta-llama/Llama-3.1-8B-Instruct",
    hidden_size=4096,
    layers=32,
    key_value_size=1024,
    intermediate_size=14_336,
    vocabulary_size=128_256,
    dtype="bfloat16",
    max_model_len=8192,
)
"""The base of most adapters in the demo."""
