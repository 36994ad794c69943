"""A line of text to type in, which loses nothing of what is pasted or typed quickly."""

from __future__ import annotations

from typing import Final

from textual import events
from textual.binding import Binding
from textual.widgets import Input

_EDITING: Final = {
    key: binding.action
    for binding in Input.BINDINGS
    if isinstance(binding, Binding) and binding.action != "submit"
    for key in binding.key.split(",")
}
"""Keys that move in a line or delete from it, and their actions."""


class TextLine(Input):
    """Edits in the order of the keys, and joins the lines of a pasted text by blanks.

    With Textual's Input a quick `backspace 3` types first, as only letters do not take the way
    through the application; of a pasted text it takes the first line.
    """

    async def _on_key(self, event: events.Key) -> None:
        action = _EDITING.get(event.key)
        if action is None:
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()
        await self.run_action(action)

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        lines = (line.strip() for line in event.text.splitlines())
        self.replace(" ".join(line for line in lines if line), *self.selection)
