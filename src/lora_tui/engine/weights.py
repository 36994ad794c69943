"""Computes what the weights of downloaded models say, in the background, and caches it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
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

_LOWEST_PRIORITY: Final = 19
_log: Final = logging.getLogger("lora_tui.engine")


class WeightAnalysis:
    """One thread at a time, of the lowest priority, for all downloaded models without figures."""

    def __init__(self, cache: Callable[[], AbstractContextManager[Connection]]) -> None:
        """`cache` opens the cache."""
        self._cache = cache
        self._stop = threading.Event()
        self._lock = threading.Lock()
        """Guards the fields below."""
        self._thread: threading.Thread | None = None
        self._again = False

    def start(self) -> None:
        """Look for models to analyse; returns at once. Once more later, if it is at work."""
        with self._lock:
            self._again = True
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="weights", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Stop within a tensor; what is missing is computed after the next start."""
        self._stop.set()

    def wait(self) -> None:
        """Wait until it has nothing more to do."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        with suppress(OSError, AttributeError):  # threads have a priority of their own on Linux
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
        while True:
            with self._lock:
                if not self._again or self._stop.is_set():
                    self._thread = None
                    return
                self._again = False
            try:
                with self._cache() as db:
                    analyse_downloads(db, self._check_stop)
            except CancelledError:
                continue
            except LoraTuiError as error:  # tried again after the next download, or check
                _log.warning("weights were not analysed: %s", error)
            except Exception as error:
                _log.warning("weights were not analysed: %s", type(error).__name__)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise CancelledError("The application is ending")


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
