"""The frame of a dialog, and a labelled input with its state."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from lora_tui.config.keys import keys_of
from lora_tui.widgets.bindings import key_of, moved_keys
from lora_tui.widgets.cells import normalize_width
from lora_tui.widgets.text_line import TextLine


class Dialog(Vertical):
    """A titled frame as large as its content."""

    def __init__(
        self,
        *children: Widget,
        title: str,
        keys: Iterable[tuple[str, str]] = (),
        note: str = "",
    ) -> None:
        """`keys`: names of actions as in `[keys]`, each with a short description."""
        super().__init__(*children)
        self._title, self._keys, self._note = title, keys, note

    def on_mount(self) -> None:
        """Show title and keys on the border."""
        ascii_only = self.app.has_class("-ascii")
        self.border_title = Content(normalize_width(self._title, ascii_only=ascii_only))
        between = " - " if ascii_only else " · "
        hints = between.join(f"{key_of(self.app, name)} {word}" for name, word in self._keys)
        self.border_subtitle = Content(normalize_width(hints or self._note, ascii_only=ascii_only))


_EDITING = frozenset({"left", "right", "home", "end", "delete", "backspace"})


class TypedLine(TextLine):
    """The line that narrows a list below it; the space bar selects instead of typing a blank.

    It runs the bindings of its screen itself, in the order of the keys: of a quick `rank space`
    the application would handle the second key before the first is typed.
    """

    def __init__(self, bindings: Iterable[BindingType], *, id: str | None = None) -> None:
        """`bindings`: made by `bound`; letters among their keys are typed after other letters."""
        super().__init__(id=id, compact=True, select_on_focus=False, placeholder="type to narrow")
        self._bound = [binding for binding in bindings if isinstance(binding, Binding)]
        self._actions: dict[str, str] = {}
        self.takes_letters = False
        """Whether a first letter is typed too, where it is the key of an action."""
        self.takes_all = False
        """Whether blanks are typed too, and the keys of a line of text move in it."""

    def on_mount(self) -> None:
        """Learn the keys that the user has given to the actions."""
        moved = moved_keys(self.app)
        self._actions = {
            key: binding.action
            for binding in self._bound
            for key in keys_of(binding.id or "", moved)
        }

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Whether the key is handled here."""
        return key in self._actions or super().check_consume_key(key, character)

    async def _on_key(self, event: events.Key) -> None:
        action = self._actions.get(event.key)
        if action is None or self._is_text(event):
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()
        await self.screen.run_action(action)

    def _is_text(self, event: events.Key) -> bool:
        if self.takes_all:
            return event.is_printable or event.key in _EDITING
        is_letter = event.is_printable and event.key != "space"
        return is_letter and (self.takes_letters or bool(self.value))


class FieldState(Enum):
    """State of an input: sign, ASCII sign, style."""

    UNKNOWN = ("", "", "$secondary")
    CHECKING = ("…", "...", "$secondary")
    GOOD = ("✓", "ok", "$text-success")
    BAD = ("✗", "x", "$text-error")


class Field(Horizontal):
    """A label, an input and its state. The text of a secret is never shown."""

    def __init__(
        self,
        label: str,
        *,
        id: str,
        value: str = "",
        placeholder: str = "",
        is_secret: bool = False,
    ) -> None:
        super().__init__(id=id)
        self._label = label
        self.input: Input = TextLine(
            value, placeholder=placeholder, password=is_secret, compact=True, select_on_focus=False
        )
        self._verdict = Static(markup=False, classes="field-verdict")

    def compose(self) -> ComposeResult:
        """Label, input and state."""
        yield Label(self._label, classes="field-label", markup=False)
        yield self.input
        yield self._verdict

    def on_descendant_focus(self) -> None:
        """Highlight the label of the focused input."""
        self.add_class("-focused")

    def on_descendant_blur(self) -> None:
        """Stop highlighting the label."""
        self.remove_class("-focused")

    @property
    def value(self) -> str:
        """The text without surrounding blanks."""
        return self.input.value.strip()

    def show(self, verdict: FieldState, words: str = "") -> None:
        """Show the state as a sign with words; colour alone carries no meaning."""
        ascii_only = self.app.has_class("-ascii")
        sign, plain, style = verdict.value
        text = f"{plain if ascii_only else sign} {normalize_width(words, ascii_only=ascii_only)}"
        self._verdict.update(Content.styled(text.strip(), style))
