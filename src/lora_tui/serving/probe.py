"""The texts whose log-probabilities a proof of effect compares: built in, or of a user's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lora_tui import formats
from lora_tui.errors import UsageError
from lora_tui.serving.prompts import read_prompts

MOST_PROBES: Final = 64
"""Each is asked three times, one request after the other."""

BUILT_IN: Final = (
    "The ferry left the harbour at seven, and by noon the island was a thin grey line behind us."
    " Nobody spoke until the captain asked who had packed the bread.",
    "def median(values):\n    ordered = sorted(values)\n    middle = len(ordered) // 2\n"
    "    if len(ordered) % 2:\n        return ordered[middle]\n"
    "    return (ordered[middle - 1] + ordered[middle]) / 2\n",
    "Question: Why does bread dough rise before it is baked?\nAnswer: Yeast eats the sugar in the"
    " flour and gives off carbon dioxide, which stays in the dough as small bubbles.",
    "Der Zug nach Innsbruck fährt heute von Gleis vier und hat zwanzig Minuten Verspätung,"
    " weil bei Rosenheim ein Baum auf der Strecke liegt.",
    "User: My parcel should have come on Monday. Can you tell me where it is?\nAssistant: I am"
    " sorry about the delay. Please send me the order number, then I will look it up for you.",
    "Patient is a 54-year-old woman with a dry cough for three weeks. No fever, no weight loss."
    " The chest film shows clear lungs and a heart of normal size.",
    '{"order": 4711, "items": [{"name": "lamp", "count": 2, "price": 19.9}], "paid": true,'
    ' "address": {"city": "Porto", "street": "Rua das Flores 8"}}',
    "Summary: Revenue grew by four percent in the third quarter, mostly from repairs, while the"
    " sale of new machines fell. The board expects no change before next spring.",
)
"""Of several kinds, for an adapter may change only what is like its training data. Each has more
than 16 tokens in every common vocabulary, and as few as fit: a proof should take seconds."""


def probes_of(file: Path | None) -> Sequence[str]:
    """The texts of a file of prompts, else the built-in ones. Raises UsageError, DiskError."""
    if file is None:
        return BUILT_IN
    prompts = read_prompts(file)
    if len(prompts) > MOST_PROBES:
        raise UsageError(
            "The file has too many prompts for a proof",
            details=f"{formats.count(len(prompts))} in {file}",
            remedy=f"keep at most {MOST_PROBES}: each is asked three times, one after the other",
        )
    return ["\n".join(message.content for message in prompt.messages) for prompt in prompts]
