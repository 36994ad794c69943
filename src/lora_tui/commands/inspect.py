"""The command `inspect`: prints what the header of an adapter says, local or in the bucket."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from lora_tui import formats
from lora_tui.adapters.inspection import CONFIG, Adapter, read_local
from lora_tui.cache.downloaded import downloaded_to
from lora_tui.commands.context import Context, resolve
from lora_tui.config.kinds import expanded
from lora_tui.errors import ExitCode, NotFoundError
from lora_tui.library.disk_check import check_presence
from lora_tui.text import terminal_safe


def inspect(context: Context) -> ExitCode:
    """Print the header and the configuration of an adapter.

    A local file or directory takes precedence over a model of the same name. Returns INTEGRITY
    where the adapter has problems.
    """
    target = context.arguments.target
    path = expanded(target, "The path")
    if path.exists() or path.is_symlink():
        adapter = read_local(path)
    elif "/" in target or target.endswith(".safetensors"):
        raise NotFoundError(
            "There is no such file",
            details=str(path),
            remedy="check the path, or name a model of `lora-tui list`",
        )
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


def downloaded_directory(context: Context, reference: str) -> Path | None:
    """The directory of a downloaded model; None where it was not downloaded."""
    with context.cache() as db:
        model_id = resolve(db, reference).id
        directory = downloaded_to(db, model_id)
        if directory is None or not directory.is_dir():  # there may be another copy
            check_presence(db)
            directory = downloaded_to(db, model_id)
    return directory if directory is not None and directory.is_dir() else None


def not_downloaded(reference: str) -> NotFoundError:
    """The error about a model that is not on this disk."""
    return NotFoundError(
        "The model was not downloaded", remedy=f"run `lora-tui download {reference}`"
    )


def _downloaded(context: Context, reference: str) -> Adapter:
    directory = downloaded_directory(context, reference)
    if directory is None:
        context.require_network()  # raises the error about --offline
        raise not_downloaded(reference)
    return read_local(directory)


def _remote(context: Context, reference: str) -> Adapter:
    from lora_tui.engine.online import OnlineWriters

    context.require_network()
    with closing(OnlineWriters(context.profile)) as online:
        with context.cache() as db:
            model_id = resolve(db, reference).id
        return online.read_adapter(model_id)


def _lines(adapter: Adapter) -> list[tuple[str, str]]:
    header, config = adapter.header, adapter.config
    lines = [
        *([("Name", adapter.model.name), ("Id", adapter.model.id)] if adapter.model else []),
        ("File", terminal_safe(adapter.file, limit=500)),
        ("Size", f"{formats.size(header.size)} ({formats.exact_bytes(header.size)})"),
        (
            "Parameters",
            f"{formats.count(header.parameters)} in {formats.counted(header.tensors, 'tensor')}",
        ),
        ("Type", ", ".join(header.dtypes) or formats.NO_VALUE),
        ("Rank", header.ranks_text or formats.NO_VALUE),
        ("Modules", formats.count(len(header.modules))),
        *(
            (f"  {terminal_safe(target, limit=17)}", f"rank {', '.join(map(str, found))}")
            for target, found in list(header.ranks_by_target.items())[:40]
        ),
        ("Other tensors", formats.count(len(header.other_tensors))),
        ("", ""),
    ]
    if config is None:
        return [*lines, ("Configuration", f"no {CONFIG} found")]
    lines += [
        ("Base model", config.base_model or formats.NO_VALUE),
        ("Rank (r)", formats.count(config.rank)),
        ("Alpha", formats.number(config.alpha)),
        ("Scaling", formats.number(config.scaling)),
        (
            "Agreement",
            "weights and configuration agree"
            if not adapter.problems
            else "problems found, see below",
        ),
    ]
    return lines


def _as_json(adapter: Adapter) -> dict[str, Any]:
    header, config, model = adapter.header, adapter.config, adapter.model
    return {
        "model_id": model.id if model else None,
        "model_name": model.name if model else None,
        "file": adapter.file,
        "bytes": header.size,
        "header_bytes": header.header_bytes,
        "tensors": header.tensors,
        "parameters": header.parameters,
        "dtypes": dict(header.dtypes),
        "ranks": {str(rank): count for rank, count in header.ranks.items()},
        "target_modules": {name: list(found) for name, found in header.ranks_by_target.items()},
        "modules": [
            {"name": module.name, "rank": module.rank, "parameters": module.parameters}
            for module in header.modules
        ],
        "other_tensors": list(header.other_tensors),
        "metadata": dict(header.metadata),
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
