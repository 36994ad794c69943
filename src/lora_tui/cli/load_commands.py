"""The commands that load models into servers, with their options and help texts.

Imports only what `list` needs, like command_table.py.
"""

from __future__ import annotations

from argparse import ArgumentParser

from lora_tui.cli.command import Command
from lora_tui.cli.options import MODEL_HELP

SERVER_HELP = "the name of a server, as `lora-tui servers` shows it"


def load_options(parser: ArgumentParser) -> None:
    """Add those of `load`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--to", metavar="SERVER", required=True, help=SERVER_HELP)
    parser.add_argument(
        "--as", dest="name", metavar="NAME", help="its name on the server, in place of our own"
    )
    parser.add_argument(
        "--no-proof", action="store_true", help="do not prove that it changes the answers"
    )
    parser.add_argument(
        "--anyway", action="store_true", help="try also what the server is known to refuse"
    )
    parser.add_argument(
        "--via",
        metavar="COMMAND",
        help="fetch the files on the server's machine, over a shell that COMMAND opens there:"
        " 'ssh gpu-1'",
    )
    parser.add_argument(
        "--remote", metavar="DIR", help="the directory for adapters on the server's machine"
    )
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--script",
        action="store_true",
        help="only print the script that fetches the files there; it has secret links",
    )
    ways.add_argument(
        "--delivered",
        action="store_true",
        help="the printed script was run there: the files are in DIR already",
    )
    parser.add_argument("--yes", action="store_true", help="run the script without asking")


def unload_options(parser: ArgumentParser) -> None:
    """Add those of `unload`."""
    parser.add_argument("model", metavar="MODEL", nargs="?", help=MODEL_HELP)
    parser.add_argument("--from", dest="server", metavar="SERVER", help=SERVER_HELP)
    parser.add_argument(
        "--all",
        action="store_true",
        help="MODEL from every server; without MODEL every model from SERVER",
    )
    parser.add_argument(
        "--forget",
        action="store_true",
        help="ask no server: it is gone, so nothing reads the files any more",
    )


LOAD_COMMANDS = (
    Command(
        "load",
        "load:load_model",
        "Load a model into a server, and prove that it changes the answers",
        load_options,
        examples=(
            ("load 3f2a9c1e --to gpu-1", "deliver, load, prove"),
            ("load @champion --to gpu-1 --as support", "under a name of your own"),
            (
                "load 3f2a9c1e --to gpu-1 --via 'ssh gpu-1' --remote /srv/adapters",
                "the files are fetched there",
            ),
            (
                "load 3f2a9c1e --to gpu-1 --remote /srv/adapters --script",
                "print the script, to look at it or to run it yourself",
            ),
        ),
    ),
    Command(
        "unload",
        "load:unload_model",
        "Unload a model from a server",
        unload_options,
        examples=(
            ("unload 3f2a9c1e --from gpu-1", "its files may be removed then"),
            ("unload 3f2a9c1e --all", "from every server"),
            ("unload --all --from gpu-1", "everything that you have loaded there"),
            ("unload 3f2a9c1e --from gpu-1 --forget", "the server is gone for good"),
        ),
    ),
)
"""In the order of `lora-tui --help`."""
