"""The base classes of all screens: background work, the cache that they show, small forms.

A key dismisses a screen at once, while the work that it started goes on: a read, a timer, a dialog
above it. Every result is handed to a screen by one of the methods here, which check first that its
widgets still exist.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final, ParamSpec, TypeVar, cast

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual._path import CSSPathType
from textual._styles_cache import StylesCache
from textual.actions import parse
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.geometry import Size
from textual.renderables.background_screen import BackgroundScreen
from textual.screen import ModalScreen, Screen

from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_existing, translate_database_errors
from lora_tui.cache.models import names_of
from lora_tui.config.keys import keys_of
from lora_tui.tui.background import StartsCalls
from lora_tui.widgets.bindings import is_typed, key_of
from lora_tui.widgets.states import TooSmall

if TYPE_CHECKING:
    from lora_tui.errors import LoraTuiError
    from lora_tui.tui.cache_app import CacheApp

Answer = TypeVar("Answer")
Found = TypeVar("Found")
Arguments = ParamSpec("Arguments")

FORM_STYLES: Final = Path(__file__).parents[1] / "widgets" / "forms.tcss"
"""The styles of dialogs and forms, which the first frame does not parse."""
_DIM: Final = Style(dim=True)
_FOR_LIVE_SCREENS: Final = (
    events.Mount,
    events.Resize,
    events.InputEvent,
    events.Paste,
    events.ScreenResume,
)


class BaseScreen(Screen[Answer], StartsCalls):
    """Begin work with `start`, wrap every other callback in `while_alive`, end with `answer`.

    On a terminal that is too small it says so, and the application passes it no keys.
    """

    LEAST_WIDTH: ClassVar[int] = 40
    LEAST_HEIGHT: ClassVar[int] = 10

    _answer: tuple[Answer] | None = None
    """The answer to give when no other screen is above this one."""

    @property
    def is_alive(self) -> bool:
        """Whether its widgets exist: it is mounted and not being removed."""
        return self.is_running and self.is_attached and not (self._closing or self._pruning)

    @property
    def is_covered(self) -> bool:
        """Whether a full screen is above this one, so that none of it can be seen."""
        stack = self.app.screen_stack
        above = stack[stack.index(self) + 1 :] if self in stack else []
        return any(not isinstance(screen, ModalScreen) for screen in above)

    @property
    def is_current(self) -> bool:
        """Whether Textual draws it: not while it is covered.

        Textual takes the screen below the top one for visible in any case, and for each change of
        it draws the one on top anew, all of it.
        """
        return super().is_current and not self.is_covered

    @property
    def is_too_small(self) -> bool:
        """Whether the terminal is smaller than this screen needs."""
        size = self.app.size
        return size.width < self.LEAST_WIDTH or size.height < self.LEAST_HEIGHT

    def while_alive(self, callback: Callable[Arguments, None]) -> Callable[Arguments, None]:
        """`callback`, which does nothing once the screen is being removed."""

        def call(*arguments: Arguments.args, **options: Arguments.kwargs) -> None:
            if self.is_alive:
                callback(*arguments, **options)

        return call

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        """Close this screen, with its answer; once, and only while it is the one on top.

        Of two quick keys the second reaches a screen that the first has closed. Textual would then
        close the screen below.
        """
        if self.is_active:
            return super().dismiss(result)
        return AwaitComplete.nothing()  # type: ignore[no-untyped-call,no-any-return]

    def answer(self, answer: Answer) -> None:
        """Close with this answer; where another screen is above, as soon as that is closed.

        To dismiss it at once would close the one above, which has the keys.
        """
        if self.is_active:
            self.dismiss(answer)
        elif self.is_alive:
            self._answer = (answer,)

    async def on_event(self, event: events.Event) -> None:
        """Skip handlers that need widgets which are being removed or were never mounted.

        A screen that is dismissed before it is mounted still gets the event of its mounting.
        """
        if self.is_alive or not isinstance(event, _FOR_LIVE_SCREENS):
            await super().on_event(event)

    def _screen_resized(self, size: Size) -> None:
        """Lay out anew for a size that differs; what else has to be, the next update does once.

        Textual tells a screen its size also where its contents were laid out, and for each time it
        lays everything out and draws it again: four times while a screen opens.
        """
        if size == self.size == self._compositor.size:
            self.check_idle()
        else:
            super()._screen_resized(size)

    def on_resize(self, event: events.Resize) -> None:
        """Show only a notice on a terminal that is too small."""
        del event
        small = self.is_too_small
        self.set_class(small, "-too-small")
        if not small:
            return
        size = self.app.size
        needed = (
            f"{self.LEAST_WIDTH} x {self.LEAST_HEIGHT} needed, now {size.width} x {size.height}"
        )
        way_out = f"{key_of(self.app, 'app.quit')} quits"
        if isinstance(self, CacheScreen) and len(self.app.screen_stack) > 1:
            way_out = f"{key_of(self.app, 'screen.back')} goes back, {way_out}"
        text = f"Terminal too small\n{needed}\n{way_out}"
        if not self.query(TooSmall):
            self.mount(TooSmall(text, markup=False))
        else:
            self.query_one(TooSmall).update(text)

    def on_screen_resume(self) -> None:
        """Give the answer that had to wait until the screen above was closed."""
        if self._answer is not None:
            (answer,), self._answer = self._answer, None
            self.dismiss(answer)

    def on_unmount(self) -> None:
        """Clear Textual's cache of drawn lines.

        Textual keeps the drawn lines of up to 1,024 widgets that were removed: a method with
        `lru_cache` has them as its `self`. With our screens that was 180 MB.
        """
        StylesCache.get_inner_outer.cache_clear()


class CacheScreen(BaseScreen[None]):
    """A full screen over the cache. Override `cache_changed`; act through `lora`."""

    LEAST_WIDTH: ClassVar[int] = 60
    LEAST_HEIGHT: ClassVar[int] = 15
    ABOUT: ClassVar[str] = ""
    """A sentence about the screen, for the help."""

    LIST_ACTIONS: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Names of keys of the list in it → their actions, of which `check_action` knows too."""

    _unseen: frozenset[Topic] = frozenset()
    """What has changed while a full screen was above this one."""

    @property
    def lora(self) -> CacheApp:
        """The application: `sync`, `download`, `open_model`, `copy`, `writers`."""
        return cast("CacheApp", self.app)

    @property
    def db(self) -> sqlite3.Connection:
        """The connection of the UI's thread; for reading."""
        return self.lora.db

    @property
    def ascii_only(self) -> bool:
        """Whether only ASCII can be shown."""
        return self.lora.ascii_only

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Called on the UI's thread after any writer has changed the cache."""

    def why_not(self, action: str) -> str:  # noqa: ARG002 - for subclasses
        """Why an action of this screen can't do anything now; empty where that needs no words."""
        return ""

    def on_key(self, event: events.Key) -> None:
        """Say why a key can't do anything now. Textual calls `on_key` of every class."""
        if type(self).why_not is CacheScreen.why_not or is_typed(self, "a"):
            return  # nothing to say, or a line of text has the keys
        moved = self.lora.preferences.keys
        bindings = (b for kind in type(self).__mro__ for b in vars(kind).get("BINDINGS", ()))
        named = [(b.id, b.action) for b in bindings if isinstance(b, Binding) and b.id]
        actions = [
            parse(action)[1:]
            for name, action in (*named, *self.LIST_ACTIONS.items())
            if event.key in keys_of(name, moved)
        ]
        if actions and all(self.check_action(*action) is False for action in actions):
            reason = self.why_not(actions[0][0])
            if reason:
                self.notify(reason, timeout=4)

    def open_model(self, model_id: str) -> None:
        """Open a model, if the cache has it."""
        if names_of(self.db, [model_id]):
            self.lora.open_model(model_id)
        else:
            self._say_missing("model")

    def open_job(self, job_id: str) -> None:
        """Open a training job, if the cache has it."""
        from lora_tui.cache.jobs import dataset_names

        if dataset_names(self.db, [job_id]):
            self.lora.open_job(job_id)
        else:
            self._say_missing("job")

    def _say_missing(self, what: str) -> None:
        key = key_of(self.app, "app.sync")
        self.notify(f"That {what} is not in the cache; {key} syncs", severity="warning")

    def read(
        self,
        query: Callable[[sqlite3.Connection], Found],
        then: Callable[[Found], None],
        *,
        exclusive: str,
        failed: Callable[[LoraTuiError], None] | None = None,
    ) -> None:
        """Run a query with its own connection in a thread, then `then`. See `start`."""
        self.start(self._made(query), then, failed=failed, name="read", exclusive=exclusive)

    def export(self, name: str, write: Callable[[sqlite3.Connection], str]) -> None:
        """Write a text that a thread makes from the cache as a new file of the downloads directory.

        The toast that tells the path appears on any screen.
        """
        make, save = self._made(write), self.lora.writers.save_text

        def written(path: Path) -> None:
            self.lora.notify(str(path), title="Exported")

        self.lora.start(lambda: save(name, make()), written, name="export")

    def copy_made(self, write: Callable[[sqlite3.Connection], str], *, what: str) -> None:
        """Copy a text that a thread makes from the cache."""
        lora = self.lora
        lora.start(self._made(write), lambda text: lora.copy(text, what=what), name="copy")

    def _made(self, query: Callable[[sqlite3.Connection], Found]) -> Callable[[], Found]:
        """A call for a thread that runs the query with its own connection."""
        path, owner = self.lora.cache_path, self.lora.cache_owner

        def ask() -> Found:
            with translate_database_errors(path), closing(open_existing(path, owner)) as db:
                return query(db)

        return ask

    def on_mount(self) -> None:
        """Subscribe to changes. Textual calls the `on_mount` of subclasses too."""
        self.lora.cache_changes.subscribe(self, self.while_alive(self._take_changes))
        self.lora.show_engine()

    def on_screen_resume(self) -> None:
        """Show what has changed meanwhile."""
        self._take_changes(frozenset())

    def _take_changes(self, topics: frozenset[Topic]) -> None:
        """Show them, or keep them until no full screen is above this one."""
        self._unseen |= topics
        if self._unseen and not self.is_covered:
            unseen, self._unseen = self._unseen, frozenset()
            self.cache_changed(unseen)

    def on_unmount(self) -> None:
        """Unsubscribe: a subscription keeps the screen and its widgets in memory."""
        self.lora.cache_changes.unsubscribe(self)


class Modal(ModalScreen[Answer], BaseScreen[Answer]):
    """The base class of the small forms over a screen.

    A subclass with styles of its own puts them behind FORM_STYLES.
    """

    CSS_PATH: ClassVar[CSSPathType | None] = FORM_STYLES

    def render(self) -> RenderableType:
        """The screen below, dimmed."""
        return dimmed_below(self, super().render())


def dimmed_below(screen: Screen[Answer], rendered: RenderableType) -> RenderableType:
    """Dim the screen below also in themes of terminal colours, which Textual can't mix."""
    if isinstance(rendered, BackgroundScreen) and screen.app.current_theme.ansi:
        return _Dimmed(rendered.screen)
    return rendered


class _Dimmed:
    """A screen as dim text, so that its cursor does not look active."""

    def __init__(self, below: Screen[object]) -> None:
        self._below = below

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        drawn: Iterable[Segment] = console.render(self._below._compositor, options)
        for segment in drawn:
            yield segment if segment.control else Segment(segment.text, _DIM)
