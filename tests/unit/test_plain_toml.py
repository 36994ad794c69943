"""The plain reading of a configuration is tomllib's, or none."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lora_tui.plain_toml import read_plain

SIGNS = (
    *"[].='#,-_ab10é \t\n\r\0\x7f\"\\",
    '"""',
    " = ",
    "\n[",
    "]\n",
    "profiles",
    "true",
    "false",
)
LINES = ('a = "x"', "b = 'y' # z", "[a]", "[a.b]", "[a.b.a]", "a = 12", "b = {}", "# c", "b = 'y'")
PIECES = st.sampled_from([*SIGNS, *(f"{line}\n" for line in LINES)])


def flat(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Tables by dotted names; those that hold tables alone are left out."""
    found: dict[str, dict[str, Any]] = {}

    def walk(table: dict[str, Any], name: str) -> None:
        for key, value in table.items():
            if isinstance(value, dict):
                inner = f"{name}.{key}" if name else key
                found[inner] = {k: v for k, v in value.items() if not isinstance(v, dict)}
                walk(value, inner)

    walk(document, "")
    return {name: table for name, table in found.items() if table}


@given(st.lists(PIECES, max_size=30).map("".join))
def test_what_is_read_plainly_is_what_tomllib_reads(text: str) -> None:
    plain = read_plain(text)
    if plain is not None:
        assert {name: table for name, table in plain.items() if table} == flat(tomllib.loads(text))


def test_an_ordinary_configuration_is_read_plainly() -> None:
    text = """# mine
[ui]
theme = "night"
sync_interval = 60
[profiles.default]
url = 'https://p.example'
anon_key = "sb_publishable_x"
background_harvest = true

[profiles.work]
"""
    assert read_plain(text) == {
        "ui": {"theme": "night", "sync_interval": 60},
        "profiles.default": {
            "url": "https://p.example",
            "anon_key": "sb_publishable_x",
            "background_harvest": True,
        },
        "profiles.work": {},
    }
