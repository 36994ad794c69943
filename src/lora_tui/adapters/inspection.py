"""Inspects an adapter by reading only its header and configuration, locally or from the bucket."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

from lora_tui.adapters.agreement import Findings, find_disagreements, other_type
from lora_tui.adapters.config import (
    CONFIG,
    MAX_CONFIG_BYTES,
    AdapterConfig,
    config_document,
    config_from,
    read_config,
)
from lora_tui.adapters.header import (
    PREFIX_BYTES,
    WEIGHTS,
    Header,
    LoraHeader,
    bytes_needed,
    parse_header,
    read_file_prefix,
    read_header,
)
from lora_tui.adapters.modules import AdaptedModule, adapted_modules, rank_counts
from lora_tui.adapters.tensor_names import LoraModule
from lora_tui.domain import ArtifactFile, Model
from lora_tui.errors import NotFoundError, UsageError
from lora_tui.files import translate_disk_errors
from lora_tui.text import terminal_safe

_FIRST_READ: Final = 128 * 1024
"""Bytes; enough for the header of most adapters, so that one request suffices."""
_USUAL_NAMES: Final = ("adapters.safetensors", "pytorch_lora_weights.safetensors")
"""Of MLX, which keeps its checkpoints beside it, and of diffusers."""
_SCALARS: Final = {"F16": "<e", "F32": "<f", "F64": "<d"}
_MOST_ALPHAS: Final = 20_000
_LAYOUTS: Final = {
    "MLX": "LoRA for MLX",
    "kohya": "LoRA of kohya's trainers",
    "diffusers": "LoRA for diffusers",
    "ComfyUI": "LoRA for ComfyUI",
}


@dataclass(frozen=True)
class Adapter:
    """An inspected adapter."""

    file: str
    header: LoraHeader
    config: AdapterConfig | None
    model: Model | None = None
    """The model, where the adapter was read from the bucket."""
    sub_adapters: tuple[str, ...] = ()
    """Names of other adapters in folders beside the weights."""
    alphas: Mapping[str, float] = field(default_factory=dict)
    """Module → alpha, where the file of weights has them."""

    @cached_property
    def modules(self) -> tuple[AdaptedModule, ...]:
        """The adapted modules with rank, alpha and scaling."""
        return adapted_modules(self.header, self.config, self.alphas)

    @property
    def ranks(self) -> dict[int, int | None]:
        """rank → number of modules with it; None where the file does not tell which they are."""
        config = self.config
        if not self.modules and config is not None and config.rank and not config.is_lora:
            return {config.rank: None}
        return {**rank_counts(self.modules)}

    @cached_property
    def findings(self) -> Findings:
        """Problems and remarks about the weights and their configuration."""
        return find_disagreements(self.header, self.config, self.modules)

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences: why PEFT does not load it."""
        return self.findings.problems

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences about what is unusual, but loads."""
        return self.findings.remarks

    @property
    def kind(self) -> str:
        """What it is, with its variants: `LoRA, rsLoRA, DoRA`, `IA³`, `LoRA for MLX`."""
        config = self.config
        if config is None or config.format == "MLX":
            layout = "MLX" if config is not None else self.header.layout
            plain = "LoRA" if self.header.modules else "unknown"
            name = _LAYOUTS.get(layout, plain)
        elif config.kind is not None:
            name = config.kind.title
        else:
            name = config.peft_type or "LoRA"
        if config is None:
            return name
        more = [*(["rsLoRA"] if config.rslora else []), *config.variants]
        return ", ".join([name, *more])

    @property
    def explanation(self) -> str:
        """One sentence about an adapter that is not LoRA; empty for LoRA."""
        config = self.config
        return other_type(config) if config is not None and not config.is_lora else ""


def adapter_document(adapter: Adapter) -> dict[str, Any]:
    """The adapter without its model, as JSON has it; `adapter_from` reads it."""
    config = adapter.config
    return {
        "file": adapter.file,
        "header": asdict(adapter.header),
        "config": None if config is None else config_document(config),
        "sub_adapters": list(adapter.sub_adapters),
        "alphas": dict(adapter.alphas),
    }


def adapter_from(document: Mapping[str, Any], model: Model) -> Adapter:
    """The adapter of `adapter_document`, which was read from the bucket for this model.

    Also of a document that an older version wrote.
    """
    known = {each.name for each in fields(LoraHeader)}
    header = {name: value for name, value in document["header"].items() if name in known}
    header["modules"] = tuple(LoraModule(**module) for module in header["modules"])
    for name, value in header.items():
        if isinstance(value, list):
            header[name] = tuple(value)
    config = document["config"]
    return Adapter(
        str(document["file"]),
        LoraHeader(**header),
        None if config is None else config_from(config),
        model,
        tuple(document.get("sub_adapters", ())),
        dict(document.get("alphas", {})),
    )


def read_local(path: Path) -> Adapter:
    """Inspect a safetensors file, or the only one of a directory.

    Raises IntegrityError, DiskError, NotFoundError and UsageError.
    """
    path, config, others = _find(path)
    with translate_disk_errors("The file can't be read", path):
        facts, alphas = _read_file(path)
    return Adapter(str(path), facts, config, sub_adapters=others, alphas=alphas)


def find_weights(path: Path) -> tuple[Path, AdapterConfig | None]:
    """A safetensors file, or the only one of a directory, and the configuration beside it.

    Raises IntegrityError, DiskError, NotFoundError and UsageError.
    """
    path, config, _ = _find(path)
    return path, config


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
    beside = str(PurePosixPath(weights.name).with_name(CONFIG))
    configs = [file for file in model.files if _base_name(file) == CONFIG]
    config = min(configs, key=lambda file: file.name != beside, default=None)
    content = None
    if config is not None:
        content, _ = read_prefix(sign(config.path), MAX_CONFIG_BYTES + 1)
    settings = read_config(content) if content is not None else None
    return Adapter(weights.label, facts, settings, model, _others_than(weights, model))


def _find(path: Path) -> tuple[Path, AdapterConfig | None, tuple[str, ...]]:
    """The weights, their configuration, and the names of adapters in folders beside them."""
    others: tuple[str, ...] = ()
    with translate_disk_errors("The file can't be read", path):
        if path.is_dir():
            path, others = _weights_in(path)
        if not path.is_file():
            raise UsageError("Neither a file nor a directory", details=str(path))
        config = path.with_name(CONFIG)
        content = None
        if config.is_file():
            with config.open("rb") as file:
                content = file.read(MAX_CONFIG_BYTES + 1)
    return path, read_config(content) if content is not None else None, others


def _read_file(path: Path) -> tuple[LoraHeader, dict[str, float]]:
    """The header, and the alphas that kohya's trainers save as tensors of one value."""
    with path.open("rb") as file:
        prefix, size = read_file_prefix(file)
        facts = read_header(prefix, file_size=size)
        alphas: dict[str, float] = {}
        if facts.layout in ("kohya", "diffusers", "ComfyUI"):
            table = parse_header(prefix[PREFIX_BYTES:], file_size=size)
            for name, place in _alpha_tensors(table):
                tensor = table.tensors[name]
                file.seek(PREFIX_BYTES + table.length + place)
                value = file.read(tensor.end - tensor.start)
                [alpha] = struct.unpack(_SCALARS[tensor.dtype], value)
                alphas[terminal_safe(name.removesuffix(".alpha"), limit=200)] = alpha
    return facts, alphas


