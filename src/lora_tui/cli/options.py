"""The options and arguments of commands, with their help texts; file_options.py has the rest.

Imports only what `list` needs, not even `typing` or `dataclasses` (docs/architecture.md, "Fast
lists, first frame, and `list`"). What the type of an argument needs is imported when the argument
is read.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError

FREE_TEXTS = ("VALUE", "TEXT", "QUERY")
"""The metavars of arguments that may begin with a dash."""
MODEL_HELP = "the id of a model, the start of one, an exact name, or @ALIAS"


def positive(text: str) -> int:
    """Parse a whole number from 1 to 1,000,000,000; the `type` of an argument."""
    value = int(text)
    if value > 1_000_000_000:
        raise ArgumentTypeError("must be at most 1,000,000,000")
    if value < 1:
        raise ValueError
    return value


positive.__name__ = "positive number"  # argparse names it: "invalid positive number value: '0'"


def days(text: str) -> int:
    """Parse a number of days, from 1 to 3,650; the `type` of an argument."""
    value = positive(text)
    if value > 3_650:
        raise ArgumentTypeError("must be at most 3,650 days")
    return value


days.__name__ = "number of days"


def size(text: str) -> int:
    """Parse an amount of bytes: `500M`, `4G`; the `type` of an argument."""
    from lora_tui.config.kinds import bytes_of  # late: most commands parse no size

    return int(bytes_of(text))


size.__name__ = "amount of bytes"


def demo_options(parser: ArgumentParser) -> None:
    """Add those of `demo`."""
    parser.add_argument(
        "--reset", action="store_true", help="delete the data and generate it again"
    )
    parser.add_argument(
        "--serve-only", action="store_true", help="only run the backend, without the application"
    )
    parser.add_argument(
        "--hostile",
        action="store_true",
        help="generate hostile names, paths and JSON too, in a demo of its own",
    )
    parser.add_argument(
        "--models", type=positive, default=36, metavar="N", help="generate N models (36)"
    )


def login_options(parser: ArgumentParser) -> None:
    """Add those of `login`."""
    parser.add_argument("--email", help="the e-mail address; asked for if not given")


def logout_options(parser: ArgumentParser) -> None:
    """Add those of `logout`."""
    cached = parser.add_mutually_exclusive_group()
    cached.add_argument(
        "--clear-cache", action="store_true", default=None, help="also remove the cached data"
    )
    cached.add_argument(
        "--keep-cache",
        action="store_false",
        dest="clear_cache",
        default=None,
        help="keep the cached data for the next login; without these options, ask",
    )


def sync_options(parser: ArgumentParser) -> None:
    """Add those of `sync`."""
    parser.add_argument(
        "--full", action="store_true", help="read all rows again, not only the changed ones"
    )


def list_options(parser: ArgumentParser) -> None:
    """Add those of `list`."""
    parser.add_argument(
        "--view", metavar="NAME", help="the saved view of this name; other options override it"
    )
    narrowing_options(parser)
    parser.add_argument(
        "--page", type=positive, default=1, metavar="N", help="the page to print (1)"
    )
    parser.add_argument(
        "--limit", type=positive, default=12, metavar="N", help="models per page (12)"
    )
    parser.add_argument(
        "--deleted", action="store_true", help="only deleted models, the newest deletion first"
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--csv", action="store_true", help="print CSV")
    forms.add_argument("--jsonl", action="store_true", help="print one JSON object per line")
    wide_option(parser)


def narrowing_options(parser: ArgumentParser) -> None:
    """Add order, filters and columns of models; None where an option is not given."""
    parser.add_argument(
        "--sort",
        metavar="ORDER",
        help="created (default), rating, name, cost, loss, duration, size, perplexity,"
        " or any other column: `--columns help` lists them",
    )
    parser.add_argument("--reverse", action="store_true", default=None, help="reverse the order")
    _search_option(parser)
    parser.add_argument(
        "--quality",
        "--convergence",
        metavar="C,…",
        help="only models with this convergence: excellent,good,…",
    )
    parser.add_argument(
        "--min-stars",
        type=int,
        choices=range(6),
        metavar="N",
        help="only models with at least N stars (0 to 5)",
    )
    parser.add_argument("--dataset", metavar="D", help="only models of this dataset (name or id)")
    parser.add_argument("--preset", metavar="P", help="only models trained with this preset")
    parser.add_argument("--base-model", metavar="B", help="only adapters of this base model")
    parser.add_argument(
        "--since",
        metavar="DATE",
        help="only models created on this day or later; or since a time like 2026-11-23T15:54",
    )
    parser.add_argument(
        "--until",
        metavar="DATE",
        help="only models created on this day or earlier; or before a time like 2026-11-23T15:54",
    )
    parser.add_argument(
        "--downloaded",
        action="store_true",
        default=None,
        help="only models downloaded to this disk",
    )
    parser.add_argument(
        "--archived",
        choices=("only", "hide"),
        help="only archived models, or all others; without it both",
    )
    _where_option(parser)
    parser.add_argument(
        "--columns",
        metavar="C,…",
        help="show these columns, in this order; +C,… adds them to the usual ones;"
        " `--columns help` lists them",
    )


def view_name_options(parser: ArgumentParser) -> None:
    """Add those of `view delete`."""
    parser.add_argument("view", metavar="NAME", help="the name of a view")


def view_save_options(parser: ArgumentParser) -> None:
    """Add those of `view save`."""
    parser.add_argument("view", metavar="NAME", help="the name of the view")
    narrowing_options(parser)


def _search_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--search",
        metavar="TEXT",
        help="only models with these words in name, dataset, base model, description, your tags,"
        " notes or aliases, or this start of an id",
    )


def _where_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        help="only models for which this holds: 'rank >= 16 and best_validation_loss < 1.2';"
        " also ~ (a part of a text), in, is unknown, and, or, not. An unknown value fulfils only"
        " `is unknown`",
    )


def wide_option(parser: ArgumentParser) -> None:
    """Add --wide, for a command with a table."""
    parser.add_argument(
        "--wide", action="store_true", help="show all columns in full, wider than the terminal"
    )


def costs_options(parser: ArgumentParser) -> None:
    """Add those of `costs`."""
    parser.add_argument(
        "--by",
        choices=("month", "dataset", "preset", "gpu", "base-model", "status"),
        default="month",
        metavar="WHAT",
        help="month (default), dataset, preset, gpu, base-model or status",
    )
    parser.add_argument(
        "--since",
        metavar="DATE",
        help="only from this day on; or since a time like 2026-11-23T15:54",
    )
    parser.add_argument(
        "--until",
        metavar="DATE",
        help="only until this day, with it; or before a time like 2026-11-23T15:54",
    )
    parser.add_argument("--csv", action="store_true", help="print CSV")
    wide_option(parser)


def show_options(parser: ArgumentParser) -> None:
    """Add those of `show`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)


