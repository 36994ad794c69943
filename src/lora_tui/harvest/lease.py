"""The lease of one job: renewed while its harvester runs, expired soon after it died.

In a project without leases (our migration is not applied) every claim succeeds: two harvesters
then repeat work, and still make one artifact and one notification.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from lora_tui.errors import LoraTuiError
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.retry import repeat


class LeaseLostError(LoraTuiError):
    """The lease has expired: another harvester may work on the job."""


class Lease:
    """A claimed job; a context manager that renews the claim in a thread."""

    def __init__(self, rest: Rest, job_id: str, holder: str, seconds: int, *, real: bool) -> None:
        self._rest = rest
        self._job_id = job_id
        self._holder = holder
        self._seconds = seconds
        self.exclusive = real
        """Whether no other harvester can work on the job."""
        self._valid_until = time.monotonic() + seconds
        self._over = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._keep, name=f"lease {job_id}", daemon=True)

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

    def __enter__(self) -> Self:
        if self.exclusive:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.exclusive:
            return
        self._over.set()
        self._thread.join()
        try:
            self._rest.release_lease(self._job_id, self._holder)
        except LoraTuiError:
            return  # it expires

    def _keep(self) -> None:
        while not self._over.wait(self._seconds / 3):
            before = time.monotonic()
            try:
                if self._rest.renew_lease(self._job_id, self._holder, self._seconds) is False:
                    self._lost = True
                    return
            except LoraTuiError:
                continue
            self._valid_until = before + self._seconds
