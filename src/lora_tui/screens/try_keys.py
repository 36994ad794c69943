"""The keys of Try."""

from __future__ import annotations

from typing import Final

from textual.binding import BindingType

from lora_tui.domain.answers import LETTERS, MOST_MODELS
from lora_tui.widgets.bindings import bound

TRY_KEYS: Final[tuple[BindingType, ...]] = (
    bound("screen.back", "back", "Back"),
    bound("try.ask", "ask", "Prompt", tooltip="Type a prompt, or change this one"),
    bound(
        *("try.choose_1", "choose(1)", "Best"),
        key_display="1-7",
        tooltip="This answer is the best",
    ),
    *(
        bound(f"try.choose_{n}", f"choose({n})", f"Answer {LETTERS[n - 1]} is best", show=False)
        for n in range(2, MOST_MODELS + 1)
    ),
    bound("try.tie", "choose(0)", "Tie", tooltip="None is better than the others"),
    bound("try.skip", "skip", "Names", tooltip="Show the names without a choice"),
    bound("try.blind", "blind", "Blind", tooltip="Hide the names until you choose, or not"),
    bound("try.next", "next", "Next", tooltip="Ask the next prompt of the file"),
    bound("try.load", "load", "Load", tooltip="Load the models that this server has not"),
    bound(
        *("try.settings", "settings", "Options"),
        tooltip="Choose system message, temperature, seed and length of the answers",
    ),
    bound("try.server", "server", "Server", tooltip="Choose the server that is asked"),
    bound("try.right", "page(1)", "Right", show=False, tooltip="Show the columns at the right"),
    bound("try.left", "page(-1)", "Left", show=False, tooltip="Show the columns at the left"),
    bound(
        *("try.markdown", "export('md')", "Export"),
        tooltip="Write the prompts and answers so far as Markdown",
    ),
    bound(
        *("try.jsonl", "export('jsonl')", "JSONL"),
        show=False,
        tooltip="Write the prompts and answers so far as JSONL, for programs",
    ),
    bound("try.copy", "copy", "Copy", show=False, tooltip="Copy them as Markdown"),
    bound("scroll.down", "scroll(1)", "Down", show=False),
    bound("scroll.up", "scroll(-1)", "Up", show=False),
    bound("scroll.page_down", "scroll_page(1)", "Next page", show=False),
    bound("scroll.page_up", "scroll_page(-1)", "Previous page", show=False),
    bound("scroll.top", "scroll_to(False)", "To the top", show=False),
    bound("scroll.bottom", "scroll_to(True)", "To the bottom", show=False),
)