_JOB_SORTS = ("activity", "created", "status", "dataset", "cost", "duration", "loss")
JOB_HELP = "the id of a job, or the start of one"


def jobs_options(parser: ArgumentParser) -> None:
    """Add those of `jobs`."""
    parser.add_argument(
        "--status",
        metavar="S,…",
        help="only jobs with these statuses: running,failed,…; `active` and `ended` are groups",
    )
    parser.add_argument("--dataset", metavar="D", help="only jobs of this dataset (name or id)")
    parser.add_argument("--preset", metavar="P", help="only jobs with this preset")
    parser.add_argument("--base-model", metavar="B", help="only jobs that train this base model")
    parser.add_argument("--gpu", metavar="G", help="only jobs on this type of GPU")
    parser.add_argument(
        "--since",
        metavar="DATE",
        help="only jobs queued on this day or later; or since a time like 2026-11-23T15:54",
    )
    parser.add_argument(
        "--until",
        metavar="DATE",
        help="only jobs queued on this day or earlier; or before a time like 2026-11-23T15:54",
    )
    parser.add_argument(
        "--search",
        metavar="TEXT",
        help="only jobs with these words in dataset, base model, preset, GPU or status,"
        " or this start of an id",
    )
    parser.add_argument(
        "--sort",
        choices=_JOB_SORTS,
        default="activity",
        metavar="ORDER",
        help="activity (default: what runs first, then the newest), created, status, dataset,"
        " cost, duration or loss",
    )
    parser.add_argument("--reverse", action="store_true", help="reverse the order")
    parser.add_argument(
        "--limit", type=positive, default=20, metavar="N", help="at most N jobs (20)"
    )
    parser.add_argument(
        "--columns",
        metavar="C,…",
        help="show these columns, in this order; `--columns help` lists them",
    )
    parser.add_argument(
        "--watch",
        nargs="?",
        type=positive,
        const=10,
        metavar="SECONDS",
        help="follow the jobs until Ctrl+C; ask the backend every so many SECONDS (10)",
    )
    parser.add_argument("--csv", action="store_true", help="print CSV")
    wide_option(parser)


