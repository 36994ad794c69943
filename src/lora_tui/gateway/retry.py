"""The one policy for repeated attempts: how many, how long between them, and after which failures.

Waits double by `clock.Backoff`, as those of all other schedules do.
"""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Callable
from typing import Final, TypeVar

import httpx
from httpx_retries import Retry

from lora_tui.clock import Backoff
from lora_tui.errors import UnreachableError
from lora_tui.gateway.headers import retry_seconds

T = TypeVar("T")

TOTAL_SECONDS: Final = 30.0
"""No attempt starts after this time, and all waits together take no longer."""
DOWNLOAD_ATTEMPTS: Final = 10
"""Failed attempts of a download in a row without a byte; they outlast an outage of a minute."""
LONGEST_PAUSE: Final = 600.0
"""Seconds; a server that asks for a longer pause is asked ATTEMPTS_BEFORE_PAUSE times."""
ATTEMPTS_BEFORE_PAUSE: Final = 3


class RetryPolicy(Retry):
    """The library's policy with a deadline; certificates that are not trusted are not retried."""

    deadline: float = math.inf
    """As `time.monotonic()` counts; set for each request."""

    def until(self, deadline: float) -> RetryPolicy:
        """The same policy with this deadline."""
        policy = self.copy_with()
        assert isinstance(policy, RetryPolicy)
        policy.deadline = deadline
        return policy

    def increment(self) -> RetryPolicy:
        policy = super().increment()
        assert isinstance(policy, RetryPolicy)
        policy.deadline = self.deadline
        return policy

    def backoff_strategy(self) -> float:
        backoff = Backoff(2 * self.backoff_factor, self.max_backoff_wait, 1 - self.backoff_jitter)
        return backoff.wait(self.attempts_made)

    def wait(self, failure: httpx.Response | Exception) -> RetryPolicy:
        """Wait after a failed attempt; the policy for the next one."""
        policy = self.increment()
        policy.sleep(failure)
        return policy

    def parse_retry_after(self, retry_after: str) -> float:
        seconds = retry_seconds(retry_after)
        if seconds is None:
            raise ValueError("neither seconds nor a date")
        return seconds

    def is_exhausted(self) -> bool:
        return super().is_exhausted() or time.monotonic() >= self.deadline

    def is_retryable_exception(self, exception: Exception) -> bool:
        return super().is_retryable_exception(exception) and not any(
            isinstance(cause, ssl.SSLCertVerificationError) for cause in causes_of(exception)
        )


RETRY: Final = RetryPolicy(
    total=4,
    allowed_methods=("GET", "HEAD", "PUT", "DELETE", "OPTIONS"),
    status_forcelist=(429, 502, 503, 504),
    backoff_factor=0.25,
    backoff_jitter=1.0,
    max_backoff_wait=20.0,
    total_timeout=TOTAL_SECONDS,
)
"""Waits of up to 0.5, 1, 2 and 4 s, each drawn at random from zero up, or what Retry-After asks
for (at most 20 s). Some other responses are retried because of what their body says: see
`_attempts_allowed` in http.py."""

SOON: Final = RetryPolicy(
    total=1,
    allowed_methods=RETRY.allowed_methods,
    status_forcelist=RETRY.status_forcelist,
    backoff_factor=0.25,
    backoff_jitter=1.0,
    max_backoff_wait=2.0,
    total_timeout=TOTAL_SECONDS,
)
"""One more attempt, within 2 s: for a server near by, while the user waits."""
ONCE: Final = RetryPolicy(total=0)
"""No second attempt."""


def repeat(step: Callable[[], T]) -> T:
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
            attempts = attempts.wait(error)


def download_wait(attempt: int, retry_after: str | None) -> float | None:
    """Seconds to wait before repetition number `attempt` of a download; None for no repetition.

    `retry_after` is the header of that name of the last answer.
    """
    policy = RETRY.copy_with(total=DOWNLOAD_ATTEMPTS, attempts_made=attempt, total_timeout=None)
    if policy.is_exhausted():
        return None
    asked = retry_seconds(retry_after)
    if asked is not None and asked > LONGEST_PAUSE and attempt >= ATTEMPTS_BEFORE_PAUSE:
        return None
    return policy.backoff_strategy() if asked is None else min(asked, policy.max_backoff_wait)


def causes_of(error: BaseException) -> list[BaseException]:
    """The error and those that caused it, the nearest first."""
    causes: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in causes:
        causes.append(current)
        current = current.__cause__ or current.__context__
    return causes
