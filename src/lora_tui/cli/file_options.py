"""The options and arguments of the commands that read, send or serve files.

Imports only what `list` needs, like options.py.
"""

from __future__ import annotations

from argparse import ArgumentParser

from lora_tui.cli.options import MODEL_HELP, positive, wide_option

_FILE_HELP = "fetch only these files: names, or patterns in quotes ('*.json')"


def download_options(parser: ArgumentParser) -> None:
    """Add those of `download`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("file", metavar="FILE", nargs="*", default=[], help=_FILE_HELP)
    parser.add_argument("--to", metavar="DIR", help="save the files in this directory")
    parser.add_argument(
        "--force", action="store_true", help="replace different files that have the same names"
    )
    parser.add_argument(
        "--limit-rate",
        type=_rate,
        metavar="RATE",
        help="the most bytes per second: 800K, 5M",
    )
    parser.add_argument(
        "--events", action="store_true", help="print each step as a JSON object on stdout"
    )


def verify_options(parser: ArgumentParser) -> None:
    """Add those of `verify`."""
    parser.add_argument(
        "directory",
        metavar="DIR",
        nargs="?",
        help="verify only this directory, or that of @ALIAS, not all downloads",
    )


def library_options(parser: ArgumentParser) -> None:
    """Add those of `library`."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=("list", "remove"),
        default="list",
        help="list the downloaded adapters (the default), or remove one",
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", help=f"{MODEL_HELP}; or a directory")
    parser.add_argument("--yes", action="store_true", help="remove without asking")
    parser.add_argument(
        "--archived", action="store_true", help="remove those that are archived in the project"
    )
    parser.add_argument(
        "--deleted", action="store_true", help="remove those that are deleted in the project"
    )
    parser.add_argument(
        "--unload", action="store_true", help="unload it first where a server has it loaded"
    )
    wide_option(parser)


def urls_options(parser: ArgumentParser) -> None:
    """Add those of `urls`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("file", metavar="FILE", nargs="*", default=[], help=_FILE_HELP)


def push_options(parser: ArgumentParser) -> None:
    """Add those of `push`."""
    parser.add_argument(
        "directory", metavar="DIR", help="a directory written by PEFT's save_pretrained"
    )
    parser.add_argument(
        "--dataset", metavar="D", help="the dataset that it was trained on (name or id)"
    )
    parser.add_argument("--job", metavar="JOB", help="the completed job that produced it")
    parser.add_argument(
        "--name", metavar="NAME", help="the name of the model (default: dataset and date)"
    )
    parser.add_argument(
        "--metrics", metavar="FILE", help="the trainer_state.json, if it is not in DIR"
    )
    changed = parser.add_mutually_exclusive_group()
    changed.add_argument(
        "--update",
        action="store_true",
        help="change the model that has these weights: its configuration, files, name or metrics",
    )
    changed.add_argument(
        "--new-version",
        action="store_true",
        help="store a second model beside the one that has these weights",
    )
    parser.add_argument(
        "--with-training-args",
        action="store_true",
        help="send training_args.bin too, a pickle that may hold a token",
    )
    parser.add_argument(
        "--allow-secrets",
        action="store_true",
        help="send files that seem to hold a token or another secret",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check the files and print what would be sent; send nothing",
    )


def inspect_options(parser: ArgumentParser) -> None:
    """Add those of `inspect`."""
    parser.add_argument(
        "target", metavar="MODEL|FILE", help=f"a local file or directory; or {MODEL_HELP}"
    )


def spectrum_options(parser: ArgumentParser) -> None:
    """Add those of `spectrum`."""
    parser.add_argument(
        "target",
        metavar="MODEL|DIR|FILE",
        help=f"a local directory or file; or {MODEL_HELP}, of a downloaded model",
    )


def prove_options(parser: ArgumentParser) -> None:
    """Add those of `prove`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--on", metavar="SERVER", required=True, help="the server of the profile that has loaded it"
    )
    parser.add_argument(
        "--prompts",
        metavar="FILE",
        help="ask these prompts: one a line, or JSON Lines with `prompt` or `messages`",
    )
    parser.add_argument(
        "--as",
        dest="served_as",
        metavar="NAME",
        help="what the server calls it, where lora-tui has not loaded it",
    )


def serve_config_options(parser: ArgumentParser) -> None:
    """Add those of `serve-config`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--for",
        dest="program",
        choices=("vllm", "peft", "llama.cpp", "ollama"),
        required=True,
        help="the program that will load the model",
    )


def _rate(text: str) -> float:
    from lora_tui.config.kinds import bytes_of

    return bytes_of(text)


_rate.__name__ = "rate"


def serve_options(parser: ArgumentParser) -> None:
    """Add those of `serve`."""
    parser.add_argument("--port", type=positive, default=8000, help="the port to listen on (8000)")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument(
        "--allow-others", action="store_true", help="allow a --host that other machines can reach"
    )
