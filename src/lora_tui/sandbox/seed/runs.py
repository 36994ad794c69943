"""Plans made-up training runs: dataset, settings, times, cost and loss curve."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from lora_tui.sandbox.seed.adapter_files import BASE_MODELS, FILE_TYPES, adapter_recipe
from lora_tui.sandbox.seed.loss_curves import Point, make_curve
from lora_tui.sandbox.seed.names import DatasetText, Person

_PRESETS: Final = ("balanced", "conservative", "aggressive", "custom")
_GPUS: Final = (
    ("NVIDIA A100 80GB PCIe", 80, 1.89),
    ("NVIDIA H100 80GB HBM3", 80, 3.29),
    ("NVIDIA RTX A6000", 48, 0.79),
    ("NVIDIA L40S", 48, 1.03),
)
# Preset → (rank, alpha, dropout, learning rate, epochs, batch size)
_SETTINGS: Final = {
    "conservative": (8, 16, 0.1, 1e-5, 2, 4),
    "balanced": (16, 32, 0.05, 1e-4, 3, 4),
    "aggressive": (32, 64, 0.05, 3e-4, 4, 8),
    "custom": (64, 128, 0.0, 2e-4, 3, 16),
}
# The families in the order in which the models take them; None is a run that logged nothing.
FAMILY_ORDER: Final = (
    "excellent",
    "good",
    "sparse_validation",
    "overfit",
    "fair",
    "excellent",
    "diverged",
    "good",
    "spiky",
    None,
    "plateaued",
    "excellent",
    "poor",
    "good",
    "not_a_number",
    "fair",
    "overfit",
)


@dataclass(frozen=True)
class Run:
    """One training run."""

    key: str
    owner: Person
    dataset_id: str
    text: DatasetText
    preset: str
    family: str | None
    points: int
    steps: int
    base_model: str
    rank: int
    alpha: int
    dropout: float
    learning_rate: float
    epochs: int
    batch_size: int
    gpu: tuple[str, int, float]
    page_dialect: bool
    started: datetime
    completed: datetime
    random_seed: int

    @property
    def hours(self) -> float:
        return (self.completed - self.started).total_seconds() / 3600

    @property
    def cost(self) -> float:
        return round(self.hours * self.gpu[2], 2)

    def hyperparameters(self) -> dict[str, Any]:
        """The JSON object, in one of the two dialects."""
        rank, epochs = ("rank", "epochs") if self.page_dialect else ("lora_rank", "num_epochs")
        return {
            "base_model": self.base_model,
            rank: self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "learning_rate": self.learning_rate,
            "batch_size": self.batch_size,
            epochs: self.epochs,
            "warmup_steps": round(self.steps * 0.05),
            "weight_decay": 0.01,
        }

    def gpu_config(self) -> dict[str, Any]:
        """The JSON object, in one of the two dialects."""
        kind, memory, price = self.gpu
        if self.page_dialect:
            return {"type": kind, "count": 1}
        return {
            "gpu_type": kind,
            "num_gpus": 1,
            "gpu_memory_gb": memory,
            "cost_per_gpu_hour": price,
        }

    def curve(self, count: int, until: float = 1.0) -> list[Point]:
        """`count` points up to the fraction `until` of the run; none if it logged nothing."""
        if self.family is None:
            return []
        return make_curve(
            self.family,
            count,
            epochs=self.epochs,
            peak_learning_rate=self.learning_rate,
            randomness=random.Random(self.random_seed),
            until=until,
        )

    def recipes(self, *, layers: int) -> dict[str, dict[str, Any]]:
        """The recipe of each file of the adapter, by file name."""
        return {
            file: adapter_recipe(
                file,
                base_model=self.base_model,
                rank=self.rank,
                alpha=self.alpha,
                dropout=self.dropout,
                layers=layers,
                seed=self.random_seed,
            )
            for file in FILE_TYPES
        }


def plan_run(
    owner: Person,
    datasets: Sequence[tuple[str, DatasetText]],
    index: int,
    kind: str,
    completed: datetime,
    family: str | None,
    chance: random.Random,
) -> Run:
    """The run of this index; `kind` separates the runs of models, waiting and unfinished jobs."""
    dataset_id, text = datasets[(index * 3 + index // 8) % len(datasets)]
    preset = _PRESETS[(index + index // 5) % len(_PRESETS)]
    rank, alpha, dropout, rate, epochs, batch = _SETTINGS[preset]
    if preset == "custom":
        rank = chance.choice((4, 12, 24, 64))
        alpha, epochs = 2 * rank, chance.randint(1, 6)
    points = chance.choice((200, 240, 320, 400, 500, 640, 800, 1000, 1200))
    if kind == "model" and index in {2, 11}:
        points = (3000, 2400)[index == 11]
    hours = points / 230 * chance.uniform(0.8, 1.3)
    return Run(
        key=f"{kind}/{owner.email}/{index}",
        owner=owner,
        dataset_id=dataset_id,
        text=text,
        preset=preset,
        family=family,
        points=points,
        steps=points * chance.choice((1, 5, 10)),
        base_model=BASE_MODELS[(index // 2 + index) % len(BASE_MODELS)],
        rank=rank,
        alpha=alpha,
        dropout=dropout,
        learning_rate=rate,
        epochs=epochs,
        batch_size=batch,
        gpu=_GPUS[(index + index // 3) % len(_GPUS)],
        page_dialect=index % 3 == 1,
        started=completed - timedelta(hours=hours),
        completed=completed,
        random_seed=chance.randrange(2**31),
    )


def layers_of(rank: int, large: bool) -> int:
    """The number of layers of an adapter, so that its file has 0.2 to 6 MB (`large`: 25 MB)."""
    if large:
        return max(1, 960 // rank)
    return max(1, min(6, 96 // rank))
