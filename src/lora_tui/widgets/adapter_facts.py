"""What the header of an adapter's file tells, as a section of a model's page."""

from __future__ import annotations

from typing import Final

from lora_tui import formats
from lora_tui.adapters.inspection import Adapter
from lora_tui.widgets.model_facts import Fact, Section

_MOST_TARGETS: Final = 12


def adapter_section(adapter: Adapter | str) -> Section:
    """The facts; or in words why there are none."""
    if isinstance(adapter, str):
        return Section("Adapter", (Fact("Header", adapter),))
    facts, config = adapter.facts, adapter.config
    ranks = ", ".join(
        f"{rank} ({formats.count(count)} modules)" if len(facts.ranks) > 1 else str(rank)
        for rank, count in facts.ranks.items()
    )
    targets = list(facts.ranks_by_target)
    more = len(targets) - _MOST_TARGETS
    named = ", ".join(targets[:_MOST_TARGETS]) + (f" and {more} more" if more > 0 else "")
    lines = [
        Fact("Read from", "the bucket" if adapter.model else "this disk", adapter.file[-40:]),
        Fact("Parameters", formats.count(facts.parameters), _short(facts.parameters)),
        Fact("Type", ", ".join(facts.dtypes) or formats.NOTHING),
        Fact("Rank", ranks or formats.NOTHING),
        Fact("Modules", formats.count(len(facts.modules))),
        Fact("Targets", named or formats.NOTHING),
        Fact("Tensors", formats.count(facts.tensors)),
    ]
    if facts.other_tensors:
        lines.append(Fact("Other tensors", formats.count(len(facts.other_tensors))))
    if config is None:
        lines.append(Fact("Configuration", "there is none to check it against"))
    else:
        lines.append(Fact("Scaling", formats.figure(config.scaling), "alpha over rank"))
    if adapter.problems:
        lines += [Fact("Problem", problem) for problem in adapter.problems]
    elif config is not None:
        lines.append(Fact("Agreement", "file and configuration agree"))
    return Section("Adapter", tuple(lines))


def _short(parameters: int) -> str:
    for unit, length in (("billion", 1e9), ("million", 1e6)):
        if parameters >= length:
            return f"{parameters / length:.1f} {unit}"
    return ""
