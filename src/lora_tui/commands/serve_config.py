"""The command `serve-config`: prints the snippet that loads a model into a server."""

from __future__ import annotations

from lora_tui.adapters.served import served_adapter
from lora_tui.adapters.serving_remarks import remarks
from lora_tui.adapters.snippets import (
    PLACEHOLDER_BASE,
    PLACEHOLDER_DIRECTORY,
    ServedAdapter,
    snippet,
)
from lora_tui.cache import models
from lora_tui.cache.downloaded import downloaded_to
from lora_tui.commands.context import Context, resolve
from lora_tui.library.served import find_directory
from lora_tui.text import terminal_safe
from lora_tui.transfers.model_directory import is_outdated, model_directory


def serve_config(context: Context) -> None:
    """Print the snippet on stdout and what is still missing on stderr; uses no network."""
    program = context.arguments.program
    with context.cache() as db:
        model = models.require_model(db, resolve(db, context.arguments.model).id)
        noted = downloaded_to(db, model.id)
    downloads = context.profile.downloads_dir
    directory = find_directory(
        model.id,
        noted,
        model_directory(model, downloads),
        model_directory(model, downloads, replace=True),  # an earlier version is better than none
    )
    served = served_adapter(model, directory)
    text = snippet(served, program)
    warnings = remarks(served, program)
    if context.json:
        context.print_data(
            {
                "model_id": model.id,
                "model_name": model.name,
                "for": program,
                "snippet": text,
                "directory": None if directory is None else str(directory),
                "base_model": None if served.base_name == PLACEHOLDER_BASE else served.base_name,
                "rank": served.rank,
                "remarks": list(warnings),
            }
        )
        return
    context.out.write(text)
    for warning in warnings:
        context.say(warning)
    if directory is None:
        context.say(
            f"The model was not downloaded: run `lora-tui download {model.id[:8]}`, then repeat"
            f" this command. {PLACEHOLDER_DIRECTORY} is a placeholder for its directory; nothing"
            " is known of its task and of what a server may refuse."
        )
    elif is_outdated(model, directory):
        context.say(
            "These files belong to an earlier version of the model:"
            f" `lora-tui download {model.id[:8]} --to DIR` downloads the current one."
        )
    if PLACEHOLDER_BASE in text:
        context.say(
            f"{PLACEHOLDER_BASE} is a placeholder: replace it {_replacement(served, program)}."
        )


def _replacement(served: ServedAdapter, program: str) -> str:
    """What belongs in the place of the base model's placeholder, and why."""
    base = served.base_name
    if base == PLACEHOLDER_BASE:
        named = terminal_safe(served.base_model, limit=120)
        return "by the name of the base model, " + (
            f"which the adapter calls {named}: that is not a plain organisation/name"
            if named
            else "which the adapter does not name"
        )
    if program == "ollama":
        return f"by the name that Ollama has for {base} (`ollama list`), or a directory with it"
    return f"by the path of {base} as a GGUF file, without .gguf"
