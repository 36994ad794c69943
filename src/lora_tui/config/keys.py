"""The keys of each action: the defaults, and those that `[keys]` of the configuration moves."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lora_tui.errors import ConfigError
from lora_tui.text import terminal_safe

Keymap = Mapping[str, str]
"""Action → its keys as Textual names them, separated by commas."""

DEFAULT_KEYS: Final[Keymap] = {
    "app.sync": "r",
    "app.notifications": "n",
    "app.transfers": "t",
    "app.jobs": "w",
    "app.harvest": "h",
    "app.costs": "dollar_sign",
    "app.leaderboard": "O",
    "app.try": "exclamation_mark",
    "app.servers": "H",
    "app.login": "L",
    "app.sign_out": "ctrl+l",
    "app.settings": "comma",
    "app.help": "question_mark",
    "app.theme": "T",
    "app.palette": "ctrl+p",
    "app.suspend": "ctrl+z",
    "app.quit": "q",
    "screen.back": "escape",
    "list.open": "enter",
    "list.down": "j,down",
    "list.up": "k,up",
    "list.page_down": "pagedown,right_square_bracket,ctrl+f",
    "list.page_up": "pageup,left_square_bracket,ctrl+b",
    "list.first": "g,home",
    "list.last": "G,end",
    "scroll.down": "down,j",
    "scroll.up": "up,k",
    "scroll.page_down": "pagedown,space,ctrl+f",
    "scroll.page_up": "pageup,ctrl+b",
    "scroll.top": "home,g",
    "scroll.bottom": "end,G",
    "models.search": "slash",
    "models.sort": "s",
    "models.reverse": "S",
    "models.filter": "f",
    "models.download": "d",
    "models.view": "v",
    "models.views": "V",
    "models.saved": "1,2,3,4,5,6,7,8,9",
    "models.everything": "0",
    "models.preview": "p",
    "models.columns": "C",
    "models.compare": "c",
    "models.load": "b",
    "models.copy_id": "y",
    "models.effect": "e",
    "models.reset": "escape",
    "models.mark_again": "U",
    "models.mark": "space",
    "models.mark_down": "shift+down",
    "models.mark_up": "shift+up",
    "marks.favorite": "asterisk",
    "marks.tags": "number_sign",
    "marks.note": "a",
    "marks.alias": "at",
    "marks.keep": "K",
    "cards.next": "right",
    "cards.previous": "left",
    "cards.mark_next": "shift+right",
    "cards.mark_previous": "shift+left",
    "search.keep": "enter",
    "search.clear": "escape",
    "search.leave": "down",
    "model.next": "right_square_bracket",
    "model.previous": "left_square_bracket",
    "model.download": "d",
    "model.choose_files": "D",
    "model.cancel": "x",
    "model.serve": "s",
    "model.load": "b",
    "model.report": "e",
    "model.prove": "P",
    "chart.log_scale": "l",
    "chart.zoom_in": "plus,equals_sign",
    "chart.zoom_out": "minus,underscore",
    "chart.whole_run": "0",
    "chart.read_right": "right",
    "chart.read_left": "left",
    "chart.read_far_right": "shift+right",
    "chart.read_far_left": "shift+left",
    "chart.later": "greater_than_sign",
    "chart.earlier": "less_than_sign",
    "chart.smoothing": "f",
    "chart.strength": "F",
    "metrics.axis": "o",
    "metrics.choose": "v",
    "model.inspect": "i",
    "model.copy_id": "y",
    "model.copy_checksums": "Y",
    "model.job": "J",
    "job.model": "m",
    "job.copy": "y",
    "job.cancel": "x",
    "compare.everything": "a",
    "compare.validation": "v",
    "compare.curves": "c",
    "compare.shares": "x",
    "compare.markdown": "e",
    "compare.csv": "E",
    "compare.copy": "y",
    "compare.reference": "b",
    "transfers.pause": "p",
    "transfers.resume": "R",
    "transfers.cancel": "x",
    "transfers.up": "K",
    "transfers.down": "J",
    "transfers.forget": "X",
    "transfers.pause_all": "P",
    "transfers.resume_all": "A",
    "harvest.start": "b",
    "harvest.retry": "x",
    "harvest.retry_all": "X",
    "leaderboard.compare": "c",
    "leaderboard.more": "a",
    "effect.x": "x",
    "effect.y": "y",
    "effect.by": "b",
    "effect.log_x": "X",
    "effect.log_y": "Y",
    "effect.table": "v",
    "effect.next_here": "space",
    "try.ask": "enter,i",
    **{f"try.choose_{n}": str(n) for n in range(1, 8)},
    "try.tie": "0",
    "try.skip": "x",
    "try.blind": "b",
    "try.next": "right_square_bracket",
    "try.load": "l",
    "try.settings": "o",
    "try.server": "s",
    "try.right": "right",
    "try.left": "left",
    "try.markdown": "e",
    "try.jsonl": "E",
    "try.copy": "y",
    "costs.by": "b,right",
    "costs.by_back": "B,left",
    "costs.period": "p",
    "costs.period_back": "P",
    "settings.change": "enter,space",
    "settings.default": "x",
    "dialog.close": "escape,q",
    "dialog.undo": "escape",
    "dialog.keep": "enter",
    "dialog.choose": "space",
    "filters.next": "tab,right,l",
    "filters.previous": "shift+tab,left,h",
    "filters.clear": "delete,x",
    **{f"filters.stars_{n}": str(n) for n in range(6)},
    "columns.automatic": "x",
    "views.save": "s",
    "views.rename": "r",
    "views.delete": "x",
    "files.download": "enter",
    "files.all": "a",
    "files.none": "n",
    "serve.next": "right,l,tab",
    "serve.previous": "left,h,shift+tab",
    "serve.copy": "y,enter,c",
    **{f"serve.program_{n}": str(n) for n in range(1, 5)},
    "confirm.yes": "y,enter",
    "confirm.no": "n,escape,q",
    "welcome.choose": "enter",
    "welcome.leave": "escape",
    "connect.back": "escape",
    "connect.next": "tab",
    "connect.previous": "shift+tab",
    "connect.submit": "enter",
    "connect.quit": "ctrl+q",
    "typing.keep": "enter",
    "typing.keep_note": "ctrl+s",
    "typing.complete": "tab",
    "typing.leave": "escape",
    "login.next": "tab",
    "login.previous": "shift+tab",
    "login.leave": "escape",
}

_MOVING: Final = ("list.down", "list.up")
PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "the list of models": ("app.", "list.", "models.", "marks.", "cards."),
    "the search": ("search.",),
    "a model": ("app.", "screen.", "model.", "marks.", "metrics.", "chart.", "scroll."),
    "a job": ("app.", "screen.", "list.open", "job.", "metrics.", "chart.", "scroll."),
    "the comparison": ("app.", "screen.", "compare.", "chart.", "scroll."),
    "the training jobs": (
        *("app.", "screen.", "list.", "models.search", "models.sort", "models.reverse"),
        *("models.filter", "models.columns", "models.copy_id", "job.model", "job.cancel"),
    ),
    "Transfers": ("app.", "screen.", "list.", "transfers."),
    "the notifications": ("app.", "screen.", "list."),
    "the harvest": ("app.", "screen.", "list.", "harvest."),
    "the effect": (
        *("app.", "screen.", "effect.", "chart.read_right", "chart.read_left", *_MOVING),
        *("list.open", "list.page_down", "list.page_up"),
    ),
    "Try": ("app.", "screen.", "try.", "scroll."),
    "the prompt": ("typing.keep", "typing.leave"),
    "the options of Try": ("typing.keep", "typing.leave", "login.next", "login.previous"),
    "the servers to try": (
        *("try.server", "dialog.close", *_MOVING, "list.open"),
        *("list.page_down", "list.page_up"),
    ),
    "the column menu": ("dialog.undo", "list.open", "list.page_down", "list.page_up", *_MOVING),
    "the costs": ("app.", "screen.", "list.", "costs."),
    "the leaderboard": ("app.", "screen.", "list.", "leaderboard."),
    "the table of compared models": (
        *("app.", "screen.", "list.", "models.mark", "models.compare", "models.sort"),
        *("models.reverse", "compare.validation", "compare.markdown", "compare.csv"),
        "compare.copy",
    ),
    "the servers": ("app.", "screen.", "list."),
    "the settings": (
        *("app.", "screen.", *_MOVING),
        *("list.page_down", "list.page_up", "list.first", "list.last", "settings."),
    ),
    "the filters": (
        *("models.filter", "dialog.keep", "dialog.undo", "dialog.choose", *_MOVING),
        *("list.page_down", "list.page_up", "filters."),
    ),
    "the columns": (
        *("models.columns", "dialog.keep", "dialog.undo", "dialog.choose", *_MOVING),
        *("list.page_down", "list.page_up", "columns."),
    ),
    "the metrics": ("metrics.choose", "dialog.keep", "dialog.undo", "dialog.choose", *_MOVING),
    "the views": (
        *("models.views", "models.saved", "dialog.close", *_MOVING, "list.open", "views."),
    ),
    "the servers to load into": (
        *("model.load", "dialog.close", *_MOVING, "list.open"),
        *("list.page_down", "list.page_up"),
    ),
    "the sort menu": (
        *("models.sort", "dialog.close", *_MOVING, "list.open"),
        *("list.page_down", "list.page_up"),
    ),
    "the report menu": ("model.report", "dialog.close", *_MOVING, "list.open"),
    "the menu for keeping a model": ("marks.keep", "dialog.close", *_MOVING, "list.open"),
    "the file selection": ("files.", "dialog.close", "dialog.choose", *_MOVING),
    "the snippets": (
        *("serve.", "model.serve", "dialog.close", *_MOVING),
        *("list.page_down", "list.page_up"),
    ),
    "a confirmation": ("confirm.",),
    "the help": ("app.help", "dialog.close", *_MOVING, "list.page_down", "list.page_up"),
    "the welcome": ("welcome.", *_MOVING, "app.theme", "app.quit"),
    "a form for marks": ("typing.",),
    "the connection": ("connect.",),
    "the login": ("login.",),
}
"""Place → the actions that it has at the same time, where a key can have one action only. A name
that ends in a dot stands for all actions that begin with it."""

_TYPING: Final = ("search.", "typing.", "connect.", "login.")
_RESERVED: Final = {
    "ctrl+q": "always quits",
    "ctrl+c": "copies the selection, or shows how to quit",
    "tab": "goes to the next field",
    "shift+tab": "goes to the previous field",
}
_DEEPEST: Final = 3
"""Dots in a name of `[keys]`; deeper tables name no action."""
_NAMED: Final = frozenset(
    {
        *("up", "down", "left", "right", "home", "end", "pageup", "pagedown", "insert", "delete"),
        *("enter", "escape", "space", "tab", "backspace"),
        *(f"f{n}" for n in range(1, 25)),
    }
)
_MODIFIERS: Final = frozenset({"ctrl", "shift", "alt", "super", "hyper", "meta"})
# how Textual shortens the names that Unicode has for signs
_SHORTER: Final = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
_SIGNS: Final = {
    _SHORTER.get(name, name): character
    for character in map(chr, range(33, 127))
    if not character.isalnum()
    for name in [unicodedata.name(character).lower().replace("-", "_").replace(" ", "_")]
}


def keymap_of(document: Mapping[str, Any]) -> dict[str, str]:
    """The actions that `[keys]` of the configuration moves, with their new keys.

    Raises ConfigError where an action or a key does not exist, or where one key has two actions in
    the same place.
    """
    table = document.get("keys", {})
    if not isinstance(table, dict):
        raise ConfigError("[keys] must be a table")
    moved: dict[str, str] = {}
    for action, value in _flat(table):
        if action not in DEFAULT_KEYS:
            raise ConfigError(
                f"[keys] names an unknown action: {terminal_safe(action, limit=60)}",
                remedy="`lora-tui config keys` lists all actions",
            )
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{action} in [keys] takes one key, or several separated by commas")
        moved[action] = ",".join(_key(action, name) for name in _names(value))
    for place in PLACES:
        _refuse_conflict(place, moved)
    return moved


def keys_of(action: str, moved: Keymap) -> list[str]:
    """The keys of `action`; the first is the one that hints show."""
    return moved.get(action, DEFAULT_KEYS[action]).split(",")


def actions_in(place: str) -> list[str]:
    """All actions of a place."""
    kinds = PLACES[place]
    return [a for a in DEFAULT_KEYS if a in kinds or f"{a.partition('.')[0]}." in kinds]


def spelled(key: str) -> str:
    """A key as a user types it: the character instead of its name."""
    return _SIGNS.get(key, key)


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    """Action and value of each entry: TOML reads `app.sync = "z"` as a nested table."""
    for name, value in table.items():
        if isinstance(value, dict) and before.count(".") < _DEEPEST:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _names(value: str) -> list[str]:
    return [","] if value.strip() == "," else [name.strip() for name in value.split(",")]


def _key(action: str, name: str) -> str:
    """The key as Textual names it. Raises ConfigError where there is no such key."""
    *modifiers, last = name.lower().split("+") if len(name) > 1 else [name]
    sign = next((named for named, character in _SIGNS.items() if character == last), last)
    plain = len(last) == 1 and last.isascii() and last.isalnum()
    known = plain or sign in _SIGNS or last in _NAMED
    shown = terminal_safe(name, limit=40) or "nothing"
    if not known or not _MODIFIERS.issuperset(modifiers):
        raise ConfigError(
            f"{action} in [keys] names an unknown key: {shown}",
            remedy="a character, or a name such as f5, ctrl+s, shift+down, pagedown, enter, space",
        )
    key = "+".join([*modifiers, sign])
    if key in _RESERVED and key not in DEFAULT_KEYS[action].split(","):
        raise ConfigError(f"{action} in [keys] can't be {name}: that key {_RESERVED[key]}")
    if action.startswith(_TYPING) and not modifiers and (plain or sign in _SIGNS or key == "space"):
        raise ConfigError(
            f"{action} in [keys] can't be {name}: it is needed for typing text",
            remedy="use a key such as f5",
        )
    return key


def _refuse_conflict(place: str, moved: Keymap) -> None:
    holders: dict[str, str] = {}
    for action in actions_in(place):
        for key in keys_of(action, moved):
            other = holders.setdefault(key, action)
            if other != action:
                raise ConfigError(
                    f"[keys] gives {spelled(key)} to {other} and to {action}, both in {place}",
                    remedy="move one of them to another key",
                )
