"""The gateway's retry policy for steps that it does not repeat itself, because only we know how."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lora_tui.errors import UnreachableError
from lora_tui.gateway.http import RETRY

T = TypeVar("T")


def repeated(step: Callable[[], T]) -> T:
    """The result of a step that may be taken twice without harm.

    Raises UnreachableError when the attempts are used up.
    """
    attempts = RETRY
    while True:
        try:
            return step()
        except UnreachableError as error:
            if attempts.is_exhausted():
                raise
            attempts = attempts.increment()
            attempts.sleep(error)
