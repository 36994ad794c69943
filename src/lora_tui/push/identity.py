"""Which push is which: ids from weights and configuration, and what two configurations differ in.

Pure functions. The same weights with another alpha are another adapter, so both are hashed. PEFT
writes sets in any order and people reformat files, so the configuration is hashed in one form.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lora_tui.errors import IntegrityError
from lora_tui.harvest.artifact_rows import NAMESPACE
from lora_tui.json_values import Row, parse_json
from lora_tui.text import without_secrets

_SETS: Final = ("target_modules", "exclude_modules")
"""Lists that LoraConfig turns into sets: their order is that of a hash table."""
_ORDERED: Final = ("rank_pattern", "alpha_pattern")
"""Objects whose first matching key counts, so their order is a part of them."""
_POINT_COLUMNS: Final = ("step", "epoch", "training_loss", "validation_loss")
_MOST_CHANGES: Final = 8
_VERSION: Final = re.compile(r"(\d{1,6})\..*", re.DOTALL)
_NUMBERED: Final = re.compile(r"(.*) v(\d{1,6})", re.DOTALL)


def canonical_config(content: bytes) -> str:
    """An `adapter_config.json` in the one form in which equal configurations are equal texts.

    Raises IntegrityError where it is not a JSON object.
    """
    try:
        table = parse_json(content)
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise IntegrityError("adapter_config.json is not a JSON object")
    for name in _SETS:
        if isinstance(table.get(name), list):
            table[name] = sorted(table[name], key=_text)
    for name in _ORDERED:
        if isinstance(table.get(name), dict):
            table[name] = [[key, value] for key, value in table[name].items()]
    return _text(table)


def job_id_of(user_id: str, weights: str, config: str, number: int = 1) -> str:
    """The id of the job that a push makes.

    `weights` is their SHA-256, `config` the text of `canonical_config`; `number` tells versions
    apart whose weights and configuration are equal.
    """
    digest = hashlib.sha256(f"{weights}\n{config}".encode()).hexdigest()
    more = "" if number == 1 else f" {number}"
    return str(uuid.uuid5(NAMESPACE, f"push {user_id} {digest}{more}"))


def job_id_of_weights(user_id: str, weights: str) -> str:
    """The id of the job that earlier versions of this program made: of the weights alone."""
    return str(uuid.uuid5(NAMESPACE, f"push {user_id} {weights}"))


def config_changes(stored: bytes, local: bytes) -> list[str]:
    """How two configurations differ, a phrase for each key: `lora_alpha 64 → 8`; a few of them.

    Raises IntegrityError where one of them is not a JSON object.
    """
    before, after = (json.loads(canonical_config(content)) for content in (stored, local))
    changes = []
    for key in sorted({*before, *after}):
        old, new = (_shown(table, key) for table in (before, after))
        if before.get(key, _text) != after.get(key, _text):
            changes.append(f"{without_secrets(key, limit=60)} {old} → {new}")
    more = len(changes) - _MOST_CHANGES
    return changes if more <= 0 else [*changes[:_MOST_CHANGES], f"{more} more settings"]


def metrics_digest(points: Sequence[Row], summary: Mapping[str, Any]) -> str:
    """SHA-256 of the values of metric points, without ids and times, and of the log's summary."""
    left_out = {"id", "job_id", "timestamp"}
    values = [
        {key: value for key, value in point.items() if key not in left_out} for point in points
    ]
    return hashlib.sha256(_text([values, summary]).encode()).hexdigest()


def same_points(stored: Sequence[Row], local: Sequence[Row]) -> bool:
    """Whether stored points have the steps and losses of local ones."""
    return [_point(row) for row in stored] == [_point(row) for row in local]


def major(version: object) -> int:
    """The first number of a version such as `1.4.2`; 1 where it is none."""
    match = _VERSION.fullmatch(str(version))
    return int(match[1]) if match else 1


def next_name(name: str, longest: int) -> str:
    """`Support v2` after `Support`, `Support v3` after that; at most `longest` characters."""
    match = _NUMBERED.fullmatch(name)
    ending = f" v{int(match[2]) + 1}" if match else " v2"
    return (match[1] if match else name)[: longest - len(ending)] + ending


def _text(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """The value with 16 for 16.0: both mean the same to PEFT."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _shown(table: Mapping[str, Any], key: str) -> str:
    if key not in table:
        return "(not set)"
    return without_secrets(json.dumps(table[key], ensure_ascii=False), limit=60)


def _point(row: Row) -> tuple[object, ...]:
    """The values that are compared, in the precision of their columns."""
    values = []
    for column in _POINT_COLUMNS:
        value = row.get(column)
        figure = float(value) if isinstance(value, int | float | str) else None
        values.append(None if figure is None else repr(round(figure, 6)))
    return tuple(values)
