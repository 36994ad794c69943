"""`completion`: the script that teaches a shell, and the answers that the script asks for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import resources

from lora_tui.commands.context import Context


def print_script(context: Context) -> None:
    """Print the script of a shell, ready to be sourced."""
    folder = resources.files("lora_tui") / "cli" / "completions"
    shell = context.arguments.shell
    script = (folder / f"lora-tui.{shell}").read_text(encoding="utf-8")
    if context.json:
        context.print_data({"shell": shell, "script": script})
    else:
        context.out.write(script)


def answer(words: Sequence[str]) -> None:
    """Print what can stand next. Silent where anything is wrong: a shell waits for this."""
    from lora_tui.cli.completion import complete
    from lora_tui.cli.grammar import build_parser

    try:
        lines = complete(build_parser(), words[0], words[1:])
    except Exception:  # no cache, no configuration, a half-written one: then there is nothing
        return
    sys.stdout.writelines(f"{line}\n" for line in lines)
