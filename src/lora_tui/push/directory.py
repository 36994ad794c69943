"""Reads and checks a directory that PEFT saved an adapter to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from lora_tui import formats
from lora_tui.adapters.agreement import config_mismatches
from lora_tui.adapters.config import CONFIG, MAX_CONFIG_BYTES, AdapterConfig, read_config
from lora_tui.adapters.header import PREFIX_BYTES, WEIGHTS, LoraHeader, read_file_header
from lora_tui.domain.weight_summary import WeightSummary
from lora_tui.errors import IntegrityError, NotFoundError, UsageError
from lora_tui.files import translate_disk_errors
from lora_tui.harvest.passing_weights import measured_summary
from lora_tui.harvest.structure import DamagedFileError, Inspector
from lora_tui.push.credentials import credential_kinds
from lora_tui.text import terminal_safe

TRAINING_ARGS: Final = "training_args.bin"
"""A pickle of the Trainer's arguments: runs code when it is opened, and has its tokens in clear."""
_TOKENIZER_FILES: Final = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "tokenizer.model", "chat_template.jinja", "chat_template.json",
    # byte pairs, WordPiece, SentencePiece, tiktoken, Mistral's own
    "vocab.json", "merges.txt", "vocab.txt", "vocab.bpe", "bpe.codes", "dict.txt", "vocab.model",
    "spiece.model", "spm.model", "spm_char.model", "sentencepiece.model", "sentencepiece.bpe.model",
    "source.spm", "target.spm", "target_vocab.json", "vocab-src.json", "vocab-tgt.json",
    "tiktoken.model", "tekken.json", "normalizer.json", "emoji.json", "byte_maps.json",
    "entity_vocab.json", "prophetnet.tokenizer",
)  # fmt: skip
_PROCESSOR_FILES: Final = (
    "preprocessor_config.json", "processor_config.json", "image_processor_config.json",
    "video_preprocessor_config.json", "audio_tokenizer_config.json",
)  # fmt: skip
PUSHED: Final = (WEIGHTS, CONFIG, *_TOKENIZER_FILES, *_PROCESSOR_FILES)
"""The files of an adapter, the weights first: those of save_pretrained of PEFT, and of the
tokenizers and processors of transformers. A checkpoint also has optimiser states: not pushed."""
_VERSIONED: Final = re.compile(
    r"tokenizer\.model\.v\d{1,3}\w{0,8}|[\w.-]{1,60}\.tiktoken", re.ASCII
)
"""Tokenizers whose file names hold a version or the name of a model."""
LARGEST_FILE: Final = 5 << 30
"""Bytes; the bucket takes no larger one."""

_PIECE: Final = 1 << 20


@dataclass(frozen=True)
class LocalFile:
    """A file on this disk."""

    path: Path
    size: int
    """Bytes."""
    sha256: str

    @property
    def name(self) -> str:
        """Its name in the model."""
        return self.path.name


@dataclass(frozen=True)
class LocalAdapter:
    """An adapter on this disk that matches its configuration."""

    directory: Path
    files: tuple[LocalFile, ...]
    """The weights first."""
    left_out: tuple[str, ...]
    """Names of files that are no part of an adapter; safe for a terminal."""
    facts: LoraHeader
    config: AdapterConfig
    config_content: bytes
    """Of adapter_config.json."""
    trained_at: datetime
    """When the weights were written."""
    weights: WeightSummary | None
    """What they say; None where they can't be measured."""

    @property
    def sha256(self) -> str:
        """Of the weights."""
        return self.files[0].sha256


def read_directory(directory: Path, *, training_args: bool = False) -> LocalAdapter:
    """Read and check every file that would be pushed; with `training_args` that pickle too.

    Raises NotFoundError and UsageError where it is no adapter's directory, IntegrityError where
    the adapter is damaged or PEFT would not load it, DiskError.
    """
    weights, config = _require_file(directory / WEIGHTS), _require_file(directory / CONFIG)
    with translating_read_errors():
        facts = read_file_header(weights)
        with config.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
        settings = read_config(content)
        _require_agreement(facts, settings)
        names = sorted(path.name for path in directory.iterdir())
        chosen: list[str] = [name for name in PUSHED if name in names]
        chosen += [name for name in names if _VERSIONED.fullmatch(name)]
        if training_args and TRAINING_ARGS in names:
            chosen.append(TRAINING_ARGS)
        files = tuple(
            _measure(require_inside(directory / name))
            for name in chosen
            if (directory / name).is_file()
        )
        trained_at = datetime.fromtimestamp(int(weights.stat().st_mtime), UTC)
        with weights.open("rb") as opened:
            summary = measured_summary(opened.fileno(), settings)
    left_out = tuple(terminal_safe(name, limit=80) for name in names if name not in chosen)
    return LocalAdapter(
        directory,
        files,
        left_out,
        facts,
        settings,
        content,
        trained_at,
        WeightSummary.from_json(summary),
    )


