"""The options of `lora-tui sql`; loaded only with that command."""

from __future__ import annotations

from argparse import ArgumentParser

from lora_tui.cli.options import positive, wide_option


def sql_options(parser: ArgumentParser) -> None:
    """Add those of `sql`."""
    parser.add_argument(
        "query",
        nargs="?",
        metavar="QUERY",
        help="the query, one SELECT; `-` or nothing reads it from stdin",
    )
    parser.add_argument(
        "--schema", action="store_true", help="list the views, their columns and what they mean"
    )
    parser.add_argument(
        "--timeout",
        type=positive,
        default=30,
        metavar="SECONDS",
        help="stop a query that takes longer (30)",
    )
    wide_option(parser)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--csv", action="store_true", help="print CSV")
    forms.add_argument("--jsonl", action="store_true", help="print one JSON object per row")
