"""The base class of all screens: background work, closing, and the notice on small terminals.

A key dismisses a screen at once, while what it began goes on: a read, a timer, a dialog over it.
Whatever comes back to a screen comes back through one of the methods here, which know whether its
widgets are still there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final, ParamSpec, TypeVar, cast

from textual import events
from textual._styles_cache import StylesCache
from textual.await_complete import AwaitComplete
from textual.screen import Screen

from lora_tui.errors import LoraTuiError
from lora_tui.tui import background
from lora_tui.tui.bindings import key_of
from lora_tui.widgets.states import TooSmall

if TYPE_CHECKING:
    from lora_tui.tui.base_app import BaseApp

Answer = TypeVar("Answer")
Found = TypeVar("Found")
Arguments = ParamSpec("Arguments")

_FOR_LIVE_SCREENS: Final = (
    events.Mount,
    events.Resize,
    events.InputEvent,
    events.Paste,
    events.ScreenResume,
)


class BaseScreen(Screen[Answer]):
    """Begin work with `start`, wrap every other callback in `while_alive`, end with `answer`.

    On a terminal that is too small it says so, and the application passes it no keys.
    """

    LEAST_WIDTH: ClassVar[int] = 40
    LEAST_HEIGHT: ClassVar[int] = 10

    _answer: tuple[Answer] | None = None
    """The answer to give as soon as no other screen is above this one."""

    @property
    def is_alive(self) -> bool:
        """Whether its widgets exist: it is mounted and not being removed."""
        return self.is_running and self.is_attached and not (self._closing or self._pruning)

    @property
    def is_too_small(self) -> bool:
        """Whether the terminal is smaller than this screen needs."""
        size = self.app.size
        return size.width < self.LEAST_WIDTH or size.height < self.LEAST_HEIGHT

    def start(
        self,
        call: Callable[[], Found],
        then: Callable[[Found], None],
        *,
        name: str,
        failed: Callable[[LoraTuiError], None] | None = None,
        exclusive: str | None = None,
    ) -> None:
        """Run a blocking call in a thread; show its result with `then` if the screen is still open.

        An error becomes a toast unless `failed` takes it. See `background.start` for `exclusive`.
        """
        background.start(
            self,
            call,
            name=name,
            then=then,
            failed=failed or cast("BaseApp", self.app).show_error,
            is_wanted=lambda: self.is_alive,
            exclusive=exclusive,
        )

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

        A screen that is dismissed before it is mounted is told of its mounting none the less.
        """
        if self.is_alive or not isinstance(event, _FOR_LIVE_SCREENS):
            await super().on_event(event)

    def on_resize(self, event: events.Resize) -> None:
        """Show nothing rather than something that is cut off."""
        del event
        small = self.is_too_small
        self.set_class(small, "-too-small")
        if small and not self.query(TooSmall):
            needed = f"Terminal too small: {self.LEAST_WIDTH} x {self.LEAST_HEIGHT} needed"
            way_out = f"{key_of(self.app, 'app.quit')} quits"
            self.mount(TooSmall(f"{needed}\n{way_out}", markup=False))

    def on_screen_resume(self) -> None:
        """Answer what could not be answered while another screen was above."""
        if self._answer is not None:
            (answer,), self._answer = self._answer, None
            self.dismiss(answer)

    def on_unmount(self) -> None:
        """Clear Textual's cache of drawn lines.

        Textual keeps the drawn lines of up to 1,024 widgets that were removed: a method with
        `lru_cache` has them as its `self`. With our screens that was 180 MB.
        """
        StylesCache.get_inner_outer.cache_clear()
