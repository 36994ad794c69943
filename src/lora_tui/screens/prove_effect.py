"""Proves the effect of a model on its servers; the page of the model calls `prove_effect`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from lora_tui.errors import CancelledError, LoraTuiError
from lora_tui.text import terminal_safe
from lora_tui.widgets.bindings import key_of

if TYPE_CHECKING:
    from lora_tui.cache.served import Served
    from lora_tui.tui.base_screen import CacheScreen
    from lora_tui.tui.cache_app import CacheApp

_IN_TURN: Final = "proofs"
_TIMEOUT: Final = 12
"""Seconds; the sentences are long."""


def prove_effect(screen: CacheScreen, model_id: str, served: Served) -> None:
    """Ask every server that has the model, one after the other; a toast tells what was found.

    Without a server that has it, those that were asked before are asked again.
    """
    servers = {one.server for one in served.loaded} or {one.server for one in served.proofs}
    for server in sorted(servers):
        _prove_on(screen.lora, model_id, server)


def proofs_that_go_on(app: CacheApp, model_id: str) -> dict[str, str]:
    """Server → how far the proof of the model is there, and the key that cancels it."""
    key = key_of(app, "model.cancel")
    return {
        server: f"asking, {done} of {of} answers; {key} cancels it"
        for (model, server), (done, of) in app.writers.proving.items()
        if model == model_id
    }


def _prove_on(app: CacheApp, model_id: str, server: str) -> None:
    title = f"On {terminal_safe(server, limit=40)}"

    def found(sentence: str) -> None:
        app.poll_cache()
        app.notify(f"{sentence[0].upper()}{sentence[1:]}", title=title, timeout=_TIMEOUT)

    def failed(error: LoraTuiError) -> None:
        if isinstance(error, CancelledError):
            app.notify(str(error), title=title)
        else:
            app.show_error(error, title="Not proved")

    call = partial(app.writers.prove_model, model_id, server)
    app.start(call, found, failed=failed, name="proof", in_turn=_IN_TURN)
