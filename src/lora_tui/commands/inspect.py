"""`inspect`: what kind of adapter a file is, by its header alone, here or in the bucket."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from lora_tui import formats
from lora_tui.adapters.inspection import CONFIG, Adapter, read_local
from lora_tui.cache.downloaded import downloaded_to
from lora_tui.commands.context import Context, resolve
from lora_tui.config.kinds import expanded
from lora_tui.errors import ExitCode, NotFoundError
from lora_tui.text import terminal_safe


def inspect(context: Context) -> ExitCode:
    """Print an adapter's facts. What is on this disk goes before a model of that name."""
    target = context.arguments.target
    path = expanded(target, "The path")
    if path.exists() or path.is_symlink():
        adapter = read_local(path)
    elif "/" in target or target.endswith(".safetensors"):
        raise NotFoundError("There is no such file", details=str(path))
    elif context.arguments.offline:
        adapter = _downloaded(context, target)
    else:
        adapter = _remote(context, target)
    if context.json:
        context.print_data(_as_json(adapter))
    else:
        for label, value in _lines(adapter):
            context.out.write(f"{label:<20} {value}\n" if label else "\n")
    for problem in adapter.problems:
        context.say(f"lora-tui: {problem}")
    return ExitCode.INTEGRITY if adapter.problems else ExitCode.OK


def _downloaded(context: Context, reference: str) -> Adapter:
    with context.cache() as db:
        directory = downloaded_to(db, resolve(db, reference).id)
    if directory is None or not directory.is_dir():
        context.require_network()  # says that --offline is in the way
        raise NotFoundError("The model is not on this disk")
    return read_local(directory)


def _remote(context: Context, reference: str) -> Adapter:
    from lora_tui.engine.online import OnlineWriters

    with closing(OnlineWriters(context.profile)) as online:
        with context.cache() as db:
            model_id = resolve(db, reference).id
        return online.read_adapter(model_id)


def _lines(adapter: Adapter) -> list[tuple[str, str]]:
    facts, config = adapter.header, adapter.config
    ranks = ", ".join(
        f"{rank} ({count:,} modules)" if len(facts.ranks) > 1 else str(rank)
        for rank, count in facts.ranks.items()
    )
    lines = [
        *([("Name", adapter.model.name), ("Id", adapter.model.id)] if adapter.model else []),
        ("File", terminal_safe(adapter.file, limit=500)),
        ("Size", f"{formats.size(facts.size)} ({facts.size:,} bytes)"),
        ("Parameters", f"{facts.parameters:,} in {facts.tensors:,} tensors"),
        ("Type", ", ".join(facts.dtypes) or formats.NO_VALUE),
        ("Rank", ranks or formats.NO_VALUE),
        ("Modules", f"{len(facts.modules):,}"),
        *(
            (f"  {terminal_safe(target, limit=17)}", f"rank {', '.join(map(str, found))}")
            for target, found in list(facts.ranks_by_target.items())[:40]
        ),
        ("Other tensors", f"{len(facts.other_tensors):,}"),
        ("", ""),
    ]
    if config is None:
        return [*lines, ("Configuration", f"there is no {CONFIG} to check it against")]
    lines += [
        ("Base model", config.base_model or formats.NO_VALUE),
        ("Rank (r)", formats.count(config.rank)),
        ("Alpha", formats.number(config.alpha)),
        ("Scaling", formats.number(config.scaling)),
        ("Agreement", "file and configuration agree" if not adapter.problems else "no, see below"),
    ]
    return lines


def _as_json(adapter: Adapter) -> dict[str, Any]:
    facts, config, model = adapter.header, adapter.config, adapter.model
    return {
        "model_id": model.id if model else None,
        "model_name": model.name if model else None,
        "file": adapter.file,
        "bytes": facts.size,
        "header_bytes": facts.header_bytes,
        "tensors": facts.tensors,
        "parameters": facts.parameters,
        "dtypes": dict(facts.dtypes),
        "ranks": {str(rank): count for rank, count in facts.ranks.items()},
        "target_modules": {name: list(found) for name, found in facts.ranks_by_target.items()},
        "modules": [
            {"name": module.name, "rank": module.rank, "parameters": module.parameters}
            for module in facts.modules
        ],
        "other_tensors": list(facts.other_tensors),
        "metadata": dict(facts.metadata),
        "config": None
        if config is None
        else {
            "peft_type": config.peft_type,
            "base_model": config.base_model,
            "r": config.rank,
            "lora_alpha": config.alpha,
            "scaling": config.scaling,
            "target_modules": None if config.target_modules is None else [*config.target_modules],
            "rank_pattern": dict(config.rank_pattern),
        },
        "agrees": None if config is None else not adapter.problems,
        "problems": list(adapter.problems),
    }
