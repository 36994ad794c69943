"""The base class of our applications: themes, keys, safe toasts, a report where it crashes."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from typing import Any, ClassVar, Final

from textual import events
from textual._path import CSSPathType
from textual.actions import SkipAction
from textual.app import App
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.filter import Monochrome, NoColor
from textual.notifications import SeverityLevel
from textual.worker import WorkerFailed

from lora_tui.config.keys import keys_of
from lora_tui.config.table import THEME_NAMES, Preferences
from lora_tui.engine.unexpected_errors import unexpected
from lora_tui.errors import LoraTuiError
from lora_tui.text import terminal_safe
from lora_tui.tui.background import StartsCalls
from lora_tui.tui.base_screen import BaseScreen, CacheScreen
from lora_tui.tui.colours import (
    ANSI,
    MONO,
    THEMES,
    ColourFilter,
    ControlCharacterFilter,
    CursorFilter,
    suitable_theme,
)
from lora_tui.tui.crash import log_error, nothing_on_the_screen, print_and_exit, report_crash
from lora_tui.tui.driver import TerminalDriver
from lora_tui.tui.terminal import (
    can_be_resumed,
    error_of_signal,
    exit_on_signals,
    exit_without_terminal,
    signals_noted,
    stop,
)
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.cells import normalize_width, shorten_paths

_TOAST_WIDTH: Final = 64
"""As in base_app.tcss."""
_SECONDS_TO_END: Final = 5.0
"""How long the application may take to end after a fault."""
_LAST_ACTIONS: Final = 20
_KEY_NAMES: Final = {"enter": "enter", "space": "space", "escape": "esc"}
_KEYS_IN_WORDS: Final = str.maketrans(
    {"↑": "up", "↓": "down", "←": "left", "→": "right", "⌫": "backspace"}
)


class BaseApp(App[None], StartsCalls):
    """An application with the preferences of the user.

    For results of one screen use the `start` of that screen.
    """

    TITLE = "lora-tui"
    CSS_PATH: ClassVar[CSSPathType | None] = "base_app.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "copy_or_help_quit", show=False, system=True, priority=True),
        bound(
            *("app.suspend", "suspend_process", "Suspend"),
            show=False,
            priority=True,
            tooltip="Suspend to the shell; `fg` resumes",
        ),
    ]

    def __init__(self, preferences: Preferences) -> None:
        self._has_theme = False
        super().__init__()
        self.keys_pressed = 0
        """Counts keys and pastes, so that a later callback can tell whether the user is typing."""
        self.actions: deque[str] = deque(maxlen=_LAST_ACTIONS)
        """The names of the last actions, for the report of a crash."""
        self.turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """For `start`: held while a call of this group is made; who waits first is first."""
        self._crash: LoraTuiError | None = None
        self._end_reason: BaseException | None = None
        """Why it ends, where it was not the user who asked for it on the screen."""
        self._last_resort: threading.Timer | None = None
        """Ends the process where the application hangs while it ends because of a fault."""
        self.preferences = preferences
        self.ascii_only: bool = preferences.ascii_only
        self._without_colour = ColourFilter(enabled=False)
        kept = [item for item in self._filters if not isinstance(item, Monochrome | NoColor)]
        self._plain_cursor = CursorFilter(enabled=False)
        self._filters = [*kept, self._without_colour, self._plain_cursor, ControlCharacterFilter()]
        for ours in THEMES:
            self.register_theme(ours)
        self.set_keymap(preferences.keys)
        self._set_first_theme(self._suitable_theme(preferences.theme))
        self.set_class(self.ascii_only, "-ascii")

    def run(self, **options: Any) -> None:
        """Run until the user leaves.

        Raises LoraTuiError where a fault has ended it: the terminal is as before, and the error
        names the report. Raises KeyboardInterrupt, HangupError, TerminatedError after a signal.
        """
        noted = nullcontext() if options.get("headless") else signals_noted(self._note_signal)
        with nothing_on_the_screen(self), noted:
            self._last_resort = threading.Timer(_SECONDS_TO_END, self._end_now)
            self._last_resort.daemon = True
            result = None
            try:
                result = super().run(**{"mouse": self.preferences.mouse, **options})
            except KeyboardInterrupt:
                if self._crash is None:
                    raise
            except BaseException as error:
                self._note_crash(error)
            finally:
                self._last_resort.cancel()
                self._put_terminal_back()
        if self._crash is not None:
            raise self._crash from None
        # the line of a page would be printed on the terminal of `lora-tui serve`
        if self._end_reason is not None and not self.is_web:
            raise self._end_reason
        return result

    @property
    def crashed(self) -> bool:
        """Whether a fault ends it."""
        return self._crash is not None

    def on_mount(self) -> None:
        """End with the terminal. Textual calls `on_mount` of every class."""
        exit_without_terminal(self)
        if self.is_web:  # in a terminal the driver does this as soon as it takes it
            exit_on_signals(self)
        if self._end_reason is not None:
            self.exit()

    def exit_with(self, reason: BaseException) -> None:
        """Exit in order; `run` then raises `reason`, unless it has one already."""
        self._end_reason = self._end_reason or reason
        self.exit()

    def _note_signal(self, number: int) -> None:
        self._end_reason = self._end_reason or error_of_signal(number)

    @property
    def is_alive(self) -> bool:
        """Whether it runs and was not asked to end."""
        return self.is_running and not self._exit

    async def on_event(self, event: events.Event) -> None:
        """Count typed keys; on a terminal that is too small, accept only keys that quit or go back.

        Keys that were typed ahead of the end are nobody's: a new screen would have no widgets, and
        a download would begin that nobody sees.
        """
        if isinstance(event, events.Key | events.Paste):
            self.keys_pressed += 1
        is_typed = isinstance(event, events.Key | events.Paste | events.MouseEvent)
        if is_typed and self._exit:
            return
        if is_typed and not event.is_forwarded and self._shows_nothing:
            if isinstance(event, events.Key) and event.key in self._quit_keys:
                self.exit()  # nobody could read a confirmation; downloads continue later
            elif isinstance(event, events.Key) and event.key in self._keys_back:
                self.screen.dismiss()
                return
            elif not (isinstance(event, events.Key) and event.key in self._suspend_keys):
                return
        await super().on_event(event)

    @property
    def _shows_nothing(self) -> bool:
        screen = self.screen_stack[-1] if self.screen_stack else None
        return isinstance(screen, BaseScreen) and screen.is_too_small

    @property
    def _quit_keys(self) -> list[str]:
        return [*keys_of("app.quit", self.preferences.keys), "ctrl+q", "ctrl+c"]

    @property
    def _keys_back(self) -> list[str]:
        """Those that lead back to a screen that may need less room; none in a form."""
        leads_back = isinstance(self.screen, CacheScreen) and len(self.screen_stack) > 1
        return keys_of("screen.back", self.preferences.keys) if leads_back else []

    @property
    def _suspend_keys(self) -> list[str]:
        return keys_of("app.suspend", self.preferences.keys)

    async def action_copy_or_help_quit(self) -> None:
        """Copy the selection; without one, say how to quit."""
        copy = getattr(self.focused, "action_copy", self.screen.action_copy_text)
        try:
            copy()
        except SkipAction:
            typing = self.focused is not None and self.focused.check_consume_key("q", "q")
            plain = not typing and not self.screen.is_modal
            key = key_of(self, "app.quit") if plain else "ctrl+q"
            self.notify(f"Press {key} to quit", title="ctrl+c does not quit", timeout=4)

    def action_suspend_process(self) -> None:
        """Suspend the application; the shell's `fg` resumes it."""
        if self._driver is None or not self._driver.can_suspend:
            return  # a page in a browser
        if not can_be_resumed():
            self.notify("No shell could resume the application", title="Not suspended")
            return
        with self.suspend():  # the terminal is the shell's before anything stops
            stop()

    def watch_theme(self, theme: str) -> None:
        """Filter colours in the themes for terminals with sixteen or none."""
        self._without_colour.enabled = theme == MONO.name
        self._plain_cursor.enabled = theme == ANSI.name

    def apply_theme(self, theme: str | None) -> None:
        """Change to this theme; None: to the one that suits the terminal."""
        self.theme = self._suitable_theme(theme)

    def _suitable_theme(self, theme: str | None) -> str:
        return suitable_theme(theme, no_color=self.no_color, color_system=self.console.color_system)

    def _set_first_theme(self, theme: str) -> None:
        """Set the first theme. Setting `theme` would parse all styles a second time."""
        self.set_reactive(App.theme, theme)
        self._has_theme = True
        now = self.current_theme
        self.add_class(f"-theme-{now.name}", update=False)
        self.set_class(now.dark, "-dark-mode", update=False)
        self.set_class(not now.dark, "-light-mode", update=False)
        self._refresh_truecolor_filter(self.ansi_theme)
        self.stylesheet.set_variables(self.get_css_variables())
        self.watch_theme(theme)

    def get_css_variables(self) -> dict[str, str]:
        """The colours of the theme; none yet for the one that Textual begins with."""
        return super().get_css_variables() if self._has_theme else {}

    def use_theme(self, theme: str) -> bool:
        """Change the theme; False if NO_COLOR forbids colours."""
        if self.no_color:
            self.notify("NO_COLOR is set, so there are no colours", severity="warning")
            return False
        self.theme = theme
        return True

    def next_theme(self) -> str:
        """The name of the next theme."""
        return THEME_NAMES[(THEME_NAMES.index(self.theme) + 1) % len(THEME_NAMES)]

    def bell(self) -> None:
        """Ring the bell, unless the preferences disable it."""
        if self.preferences.bell:
            super().bell()

    def alert_terminal(self, text: str) -> None:
        """Ring the bell, and let the terminal show a message, where the preferences want that."""
        wanted = self.preferences.terminal_alerts
        if wanted in ("bell", "both"):
            super().bell()
        if wanted in ("osc9", "both") and self._driver is not None:
            # words first: a text that begins with a number would be a progress bar in some
            line = terminal_safe(f"lora-tui: {text}", limit=200)
            self._driver.write(f"\x1b]9;{line}\x07")

    def copy(self, text: str, *, what: str | None = None) -> None:
        """Copy text to the clipboard of the user's terminal (OSC 52).

        The toast shows `what`, or the text itself.
        """
        self.copy_to_clipboard(text)
        self.notify(what or text, title="Copied", timeout=3)

    def show_error(self, error: LoraTuiError, *, title: str = "Failed", name: str = "") -> None:
        """Show an error with its remedy; `title` says what failed, `name` for which model."""
        lines = [name, str(error), error.details or "", self.remedy_of(error)]
        self.notify("\n".join(filter(None, lines)), title=title, severity="error", timeout=8)

    def remedy_of(self, error: LoraTuiError) -> str:
        """The line that says what to do about an error: `→ check the network`; may be empty."""
        from lora_tui.widgets.remedies import in_the_application

        remedy = in_the_application(self, error.remedy or "")
        return f"→ {remedy}" if remedy else ""

    def get_key_display(self, binding: Binding) -> str:
        """The name of a key in hints."""
        if binding.key_display:
            return (
                binding.key_display.replace("←→", "<>") if self.ascii_only else binding.key_display
            )
        if binding.key in _KEY_NAMES:
            return _KEY_NAMES[binding.key]
        shown = super().get_key_display(binding)
        return shown.translate(_KEYS_IN_WORDS) if self.ascii_only else shown

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,  # noqa: ARG002 - toasts show remote text: never markup
    ) -> None:
        """Show a toast. Its text is never parsed as markup; paths are shortened to one line."""
        message = terminal_safe(message, limit=4_000, lines=True)
        width = min(_TOAST_WIDTH, self.size.width * 9 // 10) - 4  # without border and padding
        message = normalize_width(message, ascii_only=self.ascii_only)
        super().notify(
            shorten_paths(message, width, ascii_only=self.ascii_only),
            title=normalize_width(terminal_safe(title), ascii_only=self.ascii_only),
            severity=severity,
            timeout=timeout,
            markup=False,
        )

    def get_driver_class(self) -> type[Driver]:
        """A driver that can put the terminal back at any moment."""
        found = super().get_driver_class()
        return TerminalDriver if found is LinuxDriver else found

    def failure_of(self, error: BaseException, name: str) -> LoraTuiError:
        """What to show for the error of the call `name`; it is called in the thread of the call.

        An error that nobody foresaw is written to the log file.
        """
        if isinstance(error, LoraTuiError):
            return error
        log_error(name, error)
        return unexpected(error)

    async def _dispatch_action(
        self, namespace: DOMNode, action_name: str, params: Iterable[Any]
    ) -> bool:
        """Remember the action's name. Its parameters may hold names of models."""
        self.actions.append(f"{type(namespace).__name__}.{action_name}")
        return await super()._dispatch_action(namespace, action_name, params)

    def _handle_exception(self, error: Exception) -> None:
        """Write a report and end. Textual would print a traceback, with local variables.

        One of them may hold a signed link.
        """
        self._return_code = 1
        if self._exception is None:  # for Textual's own test harness
            self._exception = error
            self._exception_event.set()
        try:
            self._note_crash(error)
        finally:
            self._close_messages_no_wait()

    def _note_crash(self, error: BaseException) -> None:
        """Write a report about the first fault; others may follow from it."""
        cause = error.error if isinstance(error, WorkerFailed) else error
        if self.is_web and isinstance(cause, BrokenPipeError):
            return  # `lora-tui serve` was killed, and the page is closed
        if self._crash is None:
            self._crash = report_crash(self, cause)
            if self._last_resort is not None:
                with suppress(Exception):  # the system allows no more threads
                    self._last_resort.start()

    def _end_now(self) -> None:
        self._put_terminal_back()
        if self._crash is not None:
            print_and_exit(self._crash)

    def _put_terminal_back(self) -> None:
        if isinstance(self._driver, TerminalDriver):
            self._driver.put_back()
