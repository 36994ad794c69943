"""The command palette: every action that applies on the screen below it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from textual.binding import ActiveBinding
from textual.command import DiscoveryHit, Hit, Hits, Provider


class ActionCommands(Provider):
    """Offers the active bindings of the screen, each once, by their descriptions."""

    async def discover(self) -> Hits:
        """Everything, before anything is typed."""
        for active in self._actions():
            yield DiscoveryHit(
                active.binding.description,
                partial(self._run, active),
                help=self._help(active),
            )

    async def search(self, query: str) -> Hits:
        """What matches, the best first."""
        matcher = self.matcher(query)
        for active in self._actions():
            description = active.binding.description
            score = matcher.match(description)
            if score > 0:
                yield Hit(
                    score,
                    matcher.highlight(description),
                    partial(self._run, active),
                    help=self._help(active),
                )

    def _actions(self) -> Iterator[ActiveBinding]:
        seen = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if not binding.description or binding.system or not active.enabled:
                continue
            if binding.action in seen or binding.action == "command_palette":
                continue
            seen.add(binding.action)
            yield active

    def _help(self, active: ActiveBinding) -> str:
        return f"key: {self.app.get_key_display(active.binding)}"

    async def _run(self, active: ActiveBinding) -> None:
        await self.app.run_action(active.binding.action, active.node)
