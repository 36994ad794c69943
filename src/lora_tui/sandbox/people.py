"""The two make-believe accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Person:
    """An account that can sign in."""

    id: str
    email: str
    password: str


DEMO: Final = Person(
    "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71", "demo@lora-tui.example", "make-believe-demo"
)
OTHER: Final = Person(
    "a3d90f64-1b58-5e2c-8f77-64c2be1908d5", "other@lora-tui.example", "make-believe-other"
)
