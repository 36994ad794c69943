"""`costs`: what was spent on runs, from the cache alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from lora_tui import clock, formats
from lora_tui.cache import costs as cached
from lora_tui.cache import metadata
from lora_tui.commands.context import CACHE_REBUILT, Context
from lora_tui.commands.dates import period_of_options
from lora_tui.commands.style import style_of, width_of
from lora_tui.reports.cost_table import cost_rows
from lora_tui.reports.costs import By, Costs, Period, document, remarks, table

_SOURCES: Final = (
    "RUN COST is what the jobs say, RECORDS what was billed.",
    "A run whose GPU time was billed counts with its records alone.",
)


def show_costs(context: Context) -> None:
    """Print what was spent, in groups, and the total."""
    arguments = context.arguments
    period = Period(*period_of_options(arguments.since, arguments.until))
    with context.cache() as db:
        costs = cached.read_costs(db, By(arguments.by), period)
        unread, last = cached.why_unread(db), metadata.get_sync_state(db).last_success
        rebuilt = metadata.is_rebuilt(db)
    if rebuilt:
        context.say(CACHE_REBUILT)
    if unread is not None:
        context.say(f"The cost records could not be read: {unread}. Only the jobs are counted.")
    if context.json:
        context.print_data({**document(costs), "unread": unread})
        return
    if arguments.csv:
        from lora_tui.reports.exports import csv_table

        context.out.write(csv_table(*table(costs)))
        return
    if not costs.is_empty:
        ascii_only = style_of(context).ascii_only
        width = None if arguments.wide else width_of(context)
        rows = cost_rows(costs, width, ascii_only=ascii_only)
        context.out.write("".join(f"{row.text}\n" for row in rows))
    if last is None:
        if not rebuilt:
            context.say("The cache was never synced: run `lora-tui sync`.")
        return
    for remark in remarks(costs):
        context.say(f"{remark[0].upper()}{remark[1:]}.")
    if costs.total.records:
        for sentence in _SOURCES:
            context.say(sentence)
    context.say(f"{_which(costs, period)}, synced {formats.age(last, clock.now())}")


def _which(costs: Costs, period: Period) -> str:
    """What was counted: `14 runs since 2026-11-01`; a whole last day without its time."""
    runs = formats.counted(costs.total.runs, "run")
    since = f" since {formats.date_time(period.start)}" if period.start else ""
    until = ""
    if period.before is not None:
        last = formats.date_time(period.before - timedelta(minutes=1))
        until = f" until {last}".removesuffix(" 23:59")
    return f"{runs}{since.removesuffix(' 00:00')}{until}"
