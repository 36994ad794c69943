"""Measures the weights of a job while its files pass, for `configuration.weights` of the model."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from lora_tui.adapters.config import CONFIG, MAX_CONFIG_BYTES, AdapterConfig, read_config
from lora_tui.adapters.header import WEIGHTS
from lora_tui.adapters.weight_facts import summarise
from lora_tui.domain.weight_summary import WeightSummary
from lora_tui.errors import LoraTuiError

EFFORT: Final = 5e11
"""For `measure_descriptor`: about a minute, also for a hostile file."""
_CHECK_SECONDS: Final = 1.0
_ONE_AT_A_TIME: Final = threading.Lock()
"""Held while weights are measured: it takes memory, and all of a processor."""
_log: Final = logging.getLogger("lora_tui.harvest")
_MOST_KEPT: Final = 64 << 10
"""Bytes of a configuration that a receipt keeps."""


class PassingWeights:
    """The configuration and the weights of one adapter, as they pass, in any order.

    Nothing that goes wrong here stops a harvest or a push: the model then has no summary.
    """

    def __init__(self, names: Iterable[str], check_stop: Callable[[], None] = lambda: None) -> None:
        """`names`: all files of the adapter; `check_stop` is called between tensors."""
        given = list(names)
        weights = [name for name in given if name.lower().endswith(".safetensors")]
        self._weights = WEIGHTS if WEIGHTS in weights else "".join(weights[:1])
        self._is_single = len(weights) == 1 or WEIGHTS in weights
        self._check_stop = check_stop
        self._config: AdapterConfig | None = None
        self._config_passed = threading.Event()
        if CONFIG not in given:
            self._config_passed.set()
        self.summary: dict[str, Any] | None = None
        """What the model's row gets; None until the weights have passed."""

    def take(self, name: str, descriptor: int | None, recorded: object) -> Any:
        """Read a file that has passed; returns what its receipt should record, as JSON.

        `descriptor`: the whole file; None where it was not read again since an earlier attempt,
        which has `recorded` this.
        """
        if name == CONFIG:
            try:
                return self._take_config(descriptor, recorded)
            finally:
                self._config_passed.set()
        if name == self._weights and self._is_single:
            return self._take_weights(descriptor, recorded)
        return None

    def _take_config(self, descriptor: int | None, recorded: object) -> str | None:
        text = recorded if isinstance(recorded, str) else ""
        try:
            content = os.pread(descriptor, MAX_CONFIG_BYTES, 0) if descriptor else text.encode()
            self._config = read_config(content) if content else None
            return content.decode() if len(content) <= _MOST_KEPT else None
        except (LoraTuiError, OSError, UnicodeError):
            return None

    def _take_weights(self, descriptor: int | None, recorded: object) -> dict[str, Any] | None:
        if descriptor is None:
            known = WeightSummary.from_json(recorded)
            self.summary = None if known is None else known.as_json()
        else:
            self._wait(self._config_passed.wait)
            self._wait(lambda seconds: _ONE_AT_A_TIME.acquire(timeout=seconds))
            try:
                self.summary = measured_summary(descriptor, self._config, self._check_stop)
            finally:
                _ONE_AT_A_TIME.release()
        return self.summary

    def _wait(self, wait: Callable[[float], bool]) -> None:
        while not wait(_CHECK_SECONDS):
            self._check_stop()


def load_measuring() -> None:
    """Load numpy, so that it need not be loaded when the weights have arrived."""
    from lora_tui.adapters import weights

    del weights


def measured_summary(
    descriptor: int, config: AdapterConfig | None, check_stop: Callable[[], None] = lambda: None
) -> dict[str, Any] | None:
    """The summary of an open safetensors file; None where it can't be measured."""
    from lora_tui.adapters.weights import measure_descriptor  # late: loads numpy

    try:
        facts = measure_descriptor(descriptor, config, effort=EFFORT, check_stop=check_stop)
    except (LoraTuiError, OSError, MemoryError, ArithmeticError, ValueError) as error:
        _log.warning("no summary of weights: %s", type(error).__name__)
        return None
    return summarise(facts).as_json()
