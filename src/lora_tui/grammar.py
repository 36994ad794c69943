"""The grammar of the command line: every command, its flags, and what runs it.

Like cli.py it imports nothing heavy: what a flag needs beyond text is imported where it is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lora_tui import __version__
from lora_tui.errors import UsageError
from lora_tui.examples import epilog

_SORTS = ("created", "quality", "name", "cost", "loss", "duration", "size", "perplexity")
_EVERYWHERE = {
    "profile": None,
    "config": None,
    "offline": False,
    "json": False,
    "verbose": 0,
    "no_color": False,
}
_MODEL_HELP = "an id, a unique beginning of one, or an exact name"


class _Parser(argparse.ArgumentParser):
    """Argument errors join the error family instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, remedy=f"see `{self.prog} --help`")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line's words as a call: `run` says of what. Raises UsageError."""
    arguments = build_parser().parse_args(argv, argparse.Namespace(**_EVERYWHERE))
    if arguments.command is None:
        arguments.run = "harvest:run" if arguments.harvest else "interactive:open_application"
    elif arguments.harvest:
        raise UsageError("--harvest stands alone", remedy=f"leave out `{arguments.command}`")
    return arguments


def build_parser() -> argparse.ArgumentParser:
    """The whole grammar of the command line."""
    common = _common()
    parser = _Parser(
        prog="lora-tui",
        description="Harvest, browse and download LoRA adapters kept in Supabase.",
        epilog="examples:\n"
        "  lora-tui demo                      look around, no account needed\n"
        "  lora-tui                           open the application\n"
        "  lora-tui list --sort quality       the best models, from the cache\n"
        "  lora-tui download 3f2a             fetch a model by the beginning of its id\n"
        "  lora-tui --harvest --once --json   one harvest cycle, for cron",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=f"lora-tui {__version__}")
    harvest = parser.add_argument_group("harvest")
    harvest.add_argument("--harvest", action="store_true", help="run the headless harvest worker")
    harvest.add_argument("--once", action="store_true", help="one cycle, then end")
    harvest.add_argument(
        "--interval", type=_positive, default=60, metavar="S", help="seconds between cycles (60)"
    )
    harvest.add_argument(
        "--limit", dest="limit_jobs", type=_positive, metavar="N", help="jobs a cycle"
    )
    harvest.add_argument(
        "--concurrency", type=_positive, default=1, metavar="N", help="jobs at once (1)"
    )
    harvest.add_argument("--dry-run", action="store_true", help="say what would be harvested")
    harvest.add_argument("--health-file", metavar="FILE", help="keep it fresh while alive")
    harvest.add_argument(
        "--metrics-port", type=_positive, metavar="PORT", help="Prometheus metrics on 127.0.0.1"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    demo = _command(commands, common, "demo", "interactive:demo", "the application on a sandbox")
    demo.add_argument("--reset", action="store_true", help="begin with fresh data")
    demo.add_argument("--serve-only", action="store_true", help="serve the backend, no application")
    demo.add_argument("--models", type=_positive, default=36, help="how many models to make up")

    login = _command(commands, common, "login", "account:login", "sign in and keep the session")
    login.add_argument("--email", help="who signs in; asked for where it is not given")
    logout = _command(commands, common, "logout", "account:logout", "end the session")
    cached = logout.add_mutually_exclusive_group()
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
    _command(commands, common, "whoami", "account:whoami", "who is signed in")

    sync = _command(commands, common, "sync", "deliver:sync_cache", "bring the cache up to date")
    sync.add_argument("--full", action="store_true", help="read everything again")

    listing = _command(commands, common, "list", "browse:list_models", "list models (cache)")
    listing.add_argument("--sort", choices=_SORTS, default="created")
    listing.add_argument("--reverse", action="store_true", help="turn the order around")
    listing.add_argument("--search", metavar="TEXT", help="words in name, dataset, base model")
    listing.add_argument("--quality", metavar="Q,…", help="only these: excellent,good,…")
    listing.add_argument("--min-stars", type=int, choices=range(6), default=0, metavar="N")
    listing.add_argument("--dataset", metavar="D", help="only of this dataset (name or id)")
    listing.add_argument("--preset", metavar="P", help="only trained with this preset")
    listing.add_argument("--base-model", metavar="B", help="only adapters of this base model")
    listing.add_argument("--since", metavar="DATE", help="only made on this day or later (UTC)")
    listing.add_argument("--until", metavar="DATE", help="only made on this day or before (UTC)")
    listing.add_argument("--downloaded", action="store_true", help="only what lies on this disk")
    listing.add_argument("--page", type=_positive, default=1)
    listing.add_argument("--limit", type=_positive, default=12, help="models a page (12)")
    forms = listing.add_mutually_exclusive_group()
    forms.add_argument("--csv", action="store_true", help="print CSV")
    forms.add_argument("--jsonl", action="store_true", help="print one JSON object a line")

    show = _command(commands, common, "show", "browse:show_model", "one model (cache)")
    show.add_argument("model", metavar="MODEL", help=_MODEL_HELP)

    report = _command(
        commands, common, "report", "report:report", "a model as a document to hand on (cache)"
    )
    report.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    report.add_argument("--format", choices=("md", "html"), help="Markdown, or by the name of FILE")
    report.add_argument("--output", metavar="FILE", help="write it there, not to stdout")

    comparing = _command(
        commands, common, "compare", "compare:compare_models", "2 to 6 models side by side (cache)"
    )
    comparing.add_argument("model", metavar="MODEL", nargs="+", help=_MODEL_HELP)
    comparing.add_argument("--all", action="store_true", help="also what is the same for all")
    tables = comparing.add_mutually_exclusive_group()
    tables.add_argument("--csv", action="store_true", help="print CSV")
    tables.add_argument("--markdown", action="store_true", help="print a Markdown table")

    download = _command(
        commands, common, "download", "deliver:download_model", "fetch a model, verified"
    )
    download.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    download.add_argument("file", metavar="FILE", nargs="*", help="only these files")
    download.add_argument("--to", metavar="DIR", help="the directory to put them in")
    download.add_argument("--force", action="store_true", help="replace other files of that name")
    download.add_argument(
        "--limit-rate", type=_rate, metavar="RATE", help="bytes a second at most: 800K, 5M"
    )
    download.add_argument(
        "--events", action="store_true", help="one JSON object a line and step, on stdout"
    )

    verify = _command(
        commands, common, "verify", "library:verify", "check what lies on this disk, byte by byte"
    )
    verify.add_argument("directory", metavar="DIR", nargs="?", help="instead of all downloads")
    shelf = _command(commands, common, "library", "library:library", "what lies on this disk")
    shelf.add_argument("action", nargs="?", choices=("list", "remove"), default="list")
    shelf.add_argument("model", metavar="MODEL", nargs="?", help=f"{_MODEL_HELP}, or a directory")
    shelf.add_argument("--yes", action="store_true", help="remove without asking")

    urls = _command(commands, common, "urls", "deliver:print_urls", "signed URLs, valid an hour")
    urls.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    urls.add_argument("file", metavar="FILE", nargs="*", help="only these files")

    push = _command(
        commands, common, "push", "push:push", "make a model of an adapter that was trained here"
    )
    push.add_argument("directory", metavar="DIR", help="what PEFT's save_pretrained wrote")
    push.add_argument("--dataset", metavar="D", help="what it was trained on (name or id)")
    push.add_argument("--job", metavar="JOB", help="a completed job that it is the result of")
    push.add_argument("--name", metavar="NAME", help="what to call it; else dataset and date")
    push.add_argument(
        "--metrics", metavar="FILE", help="its trainer_state.json, if it is not in DIR"
    )
    push.add_argument("--dry-run", action="store_true", help="check and say what would be sent")

    inspect = _command(
        commands, common, "inspect", "inspect:inspect", "an adapter's facts, by its header alone"
    )
    inspect.add_argument(
        "target", metavar="MODEL|FILE", help=f"a file or directory here, or {_MODEL_HELP}"
    )

    serve = _command(
        commands,
        common,
        "serve-config",
        "serve_config:serve_config",
        "the snippet that loads a model elsewhere",
    )
    serve.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    serve.add_argument(
        "--for",
        dest="program",
        choices=("vllm", "peft", "llama.cpp", "ollama"),
        required=True,
        help="what is to serve it",
    )

    _command(
        commands, common, "doctor", "doctor:doctor", "what works here, and what would mend the rest"
    )

    worker = commands.add_parser("harvest", help="how the harvest stands; retries")
    acts = worker.add_subparsers(dest="action", metavar="ACTION", required=True)
    _command(acts, common, "status", "harvest:status", "waiting, running, failed and finished jobs")
    again = _command(acts, common, "retry", "harvest:retry", "try failed jobs again")
    again.add_argument("job", metavar="JOB", nargs="*", help="an id, or a beginning of one")
    again.add_argument("--all", action="store_true", help="all that failed")

    config = _command(commands, common, "config", "upkeep:config", "the configuration in force")
    config.add_argument(
        "action", nargs="?", choices=("path", "show", "set", "profiles"), default="show"
    )
    config.add_argument("key", nargs="?", metavar="KEY", help="with `set`: url, anon_key, …")
    config.add_argument(
        "value", nargs="?", metavar="VALUE", help="`-` asks for it (secrets); '' removes the key"
    )
    cache = _command(commands, common, "cache", "upkeep:cache", "the local cache")
    cache.add_argument("action", nargs="?", choices=("info", "clear"), default="info")
    _command(commands, common, "schema", "upkeep:schema", "print the SQL migration to apply")
    completion = _command(
        commands,
        common,
        "completion",
        "completion:print_script",
        "print what teaches a shell to complete",
    )
    completion.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"))
    return parser


def _common() -> _Parser:
    """The flags that may stand before or after the command; SUPPRESS lets either place count."""
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group("everywhere")
    group.add_argument("--profile", metavar="NAME", help="the profile to use")
    group.add_argument("--config", type=Path, metavar="FILE", help="another configuration file")
    group.add_argument("--offline", action="store_true", help="never touch the network")
    group.add_argument("--json", action="store_true", help="print one JSON document")
    group.add_argument("-v", "--verbose", action="count", help="log more (-vv: everything)")
    group.add_argument("--no-color", action="store_true", help="no colours")
    return common


def _command(
    commands: argparse._SubParsersAction[_Parser],
    common: _Parser,
    name: str,
    run: str,
    summary: str,
) -> _Parser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=epilog(name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.set_defaults(run=run)
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if not 0 < value <= 1_000_000_000:
        raise ValueError
    return value


def _rate(text: str) -> float:
    from lora_tui.config import bytes_of

    return bytes_of(text)


_rate.__name__ = "rate"
_positive.__name__ = "positive number"  # argparse names it: "invalid positive number value: '0'"
