"""What `--help` of each command shows to copy: a line to type, and what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXAMPLES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "demo": (
        ("demo", "the application with made-up data"),
        ("demo --serve-only", "its backend alone, for another shell"),
    ),
    "login": (
        ("login", "asks for e-mail and password"),
        ("login --email me@example.com --profile work", "to another project"),
    ),
    "logout": (("logout --clear-cache", "and forget the cached models"),),
    "whoami": (("whoami --json", "id, e-mail, profile and project"),),
    "sync": (
        ("sync", "what changed since the last time"),
        ("sync --full", "everything"),
    ),
    "list": (
        ("list --sort quality --min-stars 4", "the best"),
        ("list --search support --csv", "as a table for a spreadsheet"),
        ("list --json --limit 100 --page 2", "for a script"),
        ("list --jsonl --limit 1000", "one object a line, for jq and the like"),
    ),
    "show": (("show 3f2a", "by the beginning of its id"),),
    "report": (
        ("report 3f2a --output model.html", "one page, with the loss curve"),
        ("report 3f2a", "Markdown, on stdout"),
    ),
    "compare": (("compare 3f2a 77c0 --markdown", "two models, as a Markdown table"),),
    "download": (
        ("download 3f2a", "all its files, verified"),
        ("download 3f2a adapter_config.json --to .", "one file, here"),
        ("download 3f2a '*.json'", "those whose names fit a pattern"),
        ("download 3f2a --limit-rate 5M", "leaving room for others"),
    ),
    "verify": (("verify ./adapters", "checksums and structure of what is in there"),),
    "library": (("library", "the adapters on this disk"),),
    "urls": (("urls 3f2a adapter_model.safetensors", "a link for curl or aria2c"),),
    "inspect": (
        ("inspect 3f2a", "of a model in the bucket, without downloading it"),
        ("inspect ./adapter_model.safetensors", "of a file here"),
        ("inspect ./my-adapter --json", "of a directory, for a script"),
    ),
    "push": (
        ("push ./out --dataset 'Customer Support Emails' --dry-run", "check it, send nothing"),
        ("push ./out --dataset 'Customer Support Emails'", "with the metrics in there"),
        ("push ./out --job 3f2a9c1e-5b0a-4d6a-8d4c-0a1b2c3d4e5f", "of a job whose result was lost"),
    ),
    "serve-config": (
        ("serve-config 3f2a --for vllm", "a command to paste"),
        ("serve-config 3f2a --for ollama", "a Modelfile"),
    ),
    "serve": (
        ("serve", "prints the link to open; ends with Ctrl+C"),
        ("serve --port 8123 --offline", "what is in the cache, elsewhere"),
    ),
    "doctor": (
        ("doctor", "0 where all is well, 7 where a check failed; changes nothing"),
        ("doctor --offline", "this machine only"),
        ("doctor --json", "for a script"),
    ),
    "status": (("harvest status", "what waits, runs, failed and was finished"),),
    "retry": (("harvest retry --all", "try all failed jobs again"),),
    "config": (
        ("config", "what is in force, secrets masked"),
        ("config set url https://project.supabase.co", "in [profiles.default]"),
        ("config set service_key - --profile work", "asks for it, so that nobody sees it"),
    ),
    "cache": (("cache clear", "remove it; the next sync brings it back"),),
    "schema": (("schema", "SQL for the project's editor; it only adds"),),
    "completion": (
        ("completion bash", "source <(…) in ~/.bashrc"),
        ("completion zsh", "source <(…) in ~/.zshrc, after compinit"),
        ("completion fish", "> ~/.config/fish/completions/lora-tui.fish"),
    ),
}
"""By the name of the command, without `lora-tui`."""


def epilog(command: str) -> str | None:
    """The examples of a command as `--help` shows them; None where there are none."""
    lines = EXAMPLES.get(command)
    if not lines:
        return None
    width = max(len(line) for line, _ in lines)
    return "\n".join(
        ["examples:", *(f"  lora-tui {line:<{width}}  {what}" for line, what in lines)]
    )
