"""The settings with their values and sources; a change is written and applied."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from lora_tui.account import sessions
from lora_tui.cache.changes import Topic
from lora_tui.config.shown import DEFAULT, FILE, FLAG, SettingLine, Settings
from lora_tui.errors import LoraTuiError
from lora_tui.screens.columns import ColumnScreen
from lora_tui.screens.list_screen import LIST_KEYS, FullList
from lora_tui.text import terminal_safe
from lora_tui.tui.base_screen import CacheScreen
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.cells import fit, fit_path, normalize_width, short_path, wrap
from lora_tui.widgets.model_columns import MODEL_COLUMNS
from lora_tui.widgets.screen_bars import KeyBar, StatusBar, TitleBar

_LABEL: Final = 16
_SOURCE: Final = 20
_WIDEST: Final = 110
_COLUMNS: Final = "columns"
_ACCOUNT: Final = "account"
_FILE, _CACHE = "file", "cache"
_COLUMNS_AT: Final = 2
"""The columns come after so many settings: the colours and ASCII."""


class SettingList(FullList, inherit_bindings=False):
    """The list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("settings.change", "select", "Change", tooltip="Choose the next value, or type one"),
        *LIST_KEYS,
    ]


class SettingsScreen(CacheScreen):
    """Shows the values in force, and writes changes into the configuration file."""

    ABOUT = "The values in force, and their sources: the file, an environment variable, a flag."
    CSS_PATH = ["list_screen.tcss", "settings.tcss"]  # noqa: RUF012 - Textual's own
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound("app.settings", "back", "Back", show=False),
        bound("settings.default", "default", "Reset", tooltip="Reset to the default"),
    ]

    def __init__(self, settings: Settings) -> None:
        """Read the file. Raises ConfigError where it is broken."""
        super().__init__()
        self._settings = settings
        self._rows: list[SettingLine] = []

    def compose(self) -> ComposeResult:
        """The list, and below it the line for typing a value."""
        yield TitleBar("Settings", ascii_only=self.ascii_only)
        yield SettingList(id="settings", markup=False)
        with Horizontal(id="setting-typed"):
            yield Label(id="setting-label", markup=False)
            yield Input(id="setting-input", compact=True, select_on_focus=False)
            between = " - " if self.ascii_only else " · "
            yield Label(
                f"{key_of(self.app, 'settings.change')} saves{between}"
                f"{key_of(self.app, 'screen.back')} cancels",
                id="setting-keys",
                markup=False,
            )
        yield StatusBar(self.db, self.lora.profile, ascii_only=self.ascii_only)
        yield KeyBar()

    def on_mount(self) -> None:
        """Show the list and highlight its first line."""
        self._rows = self._all()
        self._show()
        listing = self.query_one(SettingList)
        listing.highlighted = 0
        listing.focus()

    def on_resize(self) -> None:  # type: ignore[override]
        """Draw the lines in the new width."""
        self.call_after_refresh(self.while_alive(self._show))

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Update the status bar, which shows syncs."""
        del topics
        self.query_one(StatusBar).update_from_cache()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the reset only where the file, or the memory of the columns, has a value."""
        del parameters
        chosen = self._chosen
        return action != "default" or (
            chosen is not None and chosen.is_changeable and chosen.source not in ("", DEFAULT)
        )

    def action_back(self) -> None:
        """Close the line for typing, or the screen."""
        if self._typing:
            self._close_input()
        else:
            self.dismiss()

    def action_default(self) -> None:
        """Remove the setting from the file."""
        if self._typing or self._chosen is None:
            return
        if self._chosen.key == _COLUMNS:
            self._keep_columns(())
        else:
            self._change(self._chosen, "")

    @on(OptionList.OptionHighlighted)
    def _moved(self) -> None:
        self.refresh_bindings()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        setting = self._rows[event.option_index]
        if setting.key == _ACCOUNT:
            self.lora.action_sign_out()
        elif setting.key == _COLUMNS:
            self._choose_columns()
        elif not setting.is_changeable:
            self.notify(f"Can't be changed here: {_why_fixed(setting)}", title=setting.label)
        elif setting.choices:
            self._change(setting, _next_choice(setting))
        else:
            line = self.query_one(Input)
            line.value = setting.typed
            line.placeholder = setting.explanation
            line.password = setting.is_secret
            self.query_one("#setting-label", Label).update(setting.label)
            self.query_one("#setting-typed").add_class("-open")
            line.focus()

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        if self._chosen is not None:
            self._change(self._chosen, event.value)

    @property
    def _chosen(self) -> SettingLine | None:
        index = self.query_one(OptionList).highlighted if self.is_mounted else None
        return self._rows[index] if index is not None and index < len(self._rows) else None

    @property
    def can_select(self) -> bool:
        """Whether `enter` does anything on the line under the cursor."""
        return self._chosen is not None and self._chosen.key not in (_FILE, _CACHE)

    @property
    def _typing(self) -> bool:
        return self.query_one("#setting-typed").has_class("-open")

    def _close_input(self) -> None:
        self.query_one("#setting-typed").remove_class("-open")
        self.query_one(SettingList).focus()

    def _change(self, setting: SettingLine, value: str) -> None:
        def changed(_: None) -> None:
            try:
                self.lora.take_preferences()
                if self.is_alive:
                    self._rows = self._all()
            except LoraTuiError as error:
                self.lora.show_error(error, title="Settings not read")
                return
            if self.is_alive:
                self._show_changed(setting, value)
            if not value and setting.source == FILE:
                self.lora.notify(
                    f"{setting.label} was {setting.value}", title="Reset to the default"
                )
            if not setting.at_once:
                self.lora.notify(f"{setting.label} takes effect at the next start")

        # a change is applied even if the screen was closed before it was written
        self.lora.start(
            partial(self._settings.change, setting.key, value),
            changed,
            failed=partial(self.lora.show_error, title=f"{setting.label} not changed"),
            name="settings",
        )

    def _show_changed(self, setting: SettingLine, value: str) -> None:
        """Close the line for typing, unless another value is being typed by now."""
        is_chosen = self._chosen is not None and self._chosen.key == setting.key
        if self._typing and is_chosen and self.query_one(Input).value == value:
            self._close_input()
        self._show()

    def _all(self) -> list[SettingLine]:
        """All lines: settings, the columns of the list of models, the account, the files."""
        keys = self.lora.view_state.columns
        shown = ", ".join(column.label for column in MODEL_COLUMNS.named(keys))
        columns = SettingLine(
            _COLUMNS,
            "Columns",
            shown or "those that fit best",
            source="remembered" if keys else "default",
            explanation="in the list of models",
            is_changeable=True,
        )
        settings = self._settings.all()
        return [
            *settings[:_COLUMNS_AT],
            columns,
            *settings[_COLUMNS_AT:],
            *self._account(),
            SettingLine(_FILE, "Config file", short_path(self._settings.file)),
            SettingLine(_CACHE, "Cache", short_path(self._settings.cache_path)),
        ]

    def _account(self) -> list[SettingLine]:
        account = sessions.account_of(self._settings.profile)
        if account is None:
            return []
        who = account.email or account.user_id
        key = key_of(self.app, "settings.change")
        return [SettingLine(_ACCOUNT, "Account", who, explanation=f"{key} signs out")]

    def _choose_columns(self) -> None:
        keys = self.lora.view_state.columns
        fitting = [placed.column.key for placed in MODEL_COLUMNS.layout(self.size.width, keys)]
        kept = self.while_alive(self._keep_columns)
        self.app.push_screen(ColumnScreen(MODEL_COLUMNS, keys, fitting, kept))

    def _keep_columns(self, keys: tuple[str, ...]) -> None:
        self.lora.remember(self.lora.view_state._replace(columns=keys))
        self._rows = self._all()
        self._show()

    def _show(self) -> None:
        listing = self.query_one(SettingList)
        highlighted = listing.highlighted
        listing.clear_options()
        listing.add_options([Option(self._line(setting)) for setting in self._rows])
        listing.highlighted = highlighted

    def _line(self, setting: SettingLine) -> Content:
        width = max(40, min(_WIDEST, self.size.width - 8))
        source = _SOURCE if setting.source else 0
        room = width - _LABEL - source
        value = terminal_safe(setting.value, limit=500)
        cut = fit_path if "/" in value else fit
        parts = [
            (fit(setting.label, _LABEL), "$secondary"),
            (fit(cut(value, room, ascii_only=self.ascii_only), room), "bold"),
            (fit(f" {setting.source}", source, right=True), "$secondary"),
        ]
        explanation = normalize_width(setting.explanation, ascii_only=self.ascii_only)
        for line in wrap(explanation, width - _LABEL) if explanation else ():
            parts.append((f"\n{' ' * _LABEL}{line}", "$secondary"))
        return Content.assemble(*parts)


def _next_choice(setting: SettingLine) -> str:
    """The first one where the file has a value that is none of them."""
    choices = setting.choices
    known = setting.value in choices
    return choices[(choices.index(setting.value) + 1) % len(choices)] if known else choices[0]


def _why_fixed(setting: SettingLine) -> str:
    if setting.key in (_FILE, _CACHE):
        return "shown for information"
    if setting.source == FLAG or setting.source.isupper():  # a variable's name
        return f"set by {setting.source}"
    return "the demo does not use this setting"
