"""Which seeded models are special, by index, and what makes them awkward."""

from __future__ import annotations

import json
from typing import Any, Final

from lora_tui.sandbox.seed.adapter_files import WEIGHTS
from lora_tui.sandbox.seed.names import OTHER

# Index among the models → name. They are old ones, so that the first screen looks ordinary.
HOSTILE_NAMES: Final[dict[int, str]] = {
    20: "\x1b[2J\x1b[31mAll models deleted\x1b[0m\x07 \x1b]0;owned\x07(escape sequences)",
    21: "Invoices \u202egpj.exe\u202c \u2066left\u2069 (bidi\u200b \u200fmarks)",
    22: "[red]Markup[/red] [bold]is[/] [link=file:///x]not[/link] [/open [@click=quit]quit[/]",
    23: "A very long name " + "that goes on and on " * 9 + "→ ends",
    24: "客户支持邮件 · 均衡预设 · 第三版 顧客サポート 고객 지원",
    25: "🦙 LoRA 🚀 adapter 👩‍💻 👍🏽 🇫🇷 — emoji",
    26: "../../../etc/passwd\r\nX-Injected: yes\ttab",
    27: "'; DROP TABLE model_artifacts; -- %s {name} ${HOME} `id`",
}


class Special:
    """Models that differ from the rest, by index."""

    DEPLOYED: Final = 1
    LARGE: Final = 3
    CHILD: Final = 5  # has the next older model as its parent
    MISSING_FILE: Final = 7
    ARCHIVED: Final = 9
    NO_START: Final = 12
    PATH_TRICKS: Final = 26
    NULL_JSON: Final = 30
    WRONG_JSON: Final = 31
    EMPTY_JSON: Final = 32
    TEXT_NUMBERS: Final = 33
    DELETED_FROM: Final = 12  # with as many models as this there is a deleted one besides


def make_odd(row: dict[str, Any], special: int) -> None:
    """Give a row the oddity that its index stands for."""
    row["name"] = HOSTILE_NAMES.get(special, row["name"])[:200]
    if special == Special.PATH_TRICKS:
        paths = json.loads(row["artifacts"])
        stem = paths[WEIGHTS].rpartition("/")[0]
        tricks = {
            "../../x": f"{stem}/adapter_config.json",
            "/etc/cron.d/owned": f"{stem}/tokenizer.json",
            "..\\..\\autoexec.bat": f"{stem}/tokenizer_config.json",
            ".bashrc": f"{stem}/special_tokens_map.json",
            "CON": f"{stem}/training_args.bin",
            "escape\x1b[31m.json": f"{stem}/../../{OTHER.id}/adapter_config.json",
        }
        row["artifacts"] = json.dumps({WEIGHTS: paths[WEIGHTS], **tricks})
    elif special == Special.NULL_JSON:
        for name in ("quality_metrics", "training_summary", "configuration", "artifacts"):
            row[name] = "null"
    elif special == Special.WRONG_JSON:
        row |= {
            "quality_metrics": '"excellent"',
            "training_summary": "[1, 2, 3]",
            "configuration": '{"hyperparameters": "rank=16", "gpu_config": ["H100"]}',
            "artifacts": '["adapter_model.safetensors"]',
        }
    elif special == Special.EMPTY_JSON:
        for name in ("quality_metrics", "training_summary", "configuration", "artifacts"):
            row[name] = "{}"
    elif special == Special.TEXT_NUMBERS:
        for name in ("quality_metrics", "training_summary"):
            values = json.loads(row[name])
            row[name] = json.dumps(
                {key: str(value) if _is_number(value) else value for key, value in values.items()}
            )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
