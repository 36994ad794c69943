"""Reads and checks a directory that PEFT saved an adapter to, with the log of its training.

The log is `trainer_state.json` of Hugging Face's Trainer, read as metric points.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from lora_tui import formats
from lora_tui.adapters.agreement import config_mismatches
from lora_tui.adapters.config import MAX_CONFIG_BYTES, AdapterConfig, read_config
from lora_tui.adapters.header import LoraHeader, read_file_header
from lora_tui.clock import timestamp_text
from lora_tui.domain.weight_summary import WeightSummary
from lora_tui.errors import IntegrityError, NotFoundError, UsageError
from lora_tui.files import disk_error, translate_disk_errors
from lora_tui.harvest.passing_weights import measured_summary
from lora_tui.harvest.structure import DamagedFileError, Inspector
from lora_tui.json_values import integer, mapping, number, parse_json
from lora_tui.text import terminal_safe

WEIGHTS: Final = "adapter_model.safetensors"
CONFIG: Final = "adapter_config.json"
PUSHED: Final = (
    WEIGHTS, CONFIG,
    "training_args.bin", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja",
)  # fmt: skip
"""The files of an adapter; a checkpoint also has optimiser states, which are not pushed."""
LARGEST_FILE: Final = 5 << 30
"""Bytes; the bucket takes no larger one."""

_PIECE: Final = 1 << 20
TRAINER_STATE: Final = "trainer_state.json"

_LARGEST_LOG: Final = 256 << 20
"""Bytes."""
_MOST_POINTS: Final = 200_000
_MOST_LOSS: Final = 10_000.0
"""The column is numeric(10, 6): four digits before the point."""
_MOST_WHOLE: Final = 2**31 - 1
_LONGEST_SECONDS: Final = 10 * 365 * 86_400


@dataclass(frozen=True)
class LocalFile:
    """A file on this disk."""

    path: Path
    size: int
    """Bytes."""
    sha256: str

    @property
    def name(self) -> str:
        """Its name in the model."""
        return self.path.name


@dataclass(frozen=True)
class LocalAdapter:
    """An adapter on this disk that matches its configuration."""

    directory: Path
    files: tuple[LocalFile, ...]
    """The weights first."""
    left_out: tuple[str, ...]
    """Names of files that are no part of an adapter; safe for a terminal."""
    facts: LoraHeader
    config: AdapterConfig
    trained_at: datetime
    """When the weights were written."""
    weights: WeightSummary | None
    """What they say; None where they can't be measured."""

    @property
    def sha256(self) -> str:
        """Of the weights."""
        return self.files[0].sha256


def read_directory(directory: Path) -> LocalAdapter:
    """Read and check every file that would be pushed.

    Raises NotFoundError and UsageError where it is no adapter's directory, IntegrityError where
    the adapter is damaged or does not match its configuration, DiskError.
    """
    weights, config = _require_file(directory / WEIGHTS), _require_file(directory / CONFIG)
    with translating_read_errors():
        facts = read_file_header(weights)
        with config.open("rb") as file:
            settings = read_config(file.read(MAX_CONFIG_BYTES + 1))
        _require_agreement(facts, settings)
        names = sorted(path.name for path in directory.iterdir())
        files = tuple(
            _measure(require_inside(directory / name))
            for name in PUSHED
            if (directory / name).is_file()
        )
        trained_at = datetime.fromtimestamp(int(weights.stat().st_mtime), UTC)
        with weights.open("rb") as opened:
            summary = measured_summary(opened.fileno(), settings)
    left_out = tuple(terminal_safe(name, limit=80) for name in names if name not in PUSHED)
    return LocalAdapter(
        directory, files, left_out, facts, settings, trained_at, WeightSummary.from_json(summary)
    )


@contextmanager
def translating_read_errors() -> Iterator[None]:
    """Raise errors of the file system as DiskError."""
    with translate_disk_errors("The adapter can't be read"):
        yield


def training_settings(adapter: LocalAdapter) -> dict[str, Any]:
    """The hyperparameters in the adapter's configuration, by their names in the deployed API."""
    config = adapter.config
    found: dict[str, Any] = {
        "base_model": config.base_model or None,
        "lora_rank": config.rank,
        "lora_alpha": config.alpha,
        "target_modules": None if config.target_modules is None else [*config.target_modules],
    }
    return {key: value for key, value in found.items() if value is not None}


def require_inside(path: Path) -> Path:
    """The path. Raises UsageError where it is a link to a file outside its directory."""
    with translating_read_errors():
        left = not path.resolve().is_relative_to(path.parent.resolve())
    if left:
        raise UsageError(
            f"{path.name} is a link to a file outside the directory",
            details=terminal_safe(path.resolve(), limit=200),
            remedy="copy the file into the directory if it belongs to the adapter, or take the"
            " link out; nothing was sent",
        )
    return path


@dataclass(frozen=True)
class Step:
    """The logged values of one step; losses in nats per token."""

    step: int
    epoch: int | None
    training_loss: float
    validation_loss: float | None
    learning_rate: float | None
    gradient_norm: float | None


