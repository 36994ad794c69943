"""Plans made-up training runs: dataset, settings, times, cost and loss curve.

Loss curves are noisy, believable, and the same for the same random generator. Each family is a
typical course of fine-tuning. Losses are in nats per token.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from lora_tui.sandbox.seed.adapter_files import BASE_MODELS, FILE_TYPES, adapter_recipe
from lora_tui.sandbox.seed.seeding import DatasetText, Person

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
# Family → (loss at the start, floor that it approaches, how many times it decays over the run)
_SHAPES: Final = {
    "excellent": (2.45, 0.82, 5.0),
    "good": (2.30, 1.32, 4.5),
    "fair": (2.05, 1.58, 4.0),
    "poor": (1.92, 1.73, 3.0),
    "overfit": (2.20, 0.42, 3.6),
    "diverged": (2.35, 1.20, 5.0),
    "plateaued": (2.10, 1.44, 30.0),
    "spiky": (2.40, 0.98, 4.5),
    "sparse_validation": (2.38, 0.95, 5.0),
    "not_a_number": (2.28, 1.15, 5.0),
}
_WARM_UP: Final = 0.05
_NOT_A_NUMBER_FROM: Final = 0.97
"""Share of the run. From here on the loss is NaN, or 0 where Trainer's filter is on."""


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
            nan_as_zero=self.random_seed % 2 == 0,
        )

    def recipes(self, *, layers: int, untrained: bool = False) -> dict[str, dict[str, Any]]:
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
                untrained=untrained,
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


@dataclass(frozen=True)
class Point:
    """One logged point; `progress` runs from 0 to 1 over the whole run."""

    progress: float
    training_loss: float
    validation_loss: float | None
    learning_rate: float
    gradient_norm: float
    """Before clipping; NaN where the loss is not a number."""


def make_curve(
    family: str,
    count: int,
    *,
    epochs: int,
    peak_learning_rate: float,
    randomness: random.Random,
    until: float = 1.0,
    nan_as_zero: bool = False,
) -> list[Point]:
    """`count` points of a run of this family, from its start to the fraction `until`.

    `nan_as_zero` says that a training loss that is not a number is logged as 0, as Trainer does.
    """
    start, floor, decays = _SHAPES[family]
    start *= randomness.uniform(0.95, 1.05)
    floor *= randomness.uniform(0.95, 1.05)
    gap = randomness.uniform(0.03, 0.12)
    every = max(2, count // 24) if family == "sparse_validation" else max(1, count // 120)
    # noise of small batches, correlated with the previous point
    noise, roughness = 0.0, (0.035 if family != "spiky" else 0.05)
    gauss, chance = randomness.gauss, randomness.random
    points = []
    for index in range(count):
        progress = until * (index / (count - 1) if count > 1 else 1.0)
        level = _level(family, progress, start, floor, decays, epochs)
        noise = 0.55 * noise + gauss(0.0, roughness)
        training = level * (1.0 + noise * (0.45 if index in (0, count - 1) else 1.0))
        if family == "spiky" and chance() < 0.03:
            training += randomness.uniform(0.6, 2.4)
        last = index == count - 1
        validation = None
        if index % every == 0 or (last and family in {"overfit", "good", "fair", "poor"}):
            validation = max(
                0.05, _validation(family, progress, level, start, gap) * (1 + gauss(0.0, 0.008))
            )
        if last and family == "sparse_validation":
            validation = None
        gradient = round(abs(gauss(0.9, 0.25)) + _divergence(family, progress), 4)
        training = max(0.02, round(training, 6))
        if family == "not_a_number" and progress > _NOT_A_NUMBER_FROM:
            training, validation, gradient = 0.0 if nan_as_zero else math.nan, None, math.nan
        points.append(
            Point(
                progress,
                training,
                None if validation is None else round(validation, 6),
                _learning_rate(progress, peak_learning_rate),
                gradient,
            )
        )
    return points


def point_of(
    family: str,
    progress: float,
    *,
    epochs: int,
    peak_learning_rate: float,
    scale: float,
    noise_of: tuple[float, float, float],
    validated: bool,
) -> Point:
    """One point of a run of this family, made alone.

    `scale` multiplies the losses. `noise_of`: normal variables for the training loss, the
    validation loss and the gradient norm. `validated`: whether it has a validation loss.
    """
    start, floor, decays = _SHAPES[family]
    level = _level(family, progress, start, floor, decays, epochs)
    training = level * (1.0 + (0.05 if family == "spiky" else 0.035) * noise_of[0])
    if family == "spiky" and noise_of[0] > 1.9:
        training += noise_of[0] - 1.2
    validation = None
    if validated:
        validation = _validation(family, progress, level, start, 0.07) * (1 + 0.008 * noise_of[1])
        validation = round(max(0.05, scale * validation), 6)
    return Point(
        progress,
        max(0.02, round(scale * training, 6)),
        validation,
        _learning_rate(progress, peak_learning_rate),
        round(abs(0.9 + 0.25 * noise_of[2]) + _divergence(family, progress), 4),
    )


def typical_loss(family: str, progress: float, epochs: int) -> float:
    """The training loss that a run of this family has there, without its noise."""
    return _level(family, progress, *_SHAPES[family], epochs)


def price_per_hour(gpu_config: Mapping[str, Any]) -> float:
    """US dollars: as the row says, else the price of the GPU that it names."""
    said = gpu_config.get("cost_per_gpu_hour")
    if isinstance(said, int | float):
        return float(said)
    kind = gpu_config.get("gpu_type") or gpu_config.get("type")
    return next((price for name, _, price in _GPUS if name == kind), _GPUS[0][2])


def _level(
    family: str, progress: float, start: float, floor: float, decays: float, epochs: int
) -> float:
    """The training loss without its noise."""
    level = floor + (start - floor) * math.exp(-decays * max(0.0, progress - _WARM_UP / 2))
    if progress < _WARM_UP:
        # warm-up: the loss rises a little before it falls
        level += 0.16 * math.sin(math.pi * progress / _WARM_UP)
    # a small step down at each new epoch, whose examples are known
    level -= 0.02 * (start - floor) * math.floor(progress * epochs * 0.9999)
    if family == "diverged" and progress > 0.55:
        level += 5.5 * (1 - math.exp(-9.0 * (progress - 0.55)))
    if family == "not_a_number" and progress > 0.8:
        level += 14.0 * (progress - 0.8)
    return level


def _validation(family: str, progress: float, level: float, start: float, gap: float) -> float:
    if family == "overfit":
        # best near 30 % of the run, then rising while the training loss falls
        falling = start * (0.58 + 0.42 * math.exp(-9.0 * progress))
        return falling + 1.15 * math.pow(max(0.0, progress - 0.3), 1.25)
    return level + gap * (0.4 + progress)


def _learning_rate(progress: float, peak: float) -> float:
    if progress < _WARM_UP:
        return float(f"{peak * (progress / _WARM_UP):.6g}")
    rest = (progress - _WARM_UP) / (1 - _WARM_UP)
    return float(f"{peak * 0.5 * (1 + math.cos(math.pi * rest)):.6g}")


def _divergence(family: str, progress: float) -> float:
    if family in {"diverged", "not_a_number"} and progress > 0.55:
        return 30.0 * (progress - 0.55)
    return 0.0
