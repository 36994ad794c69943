"""`completion`: print a shell's completion script."""

from __future__ import annotations

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