def find_credentials(adapter: LocalAdapter) -> dict[str, tuple[str, ...]]:
    """File name → the kinds of credentials that it seems to hold. Of the weights, the header is
    searched. Raises DiskError."""
    found: dict[str, tuple[str, ...]] = {}
    for file in adapter.files:
        most = adapter.facts.header_bytes + PREFIX_BYTES if file.name == WEIGHTS else file.size
        with translating_read_errors(), file.path.open("rb") as source:
            kinds = credential_kinds(_pieces(source, most))
        if kinds:
            found[file.name] = kinds
    return found


@contextmanager
def translating_read_errors() -> Iterator[None]:
    """Raise errors of the file system as DiskError."""
    with translate_disk_errors("The adapter can't be read"):
        yield


def training_settings(adapter: LocalAdapter) -> dict[str, Any]:
    """The hyperparameters in the adapter's configuration, by their names in the deployed API."""
    config = adapter.config
    found: dict[str, Any] = {
        "base_model": config.base_model or None,
        "lora_rank": config.rank,
        "lora_alpha": config.alpha,
        "target_modules": None if config.target_modules is None else [*config.target_modules],
    }
    return {key: value for key, value in found.items() if value is not None}


def require_inside(path: Path) -> Path:
    """The path. Raises UsageError where it is a link to a file outside its directory."""
    with translating_read_errors():
        left = not path.resolve().is_relative_to(path.parent.resolve())
    if left:
        raise UsageError(
            f"{path.name} is a link to a file outside the directory",
            details=terminal_safe(path.resolve(), limit=200),
            remedy="copy the file into the directory if it belongs to the adapter, or take the"
            " link out; nothing was sent",
        )
    return path


def _require_file(path: Path) -> Path:
    if not path.parent.is_dir():
        raise NotFoundError("There is no such directory", details=str(path.parent))
    if path.is_file():
        return require_inside(path)
    pickled = path.name == WEIGHTS and (path.parent / "adapter_model.bin").is_file()
    remedy = "name the directory that PEFT's save_pretrained wrote"
    if pickled:
        remedy = (
            "save it again with safe_serialization=True: weights in a .bin file are a pickle,"
            " which runs code when it is opened"
        )
    elif inner := _adapters_in(path.parent):
        remedy = f"name one of its adapters: {', '.join(inner)}"
    raise NotFoundError(
        f"The directory holds no {path.name}", details=str(path.parent), remedy=remedy
    )


def _adapters_in(directory: Path) -> list[str]:
    """A few directories in it that hold an adapter, as PEFT saves one that is not `default`."""
    with translating_read_errors():
        found = sorted(file.parent.name for file in directory.glob(f"*/{WEIGHTS}"))
    return [terminal_safe(name, limit=80) for name in found[:5]]


def _pieces(source: BinaryIO, most: int) -> Iterator[bytes]:
    """The first `most` bytes of a file."""
    while most > 0 and (piece := source.read(min(most, _PIECE))):
        most -= len(piece)
        yield piece


def _require_agreement(facts: LoraHeader, config: AdapterConfig) -> None:
    problems = config_mismatches(facts, config)
    if problems:
        raise IntegrityError(
            "PEFT would not load this adapter",
            details="; ".join(problems),
            remedy="`lora-tui inspect` of the directory tells more; nothing was sent",
        )


def _measure(path: Path) -> LocalFile:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
        try:
            Inspector(path.name).check(file.fileno(), size)
        except DamagedFileError as error:
            raise IntegrityError(
                "A file of the adapter can't be used",
                details=error.details,
                remedy="save it again, or take it out of the directory; nothing was sent",
            ) from None
    if size > LARGEST_FILE:
        raise UsageError(
            f"{path.name} is larger than the bucket takes",
            details=f"{formats.exact_bytes(size)}, at most {formats.count(LARGEST_FILE)}",
            remedy="save the adapter alone, without the base model, or with fewer saved modules",
        )
    return LocalFile(path, size, digest.hexdigest())
