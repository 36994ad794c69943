"""`inspect`: what kind of adapter a file is, by its header alone, here or in the bucket."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from lora_tui import adapters, formats
from lora_tui.adapters import AdapterConfig, AdapterFacts
from lora_tui.cache import models
from lora_tui.cache.finished import downloaded_to
from lora_tui.commands.context import Context, resolve
from lora_tui.domain import ArtifactFile, Model
from lora_tui.errors import DiskError, ExitCode, NotFoundError, UsageError
from lora_tui.safetensors_header import PREFIX_BYTES
from lora_tui.text import terminal_safe

WEIGHTS: Final = "adapter_model.safetensors"
CONFIG: Final = "adapter_config.json"

_FIRST_READ: Final = 128 * 1024
"""Bytes; holds the header of most adapters, so one request is enough."""


@dataclass(frozen=True)
class _Adapter:
    """An adapter that was looked at."""

    file: str
    facts: AdapterFacts
    config: AdapterConfig | None
    model: Model | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        if self.config is None:
            return self.facts.problems
        return (*self.facts.problems, *adapters.disagreements(self.facts, self.config))


def inspect(context: Context) -> ExitCode:
    """Print an adapter's facts. What is on this disk goes before a model of that name."""
    target = context.arguments.target
    path = Path(target).expanduser()
    if path.exists() or path.is_symlink():
        adapter = _local(path)
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


def _local(path: Path) -> _Adapter:
    try:
        if path.is_dir():
            path = _weights_in(path)
        if not path.is_file():
            raise UsageError("That is neither a file nor a directory", details=str(path))
        size = path.stat().st_size
        with path.open("rb") as file:
            beginning = file.read(PREFIX_BYTES)
            beginning += file.read(adapters.bytes_needed(beginning, size) - PREFIX_BYTES)
        facts = adapters.read_header(beginning, file_size=size)
        config = path.with_name(CONFIG)
        content = None
        if config.is_file():
            with config.open("rb") as file:
                content = file.read(adapters.LARGEST_CONFIG + 1)
    except OSError as error:
        raise DiskError(f"The file can't be read: {error.strerror}", details=str(path)) from error
    return _Adapter(str(path), facts, adapters.read_config(content) if content else None)


def _weights_in(directory: Path) -> Path:
    if (directory / WEIGHTS).is_file():
        return directory / WEIGHTS
    found = sorted(file for file in directory.glob("*.safetensors") if file.is_file())
    return directory / _only_one([file.name for file in found], str(directory))


def _downloaded(context: Context, reference: str) -> _Adapter:
    with context.cache() as db:
        directory = downloaded_to(db, resolve(db, reference).id)
    if directory is None or not directory.is_dir():
        context.require_network()  # says that --offline is in the way
        raise NotFoundError("The model is not on this disk")
    return _local(directory)


def _remote(context: Context, reference: str) -> _Adapter:
    from lora_tui.gateway.beginning import read_beginning
    from lora_tui.online import OnlineWriters

    with closing(OnlineWriters(context.profile)) as online:
        with context.cache() as db:
            model = models.get_model(db, resolve(db, reference).id)
        if model is None:
            raise NotFoundError("Model not found or access denied")
        weights = _weights_of(model)
        url = online.storage.sign(weights.path)
        beginning, size = read_beginning(url, _FIRST_READ)
        needed = adapters.bytes_needed(beginning, size)
        if needed > len(beginning) == _FIRST_READ:
            beginning, size = read_beginning(url, needed)
        facts = adapters.read_header(beginning, file_size=size)
        config = next((file for file in model.files if _base_name(file) == CONFIG), None)
        content = None
        if config is not None:
            content, _ = read_beginning(
                online.storage.sign(config.path), adapters.LARGEST_CONFIG + 1
            )
    return _Adapter(weights.label, facts, adapters.read_config(content) if content else None, model)


def _weights_of(model: Model) -> ArtifactFile:
    by_name = {file.name: file for file in model.files if file.name.endswith(".safetensors")}
    for file in by_name.values():
        if _base_name(file) == WEIGHTS:
            return file
    return by_name[_only_one(sorted(by_name), model.name)]


def _base_name(file: ArtifactFile) -> str:
    return PurePosixPath(file.name).name


def _only_one(names: list[str], where: str) -> str:
    if not names:
        raise NotFoundError(
            "There is no safetensors file to look into",
            details=where,
            remedy="weights in a .bin file are a pickle, which is not opened: it can run code",
        )
    if len(names) > 1:
        raise UsageError(
            "There are several safetensors files",
            details=", ".join(terminal_safe(name, limit=80) for name in names[:5]),
            remedy="name one of them",
        )
    return names[0]


def _lines(adapter: _Adapter) -> list[tuple[str, str]]:
    facts, config = adapter.facts, adapter.config
    ranks = ", ".join(
        f"{rank} ({count:,} modules)" if len(facts.ranks) > 1 else str(rank)
        for rank, count in facts.ranks.items()
    )
    lines = [
        *([("Name", adapter.model.name), ("Id", adapter.model.id)] if adapter.model else []),
        ("File", terminal_safe(adapter.file, limit=500)),
        ("Size", f"{formats.size(facts.size)} ({facts.size:,} bytes)"),
        ("Parameters", f"{facts.parameters:,} in {facts.tensors:,} tensors"),
        ("Type", ", ".join(facts.dtypes) or formats.NOTHING),
        ("Rank", ranks or formats.NOTHING),
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
        ("Base model", config.base_model or formats.NOTHING),
        ("Rank (r)", formats.count(config.rank)),
        ("Alpha", formats.figure(config.alpha)),
        ("Scaling", formats.figure(config.scaling)),
        ("Agreement", "file and configuration agree" if not adapter.problems else "no, see below"),
    ]
    return lines


def _as_json(adapter: _Adapter) -> dict[str, Any]:
    facts, config, model = adapter.facts, adapter.config, adapter.model
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
