"""What is seeded: how much, when, and by which ids and chances."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lora_tui.sandbox.seed_rows import Rows

DAYS: Final = 120
"""Over which the models are spread."""
_NAMESPACE: Final = uuid.UUID("0d6c6b1e-5c55-5a0e-8d1c-6d3a4b7f9e20")


@dataclass(frozen=True)
class Volume:
    """How much to make for the demo account; nothing at all where both are 0."""

    models: int
    waiting_jobs: int


@dataclass(frozen=True)
class Seeding:
    """One filling of a sandbox."""

    rows: Rows
    seed: int
    now: datetime
    volume: Volume

    @property
    def many(self) -> bool:
        """Whether curves and files are left out for most models."""
        return self.volume.models > 1000

    def id(self, *key: object) -> str:
        """The same for the same seed and key."""
        return str(uuid.uuid5(_NAMESPACE, "/".join(map(str, (self.seed, *key)))))

    def random(self, *key: object) -> random.Random:
        """A generator of its own for each key."""
        return random.Random("/".join(map(str, (self.seed, *key))))
