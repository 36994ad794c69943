"""Inspects an adapter by reading only its header and configuration, locally or from the bucket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from lora_tui.adapters.config import MAX_CONFIG_BYTES, AdapterConfig, config_mismatches, read_config
from lora_tui.adapters.header import (
    LoraHeader,
    LoraModule,
    bytes_needed,
    read_file_header,
    read_header,
)
from lora_tui.domain import ArtifactFile, Model
from lora_tui.errors import NotFoundError, UsageError
from lora_tui.files import translate_disk_errors
from lora_tui.text import terminal_safe

WEIGHTS: Final = "adapter_model.safetensors"
CONFIG: Final = "adapter_config.json"

_FIRST_READ: Final = 128 * 1024
"""Bytes; enough for the header of most adapters, so that one request suffices."""


@dataclass(frozen=True)
class Adapter:
    """An inspected adapter."""

    file: str
    header: LoraHeader
    config: AdapterConfig | None
    model: Model | None = None
    """The model, where the adapter was read from the bucket."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences about invalid weights, or weights that do not match the configuration."""
        if self.config is None:
            return self.header.problems
        return (*self.header.problems, *config_mismatches(self.header, self.config))


def adapter_document(adapter: Adapter) -> dict[str, Any]:
    """The adapter without its model, as JSON has it; `adapter_from` reads it."""
    header, config = adapter.header, adapter.config
    return {
        "file": adapter.file,
        "header": asdict(header),
        "config": None if config is None else asdict(config),
    }


def adapter_from(document: Mapping[str, Any], model: Model) -> Adapter:
    """The adapter of `adapter_document`, which was read from the bucket for this model."""
    header = dict(document["header"])
    header["modules"] = tuple(LoraModule(**module) for module in header["modules"])
    for name in ("other_tensors", "problems"):
        header[name] = tuple(header[name])
    config = document["config"]
    if config is not None:
        targets = config["target_modules"]
        config = AdapterConfig(
            **{
                **config,
                "target_modules": None if targets is None else tuple(targets),
                "modules_to_save": tuple(config["modules_to_save"]),
            }
        )
    return Adapter(str(document["file"]), LoraHeader(**header), config, model)


def read_local(path: Path) -> Adapter:
    """Inspect a safetensors file, or the only one of a directory.

    Raises IntegrityError, DiskError, NotFoundError and UsageError.
    """
    path, config = find_weights(path)
    with translate_disk_errors("The file can't be read", path):
        return Adapter(str(path), read_file_header(path), config)


def find_weights(path: Path) -> tuple[Path, AdapterConfig | None]:
    """A safetensors file, or the only one of a directory, and the configuration beside it.

    Raises IntegrityError, DiskError, NotFoundError and UsageError.
    """
    with translate_disk_errors("The file can't be read", path):
        if path.is_dir():
            path = _weights_in(path)
        if not path.is_file():
            raise UsageError("Neither a file nor a directory", details=str(path))
        config = path.with_name(CONFIG)
        content = None
        if config.is_file():
            with config.open("rb") as file:
                content = file.read(MAX_CONFIG_BYTES + 1)
    return path, read_config(content) if content else None


def read_remote(model: Model, sign: Callable[[str], str]) -> Adapter:
    """Read a few kilobytes from the bucket; `sign` returns a signed URL for a path.

    Raises IntegrityError, NotFoundError, UsageError and what the network raises.
    """
    from lora_tui.gateway.read_prefix import read_prefix

    weights = _weights_of(model)
    url = sign(weights.path)
    prefix, size = read_prefix(url, _FIRST_READ)
    needed = bytes_needed(prefix, size)
    if needed > len(prefix) == _FIRST_READ:
        prefix, size = read_prefix(url, needed)
    facts = read_header(prefix, file_size=size)
    config = next((file for file in model.files if _base_name(file) == CONFIG), None)
    content = None
    if config is not None:
        content, _ = read_prefix(sign(config.path), MAX_CONFIG_BYTES + 1)
    return Adapter(weights.label, facts, read_config(content) if content else None, model)


def _weights_in(directory: Path) -> Path:
    if (directory / WEIGHTS).is_file():
        return directory / WEIGHTS
    found = sorted(file for file in directory.glob("*.safetensors") if file.is_file())
    return directory / _only_one([file.name for file in found], str(directory))


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
            "No safetensors file to inspect",
            details=where,
            remedy="a .bin file is a pickle, which could run code; convert it to safetensors",
        )
    if len(names) > 1:
        raise UsageError(
            "Several safetensors files",
            details=", ".join(terminal_safe(name, limit=80) for name in names[:5]),
            remedy="name one of them",
        )
    return names[0]
