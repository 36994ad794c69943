"""The command palette, and the list of actions that apply now, which the help shows too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from rich.console import RenderableType
from textual.app import App
from textual.binding import ActiveBinding
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.screen import Screen

from lora_tui.cache.closeness import closeness
from lora_tui.config.table import THEME_NAMES
from lora_tui.tui.base_screen import FORM_STYLES, BaseScreen, dimmed_below
from lora_tui.widgets.bindings import is_typed

if TYPE_CHECKING:
    from lora_tui.tui.cache_app import CacheApp

_MOVING: Final = frozenset(
    {"move", "page", "first", "last", "scroll", "top", "bottom", "cursor"}
    | {"up", "down", "page_up", "page_down"}
)
_TEXTUAL_OWN: Final = frozenset(
    {
        "app.focus_next",
        "app.focus_previous",
        "screen.copy_text",
        "screen.minimize",
        "help_quit",
        "command_palette",
    }
)
_LEAST_MISTYPED: Final = 4
"""Letters; of fewer one can't tell what was meant."""
_NEAR: Final = 0.65
GROUPS: Final = ("In the list", "This screen", "In the chart", "Moving", "Everywhere")
"""The first group belongs to the focused widget."""


@dataclass(frozen=True)
class Action:
    """An action with all its keys."""

    active: ActiveBinding
    keys: tuple[str, ...]
    group: str
    """One of GROUPS."""

    @property
    def name(self) -> str:
        """The short name, as in the footer."""
        return self.active.binding.description

    @property
    def explanation(self) -> str:
        """The full explanation."""
        return self.active.binding.tooltip or self.active.binding.description


def actions_of(app: App[Any], screen: Screen[Any]) -> list[Action]:
    """List the actions of the focused widget, of the screen and of the application."""
    keys: dict[str, list[str]] = {}
    firsts: dict[str, ActiveBinding] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if not binding.description or binding.system or not active.enabled:
            continue
        if binding.action in _TEXTUAL_OWN or is_typed(screen, binding.key):
            continue
        first = firsts.setdefault(binding.action, active)
        if first.binding.key.startswith("ctrl+"):
            firsts[binding.action] = active
        shown = keys.setdefault(binding.action, [])
        # without the short form of the footer, where one key may stand for two
        key = app.get_key_display(replace(binding, key_display=None))
        if key not in shown:
            shown.append(key)
    actions = [
        Action(active, tuple(sorted(keys[name], key=_is_with_control)), _group(app, screen, active))
        for name, active in firsts.items()
    ]
    return sorted(actions, key=lambda action: GROUPS.index(action.group))


def grouped(actions: Iterable[Action]) -> dict[str, list[Action]]:
    """Group the actions, in their order."""
    groups: dict[str, list[Action]] = {}
    for action in actions:
        groups.setdefault(action.group, []).append(action)
    return groups


class Palette(CommandPalette, BaseScreen[None]):
    """Textual's palette over a screen that is dimmed in every theme."""

    CSS_PATH = [FORM_STYLES, "palette.tcss"]  # noqa: RUF012 - Textual's own

    def render(self) -> RenderableType:
        """The screen below, dimmed."""
        return dimmed_below(self, super().render())


class ActionCommands(Provider):
    """Offers the actions of the screen below, except for moving, and the themes."""

    async def discover(self) -> Hits:
        """All actions, before anything is typed."""
        for action in self._actions():
            yield DiscoveryHit(
                action.explanation, partial(self._run, action), help=self._help(action)
            )
        for title, choose in self._themes():
            yield DiscoveryHit(title, choose)

    async def search(self, query: str) -> Hits:
        """The actions that match; after them those that come near, as letters may be mistyped."""
        matcher = self.matcher(query)
        for action in self._actions():
            score = max(matcher.match(action.explanation), matcher.match(action.name))
            score = score or _mistyped(query, action.explanation, action.name)
            if score > 0:
                yield Hit(
                    score,
                    matcher.highlight(action.explanation),
                    partial(self._run, action),
                    help=self._help(action),
                )
        for title, choose in self._themes():
            if (score := matcher.match(title) or _mistyped(query, title)) > 0:
                yield Hit(score, matcher.highlight(title), choose)

    def _themes(self) -> Iterator[tuple[str, Callable[[], None]]]:
        app = cast("CacheApp", self.app)
        for name in THEME_NAMES:
            yield f"Theme: {name}", partial(app.choose_theme, name)

    def _actions(self) -> list[Action]:
        found = actions_of(self.app, self.screen)
        return [action for action in found if action.group != "Moving"]

    def _help(self, action: Action) -> str:
        return f"{action.name}: {', '.join(action.keys)}"

    async def _run(self, action: Action) -> None:
        await self.app.run_action(action.active.binding.action, action.active.node)


def _mistyped(query: str, *texts: str) -> float:
    """The score, below that of any text with all letters in order; 0 where none comes near."""
    if len(query) < _LEAST_MISTYPED:
        return 0
    nearest = max(closeness(query, text) for text in texts)
    return nearest if nearest >= _NEAR else 0


def _is_with_control(key: str) -> bool:
    """Sort key: plain keys come before those with ctrl."""
    return key.startswith("^")


def _group(app: App[Any], screen: Screen[Any], active: ActiveBinding) -> str:
    if active.node is app:
        return "Everywhere"
    name = active.binding.action.partition("(")[0]
    moving = name.removeprefix("cursor_") in _MOVING
    if moving:
        return "Moving"
    if (active.binding.id or "").startswith("chart."):
        return "In the chart"
    return "In the list" if active.node is screen.focused else "This screen"
