"""The lease of one job: renewed while its harvester runs, expired soon after it died.

In a project without leases (our migration is not applied) every claim succeeds: two harvesters
then repeat work, and still make one artifact and one notification.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

from lora_tui.errors import LoraTuiError
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.retry import repeat
from lora_tui.harvest.schedule import repeating


class LeaseLostError(LoraTuiError):
    """The lease has expired: another harvester may work on the job."""


class Lease:
    """A claimed job. `kept` renews the claim in a thread."""

    def __init__(self, rest: Rest, job_id: str, holder: str, seconds: int, *, real: bool) -> None:
        self._rest = rest
        self._job_id = job_id
        self._holder = holder
        self._seconds = seconds
        self.exclusive = real
        """Whether no other harvester can work on the job."""
        self._valid_until = time.monotonic() + seconds
        self._lost = False

    @classmethod
    def claim(cls, rest: Rest, job_id: str, holder: str, seconds: int) -> Self | None:
        """None where another harvester has the job."""
        before = time.monotonic()
        answer = repeat(lambda: rest.claim_lease(job_id, holder, seconds))
        if answer is False:
            return None
        lease = cls(rest, job_id, holder, seconds, real=answer is not None)
        lease._valid_until = before + seconds
        return lease

    def check(self) -> None:
        """Call it before each write. Raises LeaseLostError."""
        if self.exclusive and (self._lost or time.monotonic() >= self._valid_until):
            raise LeaseLostError("The job went to another harvester")

    def is_still_ours(self) -> bool:
        """Ask the backend, since this machine may have been suspended. Raises UnreachableError."""
        renew = self._rest.renew_lease
        return repeat(lambda: renew(self._job_id, self._holder, self._seconds)) is True

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the lease as long as the block runs, then release it."""
        if not self.exclusive:
            yield
            return
        try:
            with repeating(self._renew, self._seconds / 3, name=f"lease {self._job_id}"):
                yield
        finally:
            with suppress(LoraTuiError):  # it expires
                self._rest.release_lease(self._job_id, self._holder)

    def _renew(self) -> bool:
        before = time.monotonic()
        try:
            if self._rest.renew_lease(self._job_id, self._holder, self._seconds) is False:
                self._lost = True
                return False
        except LoraTuiError:
            return True
        self._valid_until = before + self._seconds
        return True
