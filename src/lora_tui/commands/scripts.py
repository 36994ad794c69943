"""`schema`: print the SQL migration for a project; `completion`: a shell's completion script."""

from __future__ import annotations

from importlib import resources

from lora_tui.commands.context import Context
from lora_tui.errors import LoraTuiError


def schema(context: Context) -> None:
    """Print the additive SQL migration that a real project needs."""
    folder = resources.files("lora_tui") / "migrations"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name
    )
    if not files:
        raise LoraTuiError("The migration is missing from this installation")
    sql = "".join(file.read_text(encoding="utf-8") for file in files)
    if context.json:
        context.print_data({"sql": sql})
    else:
        context.out.write(sql)


def print_script(context: Context) -> None:
    """Print the script of a shell, ready to be sourced."""
    folder = resources.files("lora_tui") / "cli" / "completions"
    shell = context.arguments.shell
    script = (folder / f"lora-tui.{shell}").read_text(encoding="utf-8")
    if context.json:
        context.print_data({"shell": shell, "script": script})
    else:
        context.out.write(script)
