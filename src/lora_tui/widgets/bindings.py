"""Bindings that the user can move to other keys, and the keys as texts name them."""

from __future__ import annotations

from typing import Any, Final

from textual.app import App
from textual.binding import Binding, BindingType
from textual.keys import key_to_character
from textual.screen import Screen

from lora_tui.config.keys import DEFAULT_KEYS, Keymap, keys_of
from lora_tui.config.table import Preferences


def bound(
    name: str,
    action: str,
    description: str,
    *,
    show: bool = True,
    key_display: str | None = None,
    priority: bool = False,
    tooltip: str = "",
) -> Binding:
    """A binding of `action` to the keys that `[keys]` of the configuration gives this name."""
    return Binding(
        DEFAULT_KEYS[name],
        action,
        description,
        show=show,
        key_display=key_display,
        priority=priority,
        tooltip=tooltip,
        id=name,
    )


def is_typed(screen: Screen[Any], key: str) -> bool:
    """Whether this key would go into the line that is being typed, and do nothing else."""
    focused = screen.focused
    return focused is not None and focused.check_consume_key(key, key_to_character(key))


def moved_keys(app: App[Any]) -> Keymap:
    """The keys that the user has given to actions."""
    preferences = getattr(app, "preferences", None)
    return preferences.keys if isinstance(preferences, Preferences) else {}


def key_of(app: App[Any], name: str) -> str:
    """The key of an action, for a hint: the one that the user has given it."""
    moved = moved_keys(app)
    return app.get_key_display(Binding(keys_of(name, moved)[0], name))


MARK_KEYS: Final[tuple[BindingType, ...]] = (
    bound(
        *("marks.favorite", "mark('favorite')", "Favorite"),
        key_display="*",
        show=False,
        tooltip="Make it a favorite, or no longer",
    ),
    bound(
        *("marks.tags", "mark('tags')", "Tags"),
        key_display="#",
        show=False,
        tooltip="Edit its tags",
    ),
    bound("marks.note", "mark('note')", "Note", show=False, tooltip="Write a note about it"),
    bound(
        *("marks.alias", "mark('alias')", "Alias"),
        key_display="@",
        show=False,
        tooltip="Give it an alias such as production, or move one to it",
    ),
    bound(
        *("marks.keep", "mark('keep')", "Rename, describe, archive, delete, restore"),
        show=False,
        tooltip="Change it in the project, or restore deleted models",
    ),
)
"""Of the screens that show models; `screens/own_marks.py` has what they do."""
