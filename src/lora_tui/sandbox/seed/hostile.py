"""Data that breaks a careless program: hostile names, file paths that escape, odd JSON.

A model has them by its index (0 is the newest), from 20 on: the first screen looks normal.
"""

from __future__ import annotations

import json
from typing import Any, Final

from lora_tui.sandbox.seed.adapter_files import WEIGHTS
from lora_tui.sandbox.seed.names import OTHER


def make_hostile(row: dict[str, Any], index: int) -> None:
    """Change the row of the model with this index, if it is one of the hostile ones."""
    row["name"] = _NAMES.get(index, row["name"])[:200]
    if index == _PATHS:
        paths = json.loads(row["artifacts"])
        stem = paths[WEIGHTS].rpartition("/")[0]
        escaping = {
            "../../x": f"{stem}/adapter_config.json",
            "/etc/cron.d/owned": f"{stem}/tokenizer.json",
            "..\\..\\autoexec.bat": f"{stem}/tokenizer_config.json",
            ".bashrc": f"{stem}/special_tokens_map.json",
            "CON": f"{stem}/training_args.bin",
            "escape\x1b[31m.json": f"{stem}/../../{OTHER.id}/adapter_config.json",
        }
        row["artifacts"] = json.dumps({WEIGHTS: paths[WEIGHTS], **escaping})
    elif index == _NULL_JSON:
        for name in ("quality_metrics", "training_summary", "configuration", "artifacts"):
            row[name] = "null"
    elif index == _WRONG_JSON:
        row |= {
            "quality_metrics": '"excellent"',
            "training_summary": "[1, 2, 3]",
            "configuration": '{"hyperparameters": "rank=16", "gpu_config": ["H100"]}',
            "artifacts": '["adapter_model.safetensors"]',
        }
    elif index == _EMPTY_JSON:
        for name in ("quality_metrics", "training_summary", "configuration", "artifacts"):
            row[name] = "{}"
    elif index == _TEXT_NUMBERS:
        for name in ("quality_metrics", "training_summary"):
            values = json.loads(row[name])
            row[name] = json.dumps(
                {key: str(value) if _is_number(value) else value for key, value in values.items()}
            )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_NAMES: Final[dict[int, str]] = {
    20: "\x1b[2J\x1b[31mAll models deleted\x1b[0m\x07 \x1b]0;owned\x07(escape sequences)",
    21: "Invoices \u202egpj.exe\u202c \u2066left\u2069 (bidi\u200b \u200fmarks)",
    22: "[red]Markup[/red] [bold]is[/] [link=file:///x]not[/link] [/open [@click=quit]quit[/]",
    23: "A very long name " + "that goes on and on " * 9 + "→ ends",
    24: "客户支持邮件 · 均衡预设 · 第三版 顧客サポート 고객 지원",
    25: "🦙 LoRA 🚀 adapter 👩‍💻 👍🏽 🇫🇷 — emoji",
    26: "../../../etc/passwd\r\nX-Injected: yes\ttab",
    27: "'; DROP TABLE model_artifacts; -- %s {name} ${HOME} `id`",
}
_PATHS: Final = 26
_NULL_JSON: Final = 30
_WRONG_JSON: Final = 31
_EMPTY_JSON: Final = 32
_TEXT_NUMBERS: Final = 33
