"""Computes what the weights of downloaded models say, and caches it (idle_work.py)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection
from typing import Final

from lora_tui.adapters.config import CONFIG
from lora_tui.adapters.inspection import find_weights
from lora_tui.adapters.weight_facts import WeightFacts, facts_document, summarise
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.downloaded import downloaded_models, downloaded_to
from lora_tui.cache.weights import delete_weights, put_weights, weight_stamps
from lora_tui.errors import CancelledError, LoraTuiError

_log: Final = logging.getLogger("lora_tui.engine")


def analyse_downloads(db: Connection, check_stop: Callable[[], None]) -> None:
    """Compute and cache the figures of all downloaded models that have none, or old ones.

    `check_stop` is called between tensors, and may raise. Raises CacheError.
    """
    known = weight_stamps(db)
    models = downloaded_models(db)
    for model_id in known.keys() - models.keys():
        with transaction(db, Topic.WEIGHTS):
            delete_weights(db, model_id)
    for model_id in models:
        check_stop()
        directory = downloaded_to(db, model_id)
        stamp = None if directory is None else _stamp(directory)
        if directory is None or stamp is None or known.get(model_id) == stamp:
            continue
        facts = _facts(directory, check_stop)
        with transaction(db, Topic.WEIGHTS):
            if facts is None:
                put_weights(db, model_id, stamp, None, None)
            else:
                put_weights(db, model_id, stamp, summarise(facts), facts_document(facts))


def _stamp(directory: Path) -> str | None:
    """The state of the directory's weights and configuration; None where they can't be read."""
    try:
        weights, _ = find_weights(directory)
        states = [file.stat() for file in (weights, weights.with_name(CONFIG)) if file.is_file()]
    except (LoraTuiError, OSError):
        return None
    return " ".join([str(weights), *(f"{state.st_size}:{state.st_mtime_ns}" for state in states)])


def _facts(directory: Path, check_stop: Callable[[], None]) -> WeightFacts | None:
    from lora_tui.adapters.weights import measure_file  # late: loads numpy

    try:
        return measure_file(*find_weights(directory), check_stop=check_stop)
    except CancelledError:
        raise
    except (LoraTuiError, MemoryError, ArithmeticError, ValueError) as error:
        _log.warning("weights can't be analysed: %s", type(error).__name__)
        return None
