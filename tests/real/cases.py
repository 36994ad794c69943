"""The cases of `make real` as the tests see them: what was made, and how to ask PEFT again."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

_ROOT: Final = os.environ.get("LORA_TUI_REAL_CASES", "")
_PYTHON: Final = os.environ.get("LORA_TUI_REAL_PYTHON", "")
_CHECKOUT: Final = Path(__file__).resolve().parents[2]
_LONGEST: Final = 600
"""Seconds for one program."""


def is_asked_for() -> bool:
    """Whether `make real` runs, which sets both variables."""
    return bool(_ROOT and _PYTHON)


def root() -> Path:
    """The directory of `make_cases`."""
    return Path(_ROOT).resolve()


@cache
def truth() -> dict[str, Any]:
    """What PEFT said when the cases were made."""
    found: dict[str, Any] = json.loads((root() / "truth.json").read_text())
    return found


def adapters(
    *, lora: bool | None = None, loads: bool | None = None, answers: bool | None = None
) -> list[str]:
    """The names of the adapters, of all or of one kind."""
    return [
        name
        for name, facts in truth()["adapters"].items()
        if lora in (None, facts["peft_type"] == "LORA")
        and loads in (None, facts["loads"])
        and answers in (None, facts.get("answers", False))
    ]


def facts(name: str) -> dict[str, Any]:
    """What PEFT says of one adapter."""
    found: dict[str, Any] = truth()["adapters"][name]
    return found


def directory(name: str) -> Path:
    """The files of one adapter."""
    return root() / "adapters" / name


def ask_peft(program: str, *paths: Path) -> Any:
    """The JSON that a program of `peft_side` prints, run by the Python that has PEFT."""
    ran = subprocess.run(
        [_PYTHON, "-m", f"tests.real.peft_side.{program}", *map(str, paths)],
        cwd=_CHECKOUT,
        capture_output=True,
        text=True,
        timeout=_LONGEST,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


FORGETFUL: Final = frozenset({"adaption_prompt", "lily", "pvera", "shadow", "road"})
"""Methods whose answers differ in PEFT itself each time the same files are loaded."""

NOT_PLAIN: Final = frozenset({"kasa", "monteclora", "block_diagonal", "qalora"})
"""Variants of LoRA whose change is not scaling · B · A: no figures are better than wrong ones."""
