"""Servers that load adapters: whether each answers, its base model, and what it has loaded.

Shows what they said when they were last asked, with its age; they are asked when the screen opens,
and again on `r`. `enter` opens a model that a server has loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content

from lora_tui import clock, formats
from lora_tui.cache.changes import Topic
from lora_tui.cache.models import names_of
from lora_tui.cache.served import KnownServer, Named, all_loaded, known_server, server_states
from lora_tui.clock import parse_timestamp
from lora_tui.config.servers import Server
from lora_tui.domain.servers import ServerKind, ServerState
from lora_tui.errors import LoraTuiError
from lora_tui.screens.list_screen import LIST_KEYS, FullList, ListScreen
from lora_tui.text import terminal_safe
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.cells import normalize_width, wrap
from lora_tui.widgets.screen_bars import TitleBar
from lora_tui.widgets.states import StatePanel

_INDENT: Final = 4


class ServerRow(NamedTuple):
    """A server, or one adapter of it."""

    server: str
    adapter: str = ""
    """Its name on the server; empty for the server itself."""
    model_id: str = ""
    """The model that it is, where that is in the cache."""


class ServerList(FullList, inherit_bindings=False):
    """The list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "select", "Open", tooltip="Open the model that is loaded"),
        *LIST_KEYS,
    ]


class ServersScreen(ListScreen[ServerRow]):
    """Shows the servers of the profile."""

    ABOUT = "Servers that answer prompts with your adapters, and what each of them has loaded."
    CSS_PATH = "list_screen.tcss"
    HEADING = "Servers"
    TOPICS = frozenset({Topic.SERVERS, Topic.MODELS})
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound("app.servers", "back", "Back", show=False),
        bound("app.sync", "ask_again", "Ask again", tooltip="Ask all servers what they have now"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._is_asking = False
        self._failure = ""
        """Why they could not be asked."""

    def compose_list(self) -> ComposeResult:
        """The list."""
        yield ServerList(id="servers", markup=False)

    def on_mount(self) -> None:
        """Ask the servers. Textual calls `on_mount` of every class."""
        self.action_ask_again()

    def action_ask_again(self) -> None:
        """Ask all servers; what they say comes by way of the cache."""
        if self._is_asking:
            return

        def ended(sentences: list[str]) -> None:
            self._is_asking = False
            for sentence in sentences:
                self.lora.notify(terminal_safe(sentence, limit=300), title="Loaded no longer")
            self.lora.poll_cache()
            self.refresh_list()

        def failed(error: LoraTuiError) -> None:
            self._is_asking = False
            self._failure = f"{error}. {self.lora.remedy_of(error)}".rstrip(". ")
            self.refresh_list()

        self._is_asking, self._failure = True, ""
        self.refresh_list()
        self.start(
            self.lora.writers.refresh_servers, ended, failed=failed, name="servers",
            exclusive="servers",
        )  # fmt: skip

    def identity(self, row: ServerRow) -> tuple[str, str]:
        """The names of server and adapter."""
        return row.server, row.adapter

    def refresh_list(self) -> None:
        """Read what is known of the servers."""
        loaded = all_loaded(self.db)
        known = [
            known_server(_as_server(state), state, loaded)
            for state in server_states(self.db).values()
        ]
        names = names_of(self.db, [one.model_id for one in loaded])
        self.show_rows([line for one in known for line in self._lines_of(one, names.keys())])
        self.query_one(TitleBar).detail = self._detail(known)

    def say_empty(self, panel: StatePanel) -> None:
        """Say how to add one."""
        if self._is_asking:
            panel.show_message("Asking the servers…", "")
            return
        panel.show_message(
            "No servers" if not self._failure else "The servers could not be asked",
            self._failure or "vLLM and llama-server load adapters and answer prompts with them",
            f"Add one: lora-tui servers add NAME URL\nThen press {key_of(self.app, 'app.sync')}",
        )

    def open_row(self, row: ServerRow) -> None:
        """Open the model."""
        if row.model_id:
            self.open_model(row.model_id)

    @property
    def can_select(self) -> bool:
        """Whether a model is under the cursor."""
        return self.chosen is not None and bool(self.chosen.model_id)

    def _detail(self, known: list[KnownServer]) -> str:
        if self._is_asking:
            return "asking…"
        if self._failure:
            return self._failure
        answering = sum(1 for one in known if one.state and one.state.answers)
        return f"{answering} of {len(known)} answer" if known else ""

    def _lines_of(
        self, known: KnownServer, in_cache: object
    ) -> Iterator[tuple[ServerRow, Content]]:
        assert known.state is not None
        yield ServerRow(known.server.name), self._server_line(known, known.state)
        for named in known.adapters:
            loaded = named.loaded
            there = loaded is not None and loaded.model_id in in_cache  # type: ignore[operator]
            model_id = loaded.model_id if loaded is not None and there else ""
            yield (
                ServerRow(known.server.name, named.adapter.name, model_id),
                self._adapter_line(named),
            )

    def _server_line(self, known: KnownServer, state: ServerState) -> Content:
        asked = parse_timestamp(state.asked_at)
        age = formats.age(asked, clock.now()) if asked else ""
        sign = ("+" if state.answers else "x") if self.ascii_only else (
            "●" if state.answers else "✗"
        )  # fmt: skip
        said = "answers" if state.answers else "does not answer"
        facts = [known.kind or "kind not known", state.version, state.base, known.server.url]
        about = "  ".join(self._shown(fact) for fact in facts if fact)
        count = len(known.adapters)
        loaded = f"{formats.counted(count, 'adapter')} loaded" if count else "nothing loaded"
        lines = [about, loaded if state.answers else f"{loaded}, as far as lora-tui knows"]
        if state.error:
            lines[1:1] = wrap(self._shown(state.error), self.line_width - _INDENT)[:3]
        return Content.assemble(
            (f"{sign} ", "$success" if state.answers else "$error"),
            (known.server.name, "bold"),
            (f"  {said}  {age}", "$secondary"),
            ("".join(f"\n  {line}" for line in lines), "$secondary"),
        )

    def _adapter_line(self, named: Named) -> Content:
        loaded = named.loaded
        indent = " " * _INDENT
        if loaded is None:
            return Content.assemble(
                (f"{indent}{self._shown(named.adapter.name)}", ""),
                ("  not by lora-tui", "$secondary"),
            )
        since = parse_timestamp(loaded.loaded_at)
        return Content.assemble(
            (f"{indent}{self._shown(loaded.model_name)}", "$primary"),
            (f"  as {self._shown(named.adapter.name)}", "$secondary"),
            (f"  since {formats.date_time(since)}" if since else "", "$secondary"),
        )

    def _shown(self, text: str) -> str:
        return normalize_width(terminal_safe(text, limit=200), ascii_only=self.ascii_only)


def _as_server(state: ServerState) -> Server:
    """The server of an answer, as far as the screen needs it."""
    known = {str(kind): kind for kind in ServerKind}
    return Server(state.server, state.url, known.get(state.kind))
