"""Proves the effect of models on servers for the screens; a proof can be cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

from lora_tui.cache.metadata import Owner
from lora_tui.cache.models import require_model
from lora_tui.config.table import Profile
from lora_tui.deployments.record import owner_key
from lora_tui.engine.protocol import CACHE, PROVING
from lora_tui.errors import CancelledError, NotConfiguredError, offline_error
from lora_tui.reports.proof_text import proof_sentence

if TYPE_CHECKING:
    from lora_tui.adapters.inspection import Adapter


class Proofs:
    """The requests for proofs. Safe to call from any thread."""

    def __init__(
        self,
        profile: Callable[[], Profile],
        owner: Owner | None,
        cache: Callable[[], AbstractContextManager[Connection]],
        tell: Callable[[str, Any], None],
        *,
        read_header: Callable[[str], Adapter] | None,
    ) -> None:
        """`profile` has the servers as they are now; `cache` opens the cache.

        `tell` sends an event: PROVING with how far a proof is.

        `read_header` reads the header of a model's weights in the bucket; None offline.
        """
        self._profile, self._owner = profile, owner
        self._cache, self._tell, self._read_header = cache, tell, read_header
        self._lock = threading.Lock()
        """Guards the two fields below."""
        self._running: dict[tuple[str, str], threading.Event] = {}
        """Model and server → set to cancel its proof."""
        self._stopped = False

    @property
    def calls(self) -> tuple[Callable[..., Any], ...]:
        """The requests; see `Requests`."""
        return (self.prove_model, self.cancel_proof)

    def stop(self) -> None:
        """Cancel all proofs, and begin none any more."""
        with self._lock:
            self._stopped = True
            running = list(self._running.values())
        for cancelled in running:
            cancelled.set()

    def prove_model(self, *, model_id: str, server: str) -> str:
        """Prove it and keep the result, which is returned as a sentence; see `Writers`."""
        from lora_tui.serving.prove import Asking, prove_on  # late: most sessions prove nothing

        if self._owner is None:
            raise NotConfiguredError("Nobody has signed in yet")
        profile = self._profile()
        read_header = self._read_header
        if read_header is None:
            raise offline_error()
        cancelled = self._begin(model_id, server)

        def check_stop() -> None:
            if cancelled.is_set():
                raise CancelledError("The proof was cancelled; nothing is kept of it")

        def progress(done: int, of: int) -> None:
            self._tell(PROVING, {"model_id": model_id, "server": server, "done": done, "of": of})

        try:
            with self._cache() as db:
                proof = prove_on(
                    profile,
                    server,
                    require_model(db, model_id),
                    owner=owner_key(profile, self._owner.user_id),
                    db=db,
                    asking=Asking(
                        read_header=lambda: read_header(model_id),
                        progress=progress,
                        check_stop=check_stop,
                    ),
                )
        finally:
            with self._lock:
                self._running.pop((model_id, server), None)
            progress(0, 0)
        self._tell(CACHE, None)
        return proof_sentence(proof)

    def cancel_proof(self, *, model_id: str) -> None:
        """Cancel the proofs of a model before their next request; nothing is kept of them."""
        with self._lock:
            running = [event for (one, _), event in self._running.items() if one == model_id]
        for cancelled in running:
            cancelled.set()

    def _begin(self, model_id: str, server: str) -> threading.Event:
        cancelled = threading.Event()
        with self._lock:
            if self._stopped or (model_id, server) in self._running:
                raise CancelledError("It is being proved already")
            self._running[model_id, server] = cancelled
        return cancelled
