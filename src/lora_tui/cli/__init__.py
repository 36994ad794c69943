"""The command line: its grammar, its help and completion, and the way from words to one call.

May import `commands`; at module level only what `lora-tui list` needs.
"""

from lora_tui.cli.run import main

__all__ = ("main",)
