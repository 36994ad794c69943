"""The commands for one's own marks of models, with their options and help texts.

Imports only what `list` needs, like command_table.py.
"""

from __future__ import annotations

from argparse import ArgumentParser

from lora_tui.cli.command import Command
from lora_tui.cli.options import MODEL_HELP


def favorite_options(parser: ArgumentParser) -> None:
    """Add those of `favorite`."""
    parser.add_argument("model", metavar="MODEL", nargs="+", help=MODEL_HELP)
    parser.add_argument("--remove", action="store_true", help="no longer a favorite")


def tag_options(parser: ArgumentParser) -> None:
    """Add those of `tag`."""
    parser.add_argument("model", metavar="MODEL", help=f"{MODEL_HELP}; or `list` for all tags")
    parser.add_argument(
        "tag",
        metavar="TAG",
        nargs="*",
        default=[],
        help="letters, digits, dots and - _ /; without TAG the tags of MODEL are printed",
    )
    parser.add_argument("--remove", action="store_true", help="remove these tags")


def note_options(parser: ArgumentParser) -> None:
    """Add those of `note`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "text",
        metavar="TEXT",
        nargs="?",
        help="the note; without it $EDITOR opens, or stdin is read if it is no terminal",
    )
    parser.add_argument("--remove", action="store_true", help="remove the note")


def alias_options(parser: ArgumentParser) -> None:
    """Add those of `alias remove` and `alias history`."""
    parser.add_argument("alias", metavar="NAME", help="the alias, with or without its @")


def set_alias_options(parser: ArgumentParser) -> None:
    """Add those of `alias set`."""
    parser.add_argument(
        "alias",
        metavar="NAME",
        help="the alias: letters, digits, dots and - _; @NAME names the model",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)


def export_options(parser: ArgumentParser) -> None:
    """Add those of `marks export`."""
    parser.add_argument("file", metavar="FILE", nargs="?", help="write to FILE instead of stdout")


def import_options(parser: ArgumentParser) -> None:
    """Add those of `marks import`."""
    parser.add_argument("file", metavar="FILE", help="what `marks export` wrote; - reads stdin")
    parser.add_argument(
        "--replace", action="store_true", help="replace your marks, in place of adding to them"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would happen; change nothing"
    )


MARK_COMMANDS = (
    Command(
        "favorite",
        "own_marks:favorite",
        "Make models your favorites (kept on this machine)",
        favorite_options,
        examples=(
            ("favorite 3f2a9c1e 77c0d8b4", "two favorites"),
            ("favorite 3f2a9c1e --remove", "one less"),
        ),
    ),
    Command(
        "tag",
        "own_marks:tag",
        "Add tags to a model, or list them (kept on this machine)",
        tag_options,
        examples=(
            ("tag 3f2a9c1e candidate customer/acme", "two tags"),
            ("tag 3f2a9c1e candidate --remove", "one less"),
            ("tag list", "all tags, with the number of their models"),
        ),
    ),
    Command(
        "note",
        "own_marks:note",
        "Write a note about a model (kept on this machine)",
        note_options,
        examples=(
            ("note 3f2a9c1e 'forgets greetings'", "replace the note"),
            ("note 3f2a9c1e", "edit it in $EDITOR, or read it from a pipe"),
            ("note 3f2a9c1e --remove", "remove it"),
        ),
    ),
    Command(
        "alias",
        "",
        "Name models, as production, and move the names (kept on this machine)",
        examples=(
            ("alias set production 3f2a9c1e", "then @production stands wherever a model does"),
            ("download @production", "download what it names now"),
            ("alias list", "all aliases and their models"),
            ("alias history production", "which models it named, and since when"),
            ("alias remove production", "its history stays"),
        ),
        inner=(
            Command(
                "set",
                "aliases:set_alias",
                "Let an alias name a model",
                set_alias_options,
                examples=(("alias set production 3f2a9c1e", "move it to this model"),),
            ),
            Command(
                "list",
                "aliases:list_aliases",
                "List the aliases with their models",
                examples=(("alias list --json", "for a script"),),
            ),
            Command(
                "history",
                "aliases:alias_history",
                "Show which models an alias named, and since when",
                alias_options,
                examples=(("alias history production", "the newest first"),),
            ),
            Command(
                "remove",
                "aliases:remove_alias",
                "Remove an alias; its history stays",
                alias_options,
                examples=(("alias remove production", "@production names nothing then"),),
            ),
        ),
    ),
    Command(
        "marks",
        "",
        "Export and import favorites, tags, notes and aliases",
        examples=(
            ("marks export marks.json", "a file for git"),
            ("marks import marks.json --dry-run", "what a merge would do"),
        ),
        inner=(
            Command(
                "export",
                "marks_file:export_marks",
                "Write your marks as JSON",
                export_options,
                examples=(("marks export marks.json", "a file for git"),),
            ),
            Command(
                "import",
                "marks_file:import_marks",
                "Merge the marks of a file into yours",
                import_options,
                examples=(
                    ("marks import marks.json --dry-run", "what a merge would do"),
                    ("marks import marks.json", "merge them: nothing of yours is lost"),
                    ("marks import marks.json --replace", "yours are as the file then"),
                ),
            ),
        ),
    ),
)
"""In the order of `lora-tui --help`."""
