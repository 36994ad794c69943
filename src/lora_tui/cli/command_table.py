"""Every command of the command line: what runs it, its summary, and what it takes.

Nothing is imported but what `list` needs, not even `typing` or `dataclasses`
(docs/architecture.md, "How fast `list` is"). What an argument needs beyond text is imported where
it is read.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable

_SORTS = ("created", "quality", "name", "cost", "loss", "duration", "size", "perplexity")
_MODEL_HELP = "an id, a unique beginning of one, or an exact name"
_FILE_HELP = "only these files: names, or patterns in quotes ('*.json')"


def positive(text: str) -> int:
    """A whole number from 1 on, as an argument's `type`."""
    value = int(text)
    if not 0 < value <= 1_000_000_000:
        raise ValueError
    return value


positive.__name__ = "positive number"  # argparse names it: "invalid positive number value: '0'"


def no_arguments(parser: ArgumentParser) -> None:
    """Of a command that takes the flags of everywhere alone."""


class Command:
    """One word after `lora-tui`."""

    def __init__(
        self,
        name: str,
        run: str,
        summary: str,
        add_arguments: Callable[[ArgumentParser], None] = no_arguments,
        inner: tuple[Command, ...] = (),
    ) -> None:
        self.name = name
        self.run = run
        """`module:function` in lora_tui.commands; empty where `inner` says what runs."""
        self.summary = summary
        self.add_arguments = add_arguments
        self.inner = inner
        """The words that may come next."""


def _demo(parser: ArgumentParser) -> None:
    parser.add_argument("--reset", action="store_true", help="start with new data")
    parser.add_argument(
        "--serve-only", action="store_true", help="serve the backend, no application"
    )
    parser.add_argument("--models", type=positive, default=36, help="number of generated models")


def _login(parser: ArgumentParser) -> None:
    parser.add_argument("--email", help="e-mail address; asked for if not given")


def _logout(parser: ArgumentParser) -> None:
    cached = parser.add_mutually_exclusive_group()
    cached.add_argument(
        "--clear-cache", action="store_true", default=None, help="remove the cached data too"
    )
    cached.add_argument(
        "--keep-cache",
        action="store_false",
        dest="clear_cache",
        default=None,
        help="keep it for the next login (asked on a terminal)",
    )


def _sync(parser: ArgumentParser) -> None:
    parser.add_argument("--full", action="store_true", help="read everything again")


def _list(parser: ArgumentParser) -> None:
    parser.add_argument("--sort", choices=_SORTS, default="created")
    parser.add_argument("--reverse", action="store_true", help="reverse the order")
    parser.add_argument(
        "--search",
        metavar="TEXT",
        help="words of the name, dataset or base model, or the start of an id",
    )
    parser.add_argument("--quality", metavar="Q,…", help="only these: excellent,good,…")
    parser.add_argument("--min-stars", type=int, choices=range(6), default=0, metavar="N")
    parser.add_argument("--dataset", metavar="D", help="only of this dataset (name or id)")
    parser.add_argument("--preset", metavar="P", help="only trained with this preset")
    parser.add_argument("--base-model", metavar="B", help="only adapters of this base model")
    parser.add_argument(
        "--since",
        metavar="DATE",
        help="only models created on this day or later, or from a moment like 2026-11-23T15:54 on",
    )
    parser.add_argument(
        "--until",
        metavar="DATE",
        help="only models created on this day or before, or before a moment like 2026-11-23T15:54",
    )
    parser.add_argument(
        "--downloaded", action="store_true", help="only models downloaded to this disk"
    )
    parser.add_argument("--page", type=positive, default=1)
    parser.add_argument("--limit", type=positive, default=12, help="models a page (12)")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--csv", action="store_true", help="print CSV")
    forms.add_argument("--jsonl", action="store_true", help="print one JSON object a line")


def _show(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=_MODEL_HELP)