def show_job_options(parser: ArgumentParser) -> None:
    """Add those of `jobs show` and `jobs cancel`."""
    parser.add_argument("job", metavar="JOB", help=JOB_HELP)


def metrics_options(parser: ArgumentParser) -> None:
    """Add those of `metrics`."""
    parser.add_argument(
        "model",
        metavar="JOB|MODEL",
        help="the id of a job or a model, the start of one, the exact name of a model, or @ALIAS",
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--csv", action="store_true", help="print every point as CSV")
    forms.add_argument("--jsonl", action="store_true", help="print one JSON object per point")
    wide_option(parser)


def report_options(parser: ArgumentParser) -> None:
    """Add those of `report`."""
    parser.add_argument("model", metavar="MODEL", nargs="+", help=MODEL_HELP)
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument(
        "--format",
        choices=("md", "html"),
        help="the format (by the name of FILE, else md)",
    )
    formats.add_argument(
        *("--markdown", "--md"),
        dest="format",
        action="store_const",
        const="md",
        help="write Markdown for GitHub and Slack",
    )
    formats.add_argument(
        "--html", dest="format", action="store_const", const="html", help="write one HTML page"
    )
    parser.add_argument("--output", metavar="FILE", help="write to FILE instead of stdout")
    parser.add_argument(
        "--picture", metavar="FILE", help="also write the loss curves as a picture, an SVG file"
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def compare_options(parser: ArgumentParser) -> None:
    """Add those of `compare`."""
    parser.add_argument("model", metavar="MODEL", nargs="+", help=MODEL_HELP)
    parser.add_argument(
        "--all", action="store_true", help="also print the rows that are equal for all models"
    )
    tables = parser.add_mutually_exclusive_group()
    tables.add_argument("--csv", action="store_true", help="print CSV")
    tables.add_argument(
        "--markdown", action="store_true", help="print a report in Markdown, with the curves"
    )
    wide_option(parser)


def leaderboard_options(parser: ArgumentParser) -> None:
    """Add those of `leaderboard`."""
    parser.add_argument(
        "--limit", type=positive, default=3, metavar="N", help="models of each, 1 to 6 (3)"
    )
    parser.add_argument("--dataset", metavar="D", help="only models of this dataset (name or id)")
    parser.add_argument("--base-model", metavar="B", help="only adapters of this base model")
    _where_option(parser)
    parser.add_argument("--csv", action="store_true", help="print CSV")
    wide_option(parser)


def effect_options(parser: ArgumentParser) -> None:
    """Add those of `effect`."""
    parser.add_argument("x", metavar="X", help="a column: rank, learning_rate, preset, …")
    parser.add_argument("y", metavar="Y", help="a column of numbers: best_validation_loss, cost, …")
    parser.add_argument("--by", metavar="Z", help="tell apart the values of this column")
    _search_option(parser)
    _where_option(parser)
    parser.add_argument("--csv", action="store_true", help="print the table by value as CSV")
    parser.add_argument(
        "--chart", action="store_true", help="draw the chart also where stdout is no terminal"
    )
    wide_option(parser)


def retry_options(parser: ArgumentParser) -> None:
    """Add those of `harvest retry`."""
    parser.add_argument(
        "job",
        metavar="JOB",
        nargs="*",
        default=[],
        help="the id of a failed job, or the start of one",
    )
    parser.add_argument("--all", action="store_true", help="retry all failed jobs")


def config_options(parser: ArgumentParser) -> None:
    """Add those of `config`."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=("path", "show", "set", "profiles", "keys"),
        default="show",
        help="show the settings (the default) or the file's path, set one,"
        " list the profiles or the keys of the application",
    )
    parser.add_argument(
        "key", nargs="?", metavar="KEY", help="the setting to set: url, anon_key, …"
    )
    parser.add_argument(
        "value",
        nargs="?",
        metavar="VALUE",
        help="the new value; `-` asks for it (for secrets), '' removes the setting",
    )


def cache_options(parser: ArgumentParser) -> None:
    """Add those of `cache`."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=("info", "clear"),
        default="info",
        help="show its size and age (the default), or remove it",
    )


def completion_options(parser: ArgumentParser) -> None:
    """Add those of `completion`."""
    parser.add_argument(
        "shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish"
    )
