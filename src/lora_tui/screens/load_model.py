"""Loads a model into a server, or unloads it: what the key does in the list and on its page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.binding import BindingType

from lora_tui.cache.served import get_served
from lora_tui.errors import LoraTuiError
from lora_tui.screens.confirm import ConfirmScreen
from lora_tui.screens.server_menu import ServerMenu
from lora_tui.text import terminal_safe
from lora_tui.widgets.bindings import bound

if TYPE_CHECKING:
    from lora_tui.engine.writers import CommandToConfirm, LoadedText, ServerLine
    from lora_tui.tui.base_screen import CacheScreen

_IN_TURN: Final = "servers"
_SHORT: Final = 60
_LONG_SECONDS: Final = 20.0
"""How long a toast stays that somebody has to read."""


class LoadMenu(ServerMenu):
    """Answers the server to load a model into, or to unload it from; or None."""

    WIDTHS = (16, 10, 46)
    MOST_LINES = 10
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("model.load", "dismiss(None)", "Close", show=False)
    ]


def choose_server(screen: CacheScreen, model_id: str, name: str) -> None:
    """Open the menu of servers; load the model into the chosen one, or unload it there."""
    lora = screen.lora
    loaded = {
        one.server: terminal_safe(one.name, limit=_SHORT)
        for one in get_served(screen.db, model_id).loaded
    }

    def listed(servers: Sequence[ServerLine]) -> None:
        if not servers:
            lora.notify(
                "`lora-tui servers add NAME URL` adds one: vLLM or llama-server",
                title="No server is known",
                severity="warning",
            )
            return
        menu = LoadMenu(
            "Load into a server",
            {
                one.name: (
                    one.kind,
                    f"has it: {loaded[one.name]}" if one.name in loaded else one.note,
                )
                for one in servers
            },
            current=servers[0].name,
            marked=loaded,
            heading=terminal_safe(name, limit=_SHORT),
            keys=[("list.open", "loads, or unloads"), ("dialog.close", "closes")],
        )
        lora.push_screen(menu, screen.while_alive(chosen))

    def chosen(server: str | None) -> None:
        if server is None:
            return
        if server in loaded:
            _ask_to_unload(screen, server, model_id, name)
        else:
            load_onto(screen, server, model_id, name)

    screen.start(lora.writers.list_servers, listed, name="servers", exclusive="servers")


def load_onto(
    screen: CacheScreen, server: str, model_id: str, name: str, *, confirmed: bool = False
) -> None:
    """Let the engine deliver, load and prove it, in its turn; a toast says what came of it.

    `confirmed`: the user has seen the command that runs on the server's machine.
    """
    from lora_tui.engine.writers import CommandToConfirm

    lora, shown = screen.lora, terminal_safe(name, limit=_SHORT)
    if not confirmed:
        lora.notify(f"{shown}: delivering it, loading it and proving its effect",
                    title=f"Loading into {server}")  # fmt: skip

    def ended(result: LoadedText | CommandToConfirm) -> None:
        lora.poll_cache()
        if isinstance(result, CommandToConfirm):
            _confirm(screen, server, model_id, name, result.command)
        elif result.commands:
            lora.copy(result.commands, what="The commands that start llama-server with it")
            lora.notify(
                "llama-server takes adapters at its start only. Run the copied commands on its"
                " machine, then load it here again to prove its effect.",
                title=f"Not loaded into {server} yet",
                severity="warning",
                timeout=_LONG_SECONDS,
            )
        else:
            lora.notify(
                "\n".join(result.lines),
                title=f"Loaded into {server}"
                if result.clear
                else f"Loaded into {server}, but its effect is in doubt",
                severity="information" if result.clear else "warning",
                timeout=_LONG_SECONDS,
            )

    def failed(error: LoraTuiError) -> None:
        lora.poll_cache()
        lora.show_error(error, title=f"Not loaded into {server}")

    call = partial(lora.writers.load_model, model_id, server, confirmed=confirmed)
    lora.start(call, ended, failed=failed, name="load a model", in_turn=_IN_TURN)


def _confirm(screen: CacheScreen, server: str, model_id: str, name: str, command: str) -> None:
    """Show the command that runs on the server's machine, and ask."""

    def answered(wanted: bool | None) -> None:
        if wanted:
            load_onto(screen, server, model_id, name, confirmed=True)

    question = (
        f"This runs a script on the machine of {server}, with links that expire:\n\n"
        f"{terminal_safe(command, limit=400)}\n\n"
        f"`lora-tui load {model_id[:8]} --to {server} --script` prints it. Run it?"
    )
    ask = ConfirmScreen("Fetch the files there", question)
    screen.lora.push_screen(ask, screen.while_alive(answered))


def _ask_to_unload(screen: CacheScreen, server: str, model_id: str, name: str) -> None:
    lora, shown = screen.lora, terminal_safe(name, limit=_SHORT)

    def unloaded(_: Any) -> None:
        lora.poll_cache()
        lora.notify(f"{shown}: its files may be changed now", title=f"Unloaded from {server}")

    def failed(error: LoraTuiError) -> None:
        lora.poll_cache()
        lora.show_error(error, title=f"Not unloaded from {server}")

    def answered(wanted: bool | None) -> None:
        if wanted:
            call = partial(lora.writers.unload_model, model_id, server)
            lora.start(call, unloaded, failed=failed, name="unload a model", in_turn=_IN_TURN)

    question = f"Unload {shown} from {server}? Requests for it fail from then on."
    lora.push_screen(ConfirmScreen("Unload the model", question), screen.while_alive(answered))