def _alpha_tensors(table: Header) -> list[tuple[str, int]]:
    """Name and place of each alpha, in the order of the file."""
    found = [
        (name, tensor.start)
        for name, tensor in table.tensors.items()
        if name.endswith(".alpha") and tensor.parameters == 1 and tensor.dtype in _SCALARS
    ]
    return sorted(found, key=lambda each: each[1])[:_MOST_ALPHAS]


def _weights_in(directory: Path) -> tuple[Path, tuple[str, ...]]:
    """The weights of a directory, and the names of the adapters in its folders.

    PEFT saves an adapter that is not named `default` in a folder of its name.
    """
    folders = tuple(sorted(path.parent.name for path in directory.glob(f"*/{WEIGHTS}")))
    shown = tuple(terminal_safe(name, limit=80) for name in folders)
    for name in (WEIGHTS, *_USUAL_NAMES):
        if (directory / name).is_file():
            return directory / name, shown
    found = sorted(file.name for file in directory.glob("*.safetensors") if file.is_file())
    if found or not folders:
        return directory / _only_one(found, str(directory)), shown
    if len(folders) > 1:
        raise UsageError(
            "Several adapters in folders",
            details=", ".join(shown[:5]) + (", …" if len(shown) > 5 else ""),
            remedy=f"name one of them, such as {shown[0]}, at the end of the path",
        )
    return directory / folders[0] / WEIGHTS, ()


def _weights_of(model: Model) -> ArtifactFile:
    by_name = {file.name: file for file in model.files if file.name.endswith(".safetensors")}
    usual = [file for file in by_name.values() if _base_name(file) == WEIGHTS]
    if usual:  # those in a folder are of an adapter that PEFT does not load by default
        return min(usual, key=lambda file: file.name.count("/"))
    return by_name[_only_one(sorted(by_name), model.name)]


def _others_than(weights: ArtifactFile, model: Model) -> tuple[str, ...]:
    """The names of the adapters in other folders of the model."""
    paths = {PurePosixPath(file.name) for file in model.files if _base_name(file) == WEIGHTS}
    folders = {path.parent.name for path in paths - {PurePosixPath(weights.name)}}
    return tuple(terminal_safe(name, limit=80) for name in sorted(folders) if name)


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
