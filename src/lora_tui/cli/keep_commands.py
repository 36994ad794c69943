"""The commands that change one's own models in the project, with their options and help texts.

Imports only what `list` needs, like command_table.py.
"""

from __future__ import annotations

from argparse import ArgumentParser

from lora_tui.cli.command import Command
from lora_tui.cli.options import MODEL_HELP


def rename_options(parser: ArgumentParser) -> None:
    """Add those of `rename`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("new_name", metavar="NEW_NAME", help="1 to 200 characters")


def describe_options(parser: ArgumentParser) -> None:
    """Add those of `describe`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "text",
        metavar="TEXT",
        nargs="?",
        help="the description; - reads stdin, '' removes it; without TEXT it is printed",
    )


def archive_options(parser: ArgumentParser) -> None:
    """Add those of `archive`."""
    parser.add_argument("model", metavar="MODEL", nargs="+", help=MODEL_HELP)


def delete_options(parser: ArgumentParser) -> None:
    """Add those of `delete`."""
    parser.add_argument("model", metavar="MODEL", nargs="+", help=MODEL_HELP)
    parser.add_argument("--yes", action="store_true", help="do not ask")


def restore_options(parser: ArgumentParser) -> None:
    """Add those of `restore`."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="+",
        help="a deleted or archived model: its id, the start of it, its exact name, or @ALIAS",
    )


KEEP_COMMANDS = (
    Command(
        "rename",
        "keeping:rename",
        "Rename a model in the project",
        rename_options,
        examples=(("rename 3f2a9c1e 'Support, final'", "another name for everybody who sees it"),),
    ),
    Command(
        "describe",
        "keeping:describe",
        "Write the description of a model in the project",
        describe_options,
        examples=(
            ("describe 3f2a9c1e 'For the chat of the web shop'", "replace the description"),
            ("describe 3f2a9c1e -", "read it from a pipe"),
            ("describe 3f2a9c1e", "print it"),
        ),
    ),
    Command(
        "archive",
        "keeping:archive",
        "Mark models as archived in the project",
        archive_options,
        examples=(
            ("archive 3f2a9c1e 77c0d8b4", "two models; they stay in the list"),
            ("restore 3f2a9c1e", "no longer archived"),
        ),
    ),
    Command(
        "delete",
        "keeping:delete",
        "Delete models in the project (`restore` undoes it)",
        delete_options,
        examples=(
            ("delete 3f2a9c1e", "ask first"),
            ("delete 3f2a9c1e 77c0d8b4 --yes", "for a script"),
            ("list --deleted", "what can be restored"),
        ),
    ),
    Command(
        "restore",
        "keeping:restore",
        "Restore deleted or archived models",
        restore_options,
        examples=(("restore 3f2a9c1e", "the deleted model is back in the list"),),
    ),
)
"""In the order of `lora-tui --help`."""
