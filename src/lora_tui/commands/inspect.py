"""The command `inspect`: prints what the header of an adapter says, local or in the bucket."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from lora_tui import formats
from lora_tui.adapters.config import CONFIG, AdapterConfig
from lora_tui.adapters.inspection import Adapter, read_local
from lora_tui.adapters.modules import (
    AdaptedModule,
    rank_counts,
    ranks_by_target,
    ranks_text,
    scaling_counts,
    scalings_text,
)
from lora_tui.adapters.saved_tensors import saved_beside, saved_text
from lora_tui.cache.downloaded import downloaded_to
from lora_tui.commands.context import Context, resolve
from lora_tui.commands.prose import wrapped
from lora_tui.config.kinds import expanded
from lora_tui.errors import ExitCode, NotFoundError
from lora_tui.library.disk_check import check_presence
from lora_tui.text import cell_width, terminal_safe

_LABEL: Final = 20
_MIN_ROOM: Final = 20
_MOST_TARGETS: Final = 40
_MOST_NAMED: Final = 4
_NONE: Final = formats.NO_VALUE
_METADATA: Final = (
    ("modelspec.title", "Title"),
    ("ss_output_name", "Output name"),
    ("ss_base_model_version", "Base model"),
    ("ss_sd_model_name", "Base model file"),
    ("ss_network_module", "Network"),
    ("ss_network_dim", "Rank (metadata)"),
    ("ss_network_alpha", "Alpha (metadata)"),
)
"""What trainers of image models write into the file → what it is."""
_BIASES: Final = {"none": "", "all": "all", "lora_only": "those of the adapted modules"}
_INITIALISED: Final = {"true": "", "false": "random values"}


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
        width = shutil.get_terminal_size().columns if context.out.isatty() else None
        for label, value in _lines(adapter):
            context.out.writelines(f"{line}\n" for line in _wrapped(label, value, width))
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


def _wrapped(label: str, value: str, width: int | None) -> list[str]:
    """The label and its value, below which the value continues on a terminal of `width` columns."""
    start = f"{label:<{_LABEL}} "
    if width is None or cell_width(start) + cell_width(value) <= width:
        return [f"{start}{value}".rstrip()]
    room = max(_MIN_ROOM, width - len(start))
    first, *rest = wrapped(value, room)
    return [f"{start}{first}", *(" " * len(start) + line for line in rest)]


def _lines(adapter: Adapter) -> list[tuple[str, str]]:
    header = adapter.header
    lines = [
        *([("Name", adapter.model.name), ("Id", adapter.model.id)] if adapter.model else []),
        ("File", terminal_safe(adapter.file, limit=500)),
        *([("Also in folders", ", ".join(adapter.sub_adapters))] if adapter.sub_adapters else []),
        ("Size", f"{formats.size(header.size)} ({formats.exact_bytes(header.size)})"),
        (
            "Parameters",
            f"{formats.count(header.parameters)} in {formats.counted(header.tensors, 'tensor')}",
        ),
        ("Type", adapter.kind),
        ("Data type", ", ".join(header.dtypes) or formats.NO_VALUE),
        ("Rank", ranks_text(adapter.modules) or ", ".join(map(str, adapter.ranks)) or _NONE),
        ("Scaling", scalings_text(adapter.modules) or _NONE),
        ("Modules", formats.count(len(adapter.modules))),
        *_target_lines(adapter),
        ("Saved beside", saved_text(saved_beside(header, adapter.config)) or "nothing"),
        *((name, header.metadata[key]) for key, name in _METADATA if key in header.metadata),
        ("", ""),
        *_config_lines(adapter),
    ]
    if adapter.explanation:
        lines.append(("Note", adapter.explanation))
    return [*lines, *(("Remark", text) for text in adapter.remarks if text != adapter.explanation)]


def _target_lines(adapter: Adapter) -> list[tuple[str, str]]:
    """A line for each target: how many modules it has, their ranks and scalings."""
    groups: dict[str, list[AdaptedModule]] = {}
    for module in adapter.modules:
        groups.setdefault(module.target, []).append(module)
    lines = []
    for target, modules in sorted(groups.items())[:_MOST_TARGETS]:
        experts = max(module.experts for module in modules)
        facts = [
            formats.counted(len(modules), "module"),
            f"rank {ranks_text(modules)}" if rank_counts(modules) else "",
            f"scaling {scalings_text(modules)}" if scaling_counts(modules) else "",
            formats.counted(experts, "expert") if experts > 1 else "",
        ]
        lines.append((f"  {terminal_safe(target, limit=17)}", "; ".join(filter(None, facts))))
    more = len(groups) - _MOST_TARGETS
    return [*lines, *([("", f"and {formats.count(more)} more")] if more > 0 else [])]


def _config_lines(adapter: Adapter) -> list[tuple[str, str]]:
    config = adapter.config
    if config is None:
        return [("Configuration", f"no {CONFIG} found")]
    settings = [
        ("Base model", config.base_model or formats.NO_VALUE),
        ("Task", config.task_type),
        ("Rank (r)", "" if config.rank is None else formats.count(config.rank)),
        ("Alpha", "" if config.alpha is None else formats.number(config.alpha)),
        ("Ranks of modules", _pattern_text(config.rank_pattern)),
        ("Alphas of modules", _pattern_text(config.alpha_pattern)),
        ("Target parameters", _named(config.target_parameters)),
        (
            "Excluded",
            terminal_safe(config.exclude_pattern, limit=80) or _named(config.exclude_modules),
        ),
        ("Layers", _named([str(layer) for layer in config.layers_to_transform or ()])),
        ("Initialised by", _INITIALISED.get(config.init_lora_weights, config.init_lora_weights)),
        ("Layers repeated", _layers_text(config.layer_replication)),
        ("Trained tokens", _tokens_text(config.trainable_tokens)),
        ("Trained biases", _BIASES.get(config.bias, config.bias)),
        ("Tied weights", "adapted together" if config.ensure_weight_tying else ""),
        ("Weights of Conv1D", "yes (fan_in_fan_out)" if config.fan_in_fan_out else ""),
        ("Agreement", _agreement(adapter, config)),
    ]
    if config.format == "MLX":  # it names the scaling itself
        settings = [entry for entry in settings if entry[0] != "Alpha"]
    return [(label, value) for label, value in settings if value]


def _agreement(adapter: Adapter, config: AdapterConfig) -> str:
    if adapter.problems:
        return "PEFT does not load it, see below"
    if config.format != "PEFT" or not config.is_lora:
        return "not compared"
    if adapter.remarks:
        return "PEFT loads it, see the remarks"
    return "weights and configuration agree"


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {formats.count(more)} more" if more > 0 else shown


def _pattern_text(pattern: Mapping[str, float]) -> str:
    shown = [
        f"{terminal_safe(key, limit=60)} {formats.number(value)}"
        for key, value in list(pattern.items())[:_MOST_NAMED]
    ]
    more = len(pattern) - len(shown)
    return ", ".join(shown) + (f" and {formats.count(more)} more" if more > 0 else "")


def _layers_text(ranges: Sequence[tuple[int, int]]) -> str:
    """`0 to 15, 8 to 31 (40 layers)`; the end of each range in the configuration is exclusive."""
    count = sum(end - start for start, end in ranges)
    named = ", ".join(f"{start} to {end - 1}" for start, end in ranges[:_MOST_NAMED])
    return f"{named} ({formats.counted(count, 'layer')})" if ranges else ""


def _tokens_text(tokens: Mapping[str, int]) -> str:
    return ", ".join(
        f"{formats.count(count)} of {name or 'the input embeddings'}"
        for name, count in tokens.items()
    )


def _as_json(adapter: Adapter) -> dict[str, Any]:
    header, config, model = adapter.header, adapter.config, adapter.model
    modules = adapter.modules
    return {
        "model_id": model.id if model else None,
        "model_name": model.name if model else None,
        "file": adapter.file,
        "sub_adapters": list(adapter.sub_adapters),
        "format": config.format if config is not None else header.layout or None,
        "type": adapter.kind,
        "peft_type": config.peft_type or None if config is not None else None,
        "rslora": config.rslora if config is not None else None,
        "dora": config.dora if config is not None else None,
        "explanation": adapter.explanation or None,
        "bytes": header.size,
        "header_bytes": header.header_bytes,
        "tensors": header.tensors,
        "parameters": header.parameters,
        "dtypes": dict(header.dtypes),
        "ranks": {str(rank): count for rank, count in adapter.ranks.items()},
        "scaling": {str(value): count for value, count in scaling_counts(modules).items()},
        "target_modules": {name: list(found) for name, found in ranks_by_target(modules).items()},
        "modules": [
            {
                "name": module.name,
                "parameter": module.parameter or None,
                "rank": module.rank,
                "alpha": module.alpha,
                "scaling": module.scaling,
                "experts": module.experts,
                "parameters": module.parameters,
            }
            for module in modules
        ],
        "saved_beside": {kind: list(names) for kind, names in saved_beside(header, config).items()},
        "other_tensors": list(header.other_tensors),
        "metadata": dict(header.metadata),
        "config": None if config is None else _config_json(config),
        "agrees": None if config is None else not adapter.problems,
        "problems": list(adapter.problems),
        "remarks": list(adapter.remarks),
    }


def _config_json(config: AdapterConfig) -> dict[str, Any]:
    return {
        "peft_type": config.peft_type,
        "task_type": config.task_type or None,
        "base_model": config.base_model,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "scaling": config.scaling,
        "use_rslora": config.rslora,
        "use_dora": config.dora,
        "variants": list(config.variants),
        "target_modules": config.target_pattern
        or (None if config.target_modules is None else list(config.target_modules)),
        "target_parameters": list(config.target_parameters),
        "exclude_modules": config.exclude_pattern or list(config.exclude_modules),
        "modules_to_save": list(config.modules_to_save),
        "rank_pattern": dict(config.rank_pattern),
        "alpha_pattern": dict(config.alpha_pattern),
        "layers_to_transform": None
        if config.layers_to_transform is None
        else list(config.layers_to_transform),
        "layer_replication": [list(pair) for pair in config.layer_replication],
        "trainable_tokens": dict(config.trainable_tokens),
        "bias": config.bias,
        "lora_bias": config.lora_bias,
        "fan_in_fan_out": config.fan_in_fan_out,
        "ensure_weight_tying": config.ensure_weight_tying,
        "init_lora_weights": config.init_lora_weights,
    }
