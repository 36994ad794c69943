"""What a command of `lora-tui` is: what runs it, its summary, its options, and examples to copy.

Imports only what `list` needs, not even `typing` or `dataclasses`.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable


def no_arguments(parser: ArgumentParser) -> None:
    """Add nothing: the command takes only the options of every command."""


class Command:
    """One command of `lora-tui`, or one subcommand."""

    def __init__(
        self,
        name: str,
        run: str,
        summary: str,
        add_arguments: Callable[[ArgumentParser], None] = no_arguments,
        *,
        examples: tuple[tuple[str, str], ...] = (),
        inner: tuple[Command, ...] = (),
    ) -> None:
        self.name = name
        self.run = run
        """`module:function` in lora_tui.commands; empty if it needs a subcommand."""
        self.summary = summary
        """A sentence in the imperative, without its full stop."""
        self.add_arguments = add_arguments
        self.examples = examples
        """Command lines without `lora-tui`, each with what it does."""
        self.inner = inner
        """The subcommands."""
