"""The commands for servers that answer prompts with adapters, with their options and help texts.

Imports only what `list` needs, like command_table.py.
"""

from __future__ import annotations

from argparse import ArgumentParser

from lora_tui.cli.command import Command

SERVER_HELP = "the name of a server, as `lora-tui servers` shows it"


def add_server_options(parser: ArgumentParser) -> None:
    """Add those of `servers add`."""
    parser.add_argument(
        "server", metavar="NAME", help="its name here: letters, digits, dots, - and _"
    )
    parser.add_argument("url", metavar="URL", help="its address, such as http://gpu-1:8000")
    parser.add_argument(
        "--kind", choices=("vllm", "llama.cpp"), help="what runs there; asked for if not given"
    )
    parser.add_argument(
        "--local", metavar="DIR", help="a directory of this machine that the server sees too"
    )
    parser.add_argument("--remote", metavar="PATH", help="the path of that directory there")
    parser.add_argument(
        "--via", metavar="COMMAND", help="opens a shell on its machine, such as 'ssh gpu-1'"
    )
    parser.add_argument(
        "--key", metavar="-", help="ask for its key, or read it from stdin; kept in the keyring"
    )
    parser.add_argument(
        "--force", action="store_true", help="change a server of this name; the rest stays"
    )


def remove_server_options(parser: ArgumentParser) -> None:
    """Add those of `servers remove`."""
    parser.add_argument("server", metavar="SERVER", help=SERVER_HELP)
    parser.add_argument(
        "--force", action="store_true", help="also if models are loaded there; they are forgotten"
    )


SERVER_COMMANDS = (
    Command(
        "servers",
        "servers:list_servers",
        "List servers that load adapters, and what each has loaded",
        examples=(
            ("servers", "ask each of them"),
            ("servers --offline", "what they said when they were last asked"),
            ("servers add gpu-1 http://gpu-1:8000", "vLLM or llama-server, found by asking"),
            ("servers remove gpu-1", "and its key"),
        ),
        inner=(
            Command(
                "list",
                "servers:list_servers",
                "List servers that load adapters, and what each has loaded",
                examples=(("servers list --json", "for a script"),),
            ),
            Command(
                "add",
                "servers:add",
                "Add a server, or change one",
                add_server_options,
                examples=(
                    ("servers add gpu-1 http://gpu-1:8000", "what runs there is asked"),
                    ("servers add gpu-1 https://gpu.example --key -", "with a key, asked for"),
                    (
                        "servers add gpu-1 http://gpu-1:8000 --local /mnt/lora --remote /lora",
                        "a shared directory, and its path there",
                    ),
                    (
                        "servers add gpu-1 http://gpu-1:8000 --via 'ssh gpu-1'",
                        "files are fetched there",
                    ),
                ),
            ),
            Command(
                "remove",
                "servers:remove",
                "Remove a server and its key; nothing is asked of it",
                remove_server_options,
                examples=(("servers remove gpu-1", "refused while models are loaded there"),),
            ),
        ),
    ),
)
"""In the order of `lora-tui --help`."""
