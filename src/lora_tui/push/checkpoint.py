"""Finds out which step of a training the weights in a directory are of.

With `load_best_model_at_end` Trainer puts the weights of its best checkpoint back at the end of a
run. Its state names that checkpoint, but not whether the option was set.
"""

from __future__ import annotations

import hashlib
import lzma
import pickletools
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lora_tui import formats
from lora_tui.adapters.header import WEIGHTS
from lora_tui.push.directory import TRAINING_ARGS, LocalAdapter
from lora_tui.push.trainer_state import CHECKPOINT_NAME, TrainingLog

_LARGEST_ARGS: Final = 1 << 20
"""Bytes."""
_PIECE: Final = 1 << 20
_OPTION: Final = "load_best_model_at_end"


@dataclass(frozen=True)
class WeightsStep:
    """The step that weights are of, where it is not the last one of the run."""

    step: int
    last_step: int
    is_certain: bool
    reason: str
    """For people: how it is known."""

    def summary(self) -> dict[str, Any]:
        """For `training_summary`."""
        return {"weights_of": {"step": self.step, "certain": self.is_certain}}

    @property
    def note(self) -> str:
        """A sentence for the user."""
        place = f"step {formats.count(self.step)} of {formats.count(self.last_step)}"
        probably = "" if self.is_certain else "probably "
        return f"The weights are {probably}those of {place}: {self.reason}."


def find_weights_step(adapter: LocalAdapter, log: TrainingLog) -> WeightsStep | None:
    """The step of the weights; None where it is the last one of the log, or unknown."""
    last, best = log.last_step, log.best_step
    if last is None:
        return None
    named = CHECKPOINT_NAME.fullmatch(adapter.directory.resolve().name)
    if named is not None:
        step = int(named[1])
        reason = "the directory is named after it"
        return WeightsStep(step, last, True, reason) if step < last else None
    if best is None or best >= last:
        return None
    if _equals_checkpoint(adapter, best):
        return WeightsStep(best, last, True, f"they equal those of checkpoint-{best}")
    if _equals_checkpoint(adapter, last):
        return None
    loads_best = _option(adapter.directory / TRAINING_ARGS)
    if loads_best is False:
        return None
    if loads_best:
        return WeightsStep(best, last, True, f"{_OPTION} is set in {TRAINING_ARGS}")
    reason = "Trainer recorded it as the best checkpoint"
    return WeightsStep(best, last, False, reason)


def _equals_checkpoint(adapter: LocalAdapter, step: int) -> bool:
    """Whether the checkpoint of a step, in the directory or beside it, has the same weights."""
    weights = adapter.files[0]
    for directory in (adapter.directory, adapter.directory.resolve().parent):
        other = directory / f"checkpoint-{step}" / WEIGHTS
        try:
            if other.is_file() and other.stat().st_size == weights.size:
                return _sha256(other) == weights.sha256
        except OSError:
            continue  # it is only a hint
    return False


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _option(path: Path) -> bool | None:
    """`load_best_model_at_end` in the arguments of a Trainer; None where it can't be read.

    The file is a pickle, which runs code when it is loaded. It is not loaded: its instructions are
    read, and the one after the option's name is True or False.
    """
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_ARGS:
            return None
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(name) as file:
                content = file.read(_LARGEST_ARGS)
        is_next = False
        for instruction, argument, _ in pickletools.genops(content):
            if argument == _OPTION:
                is_next = True
            elif is_next and instruction.name not in _MEMO:
                return _BOOLEANS.get(instruction.name)
    except (OSError, ValueError, LookupError, zipfile.BadZipFile, StopIteration, EOFError):
        return None
    except (NotImplementedError, RuntimeError):  # compressed or encrypted in a way of its own
        return None
    except (zlib.error, lzma.LZMAError):  # damaged; neither is a ValueError or an OSError
        return None
    return None


_MEMO: Final = ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT")
_BOOLEANS: Final[Mapping[str, bool]] = {"NEWTRUE": True, "NEWFALSE": False}
