"""A random safetensors header is read or refused in one sentence."""

from __future__ import annotations

import json
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from lora_tui.adapters.agreement import find_disagreements
from lora_tui.adapters.config import read_config
from lora_tui.adapters.header import header_length, read_header
from lora_tui.errors import IntegrityError
from tests.fuzz.conftest import examples
from tests.fuzz.test_answers import ESCAPES, json_values

_NAMES: Final = (
    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
    "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight",
    "base_model.model.model.layers.1.mlp.up_proj.lora_A.weight",
    "__metadata__",
    "lm_head.weight",
    "\x1b[2J\u202e.lora_A.weight",
    "",
)
_numbers: Final = st.integers(-2, 2**70) | st.floats() | st.none() | st.text(max_size=3)
_entries: Final = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(("F16", "BF16", "F32", "F4", "X9", 7, None)),
            "shape": st.lists(_numbers, max_size=4),
            "data_offsets": st.lists(_numbers, max_size=3),
        }
    ),
)
_tables: Final = st.dictionaries(st.sampled_from(_NAMES) | st.text(max_size=20), _entries)


@st.composite
def beginnings(draw: st.DrawFn) -> bytes:
    """The first bytes of a file: a length and what should be JSON."""
    text = draw(
        st.one_of(
            _tables.map(lambda table: json.dumps(table).encode()),
            st.binary(max_size=100),
            st.sampled_from((b"[" * 50_000, b'{"a":' * 20_000, b'{"a":1,"a":2}', b"{}")),
        )
    )
    length = draw(st.sampled_from((len(text), len(text) + 1, 0, 2**63, 2**64 - 1)))
    return length.to_bytes(8, "little") + text + draw(st.binary(max_size=16))


@given(beginning=beginnings(), size=st.none() | st.integers(0, 2**64))
@examples(150)
def test_any_header_is_read_or_refused(beginning: bytes, size: int | None) -> None:
    try:
        header_length(beginning[:8], size)
        facts = read_header(beginning, file_size=size)
    except IntegrityError as error:
        said = f"{error} {error.details or ''}"
    else:
        config = read_config(b'{"peft_type": "LORA", "r": 8}')
        findings = find_disagreements(facts, config)
        said = " ".join((*facts.problems, *findings.problems, *findings.remarks))
    assert not any(character in said for character in ESCAPES)


@given(content=st.one_of(st.binary(max_size=80), json_values.map(lambda v: json.dumps(v).encode())))
@examples(100)
def test_any_adapter_config_is_read_or_refused(content: bytes) -> None:
    said = ""
    try:
        read_config(content)
    except IntegrityError as error:
        said = f"{error} {error.details or ''}"
    assert not any(character in said for character in ESCAPES)


_texts: Final = st.text(max_size=6) | st.sampled_from(("q_proj", ".*", "(a+)+", "(", "\x1b[2J"))
_settings: Final = st.one_of(
    json_values,
    st.lists(_texts, max_size=3),
    st.dictionaries(_texts, st.integers(-2, 40) | json_values, max_size=3),
    st.integers(-2, 40),
    _texts,
)
_KEYS: Final = (
    "r", "lora_alpha", "target_modules", "target_parameters", "exclude_modules", "rank_pattern",
    "alpha_pattern", "modules_to_save", "layers_to_transform", "layers_pattern", "bias",
    "layer_replication", "trainable_token_indices", "init_lora_weights", "task_type", "use_dora",
)  # fmt: skip


@given(
    peft_type=st.sampled_from(("LORA", "LOHA", "ADALORA", "VERA", "NEW")),
    settings=st.dictionaries(st.sampled_from(_KEYS), _settings),
)
@examples(150)
def test_any_settings_of_an_adapter_are_compared_with_its_weights(
    peft_type: str, settings: dict[str, object]
) -> None:
    table = {
        name: {"dtype": "F16", "shape": shape, "data_offsets": [place, place + 32]}
        for name, shape, place in (
            (_NAMES[0], [4, 4], 0),
            (_NAMES[1], [4, 4], 32),
            ("base_model.model.mlp.experts.base_layer.lora_A.weight", [4, 4], 64),
            ("base_model.model.mlp.experts.base_layer.lora_B.weight", [4, 4], 96),
        )
    }
    text = json.dumps(table).encode()
    facts = read_header(len(text).to_bytes(8, "little") + text)
    content = json.dumps({"peft_type": peft_type, **settings}).encode()
    findings = find_disagreements(facts, read_config(content))
    said = " ".join((*findings.problems, *findings.remarks))
    assert not any(character in said for character in ESCAPES)
