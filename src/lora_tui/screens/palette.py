"""The command palette: every action that applies on the screen below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from rich.console import RenderableType
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider

from lora_tui.config.preferences import THEME_NAMES
from lora_tui.screens.actions import Action, actions_of
from lora_tui.screens.base_screen import BaseScreen
from lora_tui.screens.modal import dimmed_below

if TYPE_CHECKING:
    from lora_tui.tui.cache_app import CacheApp


class Palette(CommandPalette, BaseScreen[None]):
    """Textual's own, over a screen that is dimmed in every theme."""

    def render(self) -> RenderableType:
        """What is below, dimmed."""
        return dimmed_below(self, super().render())


class ActionCommands(Provider):
    """Offers what `actions_of` the screen below finds, except moving about."""

    async def discover(self) -> Hits:
        """Everything, before anything is typed."""
        for action in self._actions():
            yield DiscoveryHit(
                action.explanation, partial(self._run, action), help=self._help(action)
            )
        for title, choose in self._themes():
            yield DiscoveryHit(title, choose)

    async def search(self, query: str) -> Hits:
        """What matches, the best first."""
        matcher = self.matcher(query)
        for action in self._actions():
            score = max(matcher.match(action.explanation), matcher.match(action.name))
            if score > 0:
                yield Hit(
                    score,
                    matcher.highlight(action.explanation),
                    partial(self._run, action),
                    help=self._help(action),
                )
        for title, choose in self._themes():
            if (score := matcher.match(title)) > 0:
                yield Hit(score, matcher.highlight(title), choose)

    def _themes(self) -> Iterator[tuple[str, Callable[[], None]]]:
        app = cast("CacheApp", self.app)
        for name in THEME_NAMES:
            yield f"Colours: {name}", partial(app.choose_theme, name)

    def _actions(self) -> list[Action]:
        found = actions_of(self.app, self.screen)
        return [action for action in found if action.group != "Moving"]

    def _help(self, action: Action) -> str:
        return f"{action.name}: {', '.join(action.keys)}"

    async def _run(self, action: Action) -> None:
        await self.app.run_action(action.active.binding.action, action.active.node)
