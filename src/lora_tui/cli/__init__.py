"""The command line: from words to one call, its help, its completion, its output."""

from lora_tui.cli.run import main

__all__ = ("main",)
