"""Loads a model into a server, or unloads it: what the key does in the list and on its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from lora_tui.cache.served import get_served
from lora_tui.errors import LoraTuiError
from lora_tui.screens.confirm import ConfirmScreen
from lora_tui.screens.list_form import ChoiceForm
from lora_tui.text import terminal_safe
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import fit
from lora_tui.widgets.forms import Dialog

if TYPE_CHECKING:
    from lora_tui.engine.writers import CommandToConfirm, LoadedText, ServerLine
    from lora_tui.tui.base_screen import CacheScreen

_IN_TURN: Final = "servers"
_NAME: Final = 16
_KIND: Final = 10
_NOTE: Final = 46
_MOST_LINES: Final = 10
_SHORT: Final = 60
_LONG_SECONDS: Final = 20.0
"""How long a toast stays that somebody has to read."""


class LoadMenu(ChoiceForm):
    """Answers the name of the chosen server, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.close", "dismiss(None)", "Close", show=False),
        bound("model.load", "dismiss(None)", "Close", show=False),
        bound("list.open", "choose", "Choose", show=False),
        bound("list.down", "cursor(1)", "Next", show=False),
        bound("list.up", "cursor(-1)", "Previous", show=False),
        bound("list.page_down", "page(1)", "Next page", show=False),
        bound("list.page_up", "page(-1)", "Previous page", show=False),
    ]

    def __init__(
        self, model_name: str, servers: Sequence[ServerLine], loaded: Mapping[str, str]
    ) -> None:
        """`loaded`: server → the model's name there."""
        super().__init__()
        self._model_name, self._servers, self._loaded = model_name, servers, loaded
        self.shown = [server.name for server in servers]

    def compose(self) -> ComposeResult:
        """One line per server, with its state and whether it has the model."""
        ascii_only = self.app.has_class("-ascii")
        width = _NAME + _KIND + _NOTE + 2
        yield Dialog(
            Static(
                fit(self._model_name, width, ascii_only=ascii_only).rstrip(),
                markup=False,
                classes="dialog-heading",
            ),
            OptionList(*(Option(self._line(one)) for one in self._servers), markup=False),
            title="Load into a server",
            keys=[("list.open", "loads, or unloads"), ("dialog.close", "closes")],
        )

    def on_mount(self) -> None:
        """Start at the first server."""
        listing = self.query_one(OptionList)
        listing.styles.height = min(_MOST_LINES, len(self.shown))
        listing.highlighted = 0
        listing.focus()

    def _line(self, server: ServerLine) -> Content:
        ascii_only = self.app.has_class("-ascii")
        has_it = server.name in self._loaded
        mark = ("*" if ascii_only else "●") if has_it else " "
        note = f"has it: {self._loaded[server.name]}" if has_it else server.note
        parts = ((server.name, _NAME), (server.kind, _KIND), (note, _NOTE))
        shown = " ".join(fit(text, width, ascii_only=ascii_only) for text, width in parts)
        return Content(f"{mark} {shown}")


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
        menu = LoadMenu(terminal_safe(name, limit=_SHORT), servers, loaded)
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
