"""The lease of a job: renewed while its harvester runs, expired soon after it died.

A harvester that claims several jobs renews them in one request: `Claims`. In a project without
leases (our migration is not applied) every claim succeeds: two harvesters then repeat work, and
still make one artifact and one notification.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from lora_tui.errors import LoraTuiError
from lora_tui.gateway.harvest_queue import HarvestQueue
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


class Claims:
    """The jobs that a harvester has claimed together; safe to use from several threads."""

    def __init__(self, remote: HarvestQueue, holder: str, seconds: int) -> None:
        self._remote = remote
        self._holder = holder
        self._seconds = seconds
        self._lock = threading.Lock()
        self._valid_until: dict[str, float] = {}

    def __contains__(self, job_id: object) -> bool:
        with self._lock:
            return job_id in self._valid_until

    def add(self, job_ids: Iterable[str], since: float) -> None:
        """Hold these jobs; `since` is when the claim was sent, in monotonic seconds."""
        with self._lock:
            self._valid_until |= dict.fromkeys(job_ids, since + self._seconds)

    def drop(self, job_id: str) -> bool:
        """Stop renewing a job; False where it is not held."""
        with self._lock:
            return self._valid_until.pop(job_id, None) is not None

    def check(self, job_id: str) -> None:
        """Raises LeaseLostError where another harvester may have the job."""
        with self._lock:
            if time.monotonic() >= self._valid_until.get(job_id, 0.0):
                raise LeaseLostError("The job went to another harvester")

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew all claims while the block runs; then release those that are left."""
        try:
            with repeating(self._renew, self._seconds / 3, name="harvest leases"):
                yield
        finally:
            with self._lock:
                left = list(self._valid_until)
                self._valid_until.clear()
            if left:
                with suppress(LoraTuiError):  # they expire
                    self._remote.release(self._holder, left)

    def _renew(self) -> bool:
        with self._lock:
            held = list(self._valid_until)
        if not held:
            return True
        before = time.monotonic()
        try:
            renewed = self._remote.renew(self._holder, held, self._seconds)
        except LoraTuiError:
            return True
        with self._lock:
            for job_id in held:
                if job_id in self._valid_until:
                    is_ours = renewed is not None and job_id in renewed
                    self._valid_until[job_id] = before + self._seconds if is_ours else 0.0
        return True


class ClaimedLease(Lease):
    """The lease of one of the `Claims`, which renew it; whoever records the outcome releases it."""

    def __init__(self, claims: Claims, rest: Rest, job_id: str, holder: str, seconds: int) -> None:
        super().__init__(rest, job_id, holder, seconds, real=True)
        self._claims = claims

    def check(self) -> None:
        self._claims.check(self._job_id)

    @contextmanager
    def kept(self) -> Iterator[None]:
        yield