@dataclass(frozen=True)
class TrainingLog:
    """The log of a training run."""

    steps: tuple[Step, ...] = ()
    left_out: int = 0
    """Losses that no column can hold: NaN, infinite, ten thousand or more."""
    epochs: int | None = None
    """Completed."""
    total_epochs: int | None = None
    last_step: int | None = None
    total_steps: int | None = None
    batch_size: int | None = None
    seconds: float | None = None
    """The duration, if the training was completed."""

    def settings(self) -> dict[str, Any]:
        """The logged hyperparameters, by their names in the deployed API."""
        rates = [step.learning_rate for step in self.steps if step.learning_rate is not None]
        found = {
            "learning_rate": max(rates, default=None),
            "batch_size": self.batch_size,
            "num_epochs": self.total_epochs,
        }
        return {key: value for key, value in found.items() if value is not None}

    def timestamps(self, completed_at: datetime) -> list[str]:
        """Approximate times of the steps: spread evenly over the run."""
        span = self.seconds or float(len(self.steps))
        pause = max(timedelta(milliseconds=1), timedelta(seconds=span) / max(1, len(self.steps)))
        count = len(self.steps)
        return [
            timestamp_text(completed_at - (count - 1 - index) * pause) for index in range(count)
        ]


def read_trainer_state(path: Path) -> TrainingLog:
    """Read the log. Raises DiskError, and IntegrityError where the file is no Trainer's state."""
    try:
        with open(path, "rb", opener=_open_nonblocking) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _not_metrics_error(path)
            content = file.read(_LARGEST_LOG + 1)
    except OSError as error:
        raise disk_error(error, "The metrics can't be read", path) from error
    try:
        state = parse_json(content) if len(content) <= _LARGEST_LOG else None
    except (ValueError, RecursionError):
        state = None
    if not isinstance(state, Mapping) or not isinstance(state.get("log_history"), list):
        raise _not_metrics_error(path)
    return _log(state)


def _require_file(path: Path) -> Path:
    if not path.parent.is_dir():
        raise NotFoundError("There is no such directory", details=str(path.parent))
    if path.is_file():
        return require_inside(path)
    pickled = path.name == WEIGHTS and (path.parent / "adapter_model.bin").is_file()
    raise NotFoundError(
        f"The directory holds no {path.name}",
        details=str(path.parent),
        remedy="save it again with safe_serialization=True: weights in a .bin file are a pickle,"
        " which runs code when it is opened"
        if pickled
        else "name the directory that PEFT's save_pretrained wrote",
    )


def _require_agreement(facts: LoraHeader, config: AdapterConfig) -> None:
    problems = config_mismatches(facts, config)
    if problems:
        raise IntegrityError(
            "The adapter does not match its configuration",
            details="; ".join(problems),
            remedy="`lora-tui inspect` of the directory tells more; nothing was sent",
        )


def _measure(path: Path) -> LocalFile:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
        try:
            Inspector(path.name).check(file.fileno(), size)
        except DamagedFileError as error:
            raise IntegrityError(
                "A file of the adapter can't be used",
                details=error.details,
                remedy="save it again, or take it out of the directory; nothing was sent",
            ) from None
    if size > LARGEST_FILE:
        raise UsageError(
            f"{path.name} is larger than the bucket takes",
            details=f"{formats.exact_bytes(size)}, at most {formats.count(LARGEST_FILE)}",
            remedy="save the adapter alone, without the base model, or with fewer saved modules",
        )
    return LocalFile(path, size, digest.hexdigest())


def _open_nonblocking(path: str, flags: int) -> int:
    """Don't wait for a writer where the file is a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _not_metrics_error(path: Path) -> IntegrityError:
    return IntegrityError(
        "The metrics are not the state of a Trainer",
        details=str(path),
        remedy=f"name a {TRAINER_STATE}, or leave the metrics out",
    )


def _log(state: Mapping[str, Any]) -> TrainingLog:
    training: dict[int, Mapping[str, Any]] = {}
    validation: dict[int, float] = {}
    left_out, seconds = 0, None
    for item in state["log_history"]:
        entry = mapping(item)
        step = _count(entry.get("step"))
        if step is None:
            continue
        seconds = number(entry.get("train_runtime")) or seconds
        for key in ("loss", "eval_loss"):
            if key not in entry:
                continue
            loss = _loss(entry[key])
            if loss is None:
                left_out += 1
            elif key == "loss":
                training[step] = entry
            else:
                validation[step] = loss
    steps = _steps(training, validation)
    if len(steps) > _MOST_POINTS:
        raise IntegrityError(
            "The metrics have more points than any training",
            details=f"{formats.count(len(steps))} points",
        )
    return TrainingLog(
        steps=tuple(steps),
        left_out=left_out,
        epochs=_count(state.get("epoch")),
        total_epochs=_count(state.get("num_train_epochs")),
        last_step=_count(state.get("global_step")),
        total_steps=_count(state.get("max_steps")),
        batch_size=_count(state.get("train_batch_size")),
        seconds=seconds if seconds is not None and 0 < seconds < _LONGEST_SECONDS else None,
    )


def _steps(
    training: Mapping[int, Mapping[str, Any]], validation: Mapping[int, float]
) -> list[Step]:
    """The steps in order; an evaluation gets the last training loss before it."""
    steps: list[Step] = []
    entry: Mapping[str, Any] | None = None
    for step in sorted({*training, *validation}):
        entry = training.get(step, entry)
        loss = None if entry is None else _loss(entry["loss"])
        if entry is None or loss is None:
            continue  # a point without a training loss can't be stored
        steps.append(
            Step(
                step=step,
                epoch=_count(entry.get("epoch")),
                training_loss=loss,
                validation_loss=validation.get(step),
                learning_rate=number(entry.get("learning_rate")),
                gradient_norm=number(entry.get("grad_norm")),
            )
        )
    return steps


def _loss(value: object) -> float | None:
    loss = number(value)
    if loss is None or not math.isfinite(loss) or abs(loss) >= _MOST_LOSS - 1e-6:
        return None
    return round(loss, 6)


def _count(value: object) -> int | None:
    found = integer(value)
    return found if found is not None and 0 <= found <= _MOST_WHOLE else None