def _report(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    parser.add_argument("--format", choices=("md", "html"), help="Markdown, or by the name of FILE")
    parser.add_argument("--output", metavar="FILE", help="write it there, not to stdout")


def _compare(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="+", help=_MODEL_HELP)
    parser.add_argument(
        "--all", action="store_true", help="also rows that are equal for all models"
    )
    tables = parser.add_mutually_exclusive_group()
    tables.add_argument("--csv", action="store_true", help="print CSV")
    tables.add_argument("--markdown", action="store_true", help="print a Markdown table")


def _download(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    parser.add_argument("file", metavar="FILE", nargs="*", help=_FILE_HELP)
    parser.add_argument("--to", metavar="DIR", help="the directory to put them in")
    parser.add_argument("--force", action="store_true", help="replace other files of that name")
    parser.add_argument(
        "--limit-rate", type=_rate, metavar="RATE", help="bytes a second at most: 800K, 5M"
    )
    parser.add_argument(
        "--events", action="store_true", help="print one JSON object for each step, on stdout"
    )


def _verify(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", nargs="?", help="instead of all downloads")


def _library(parser: ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("list", "remove"), default="list")
    parser.add_argument("model", metavar="MODEL", nargs="?", help=f"{_MODEL_HELP}, or a directory")
    parser.add_argument("--yes", action="store_true", help="remove without asking")


def _urls(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    parser.add_argument("file", metavar="FILE", nargs="*", help=_FILE_HELP)


def _push(parser: ArgumentParser) -> None:
    parser.add_argument(
        "directory", metavar="DIR", help="a directory written by PEFT's save_pretrained"
    )
    parser.add_argument("--dataset", metavar="D", help="the training dataset (name or id)")
    parser.add_argument("--job", metavar="JOB", help="the completed job that produced it")
    parser.add_argument("--name", metavar="NAME", help="its name (default: dataset and date)")
    parser.add_argument(
        "--metrics", metavar="FILE", help="its trainer_state.json, if it is not in DIR"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check, and print what would be sent"
    )


def _inspect(parser: ArgumentParser) -> None:
    parser.add_argument(
        "target", metavar="MODEL|FILE", help=f"a file or directory here, or {_MODEL_HELP}"
    )


def _serve_config(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    parser.add_argument(
        "--for",
        dest="program",
        choices=("vllm", "peft", "llama.cpp", "ollama"),
        required=True,
        help="the program that serves it",
    )


def _retry(parser: ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", nargs="*", help="an id, or the start of one")
    parser.add_argument("--all", action="store_true", help="all failed jobs")


def _config(parser: ArgumentParser) -> None:
    parser.add_argument(
        "action", nargs="?", choices=("path", "show", "set", "profiles", "keys"), default="show"
    )
    parser.add_argument("key", nargs="?", metavar="KEY", help="with `set`: url, anon_key, …")
    parser.add_argument(
        "value", nargs="?", metavar="VALUE", help="`-` asks for it (secrets); '' removes the key"
    )


def _cache(parser: ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("info", "clear"), default="info")


def _completion(parser: ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"))


def _rate(text: str) -> float:
    from lora_tui.config.profile import bytes_of

    return bytes_of(text)


_rate.__name__ = "rate"


def _serve(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=positive, default=8000, help="where to listen (8000)")
    parser.add_argument("--host", default="127.0.0.1", help="which address (127.0.0.1)")
    parser.add_argument(
        "--allow-others", action="store_true", help="let --host be reachable from other machines"
    )


_HARVEST = (
    Command("status", "harvest:status", "waiting, running, failed and finished jobs"),
    Command("retry", "harvest:retry", "try failed jobs again", _retry),
)

COMMANDS = (
    Command("demo", "interactive:demo", "the application on a sandbox", _demo),
    Command("login", "account:login", "sign in and keep the session", _login),
    Command("logout", "account:logout", "end the session", _logout),
    Command("whoami", "account:whoami", "who is signed in"),
    Command("sync", "deliver:sync_cache", "bring the cache up to date", _sync),
    Command("list", "list:list_models", "list models (cache)", _list),
    Command("show", "show:show_model", "one model (cache)", _show),
    Command("report", "report:report", "export a model as a document (cache)", _report),
    Command("compare", "compare:compare_models", "2 to 6 models side by side (cache)", _compare),
    Command("download", "deliver:download_model", "fetch a model, verified", _download),
    Command("verify", "library:verify", "verify the downloaded files, byte by byte", _verify),
    Command("library", "library:library", "list or remove downloaded adapters", _library),
    Command("urls", "deliver:print_urls", "signed URLs, valid an hour", _urls),
    Command("push", "push:push", "upload a locally trained adapter as a model", _push),
    Command("inspect", "inspect:inspect", "show an adapter's metadata from its header", _inspect),
    Command(
        "serve-config",
        "serve_config:serve_config",
        "print a snippet that loads a model in another program",
        _serve_config,
    ),
    Command("serve", "serve:serve", "the application in a browser of this machine", _serve),
    Command("doctor", "doctor:doctor", "check the setup and suggest fixes"),
    Command("harvest", "", "show the harvest's state; retry jobs", inner=_HARVEST),
    Command("config", "upkeep:config", "the configuration in force", _config),
    Command("cache", "upkeep:cache", "the local cache", _cache),
    Command("schema", "upkeep:schema", "print the SQL migration to apply"),
    Command(
        "completion",
        "completion:print_script",
        "print a shell completion script",
        _completion,
    ),
)
"""In the order of `lora-tui --help`."""
