"""The messages between the application and its engine: JSON lines, the handshake, errors as data.

The application sends `Hello`, then requests; the engine answers `Ready` or an error, then answers
and events. Pure functions; `server` and `process` own the streams.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from lora_tui import __version__
from lora_tui.cache.metadata import Owner
from lora_tui.errors import EngineEndedError, LoraTuiError, error_of_kind, kind_name

PROTOCOL: Final = 1
KEYRING: Final = "keyring"
"""The event of a keyring that keeps a call waiting (True), or does so no more (False)."""
HARVEST: Final = "harvest"
"""The event of a harvest that has started, is stopping or has ended; see `BackgroundHarvest`."""
CACHE: Final = "cache"
"""The event of a request that has written into the cache and goes on: to look there is worth it."""
MARKS: Final = "marks"
"""The event of something to know of the file of one's own marks, as a sentence."""
PROVING: Final = "proving"
"""The event of a proof that goes on: model, server, answers so far and of all; 0 at its end."""
TRYING: Final = "trying"
"""The event of answers that are coming, all of them so far; see `engine/trying.py`."""
MAX_LINE: Final = 32 << 20
"""Bytes of the longest message: the header of an adapter with very many modules."""


def _installed_build() -> str:
    """The version, and which file this module was read from: an upgrade replaces that file."""
    try:
        status = Path(__file__).stat()
    except OSError:
        return __version__
    return f"{__version__}-{status.st_ino}-{status.st_mtime_ns}"


BUILD: Final = _installed_build()
"""Identifies the installation that this process runs."""


def was_upgraded() -> bool:
    """Whether another installation has replaced the one that this process runs."""
    return _installed_build() != BUILD


@dataclass(frozen=True)
class Hello:
    """The first message to the engine: what it works on."""

    profile: str | None
    """The name of the profile, as `--profile` takes it; None for the one in force."""
    config_file: Path | None
    offline: bool
    owner: Owner | None
    """The owner of the cache; None before anybody has signed in."""
    demo: str | None = None
    """Which demo, in place of a profile."""
    build: str = BUILD
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Ready:
    """The first message from the engine, which works from now on."""

    pid: int
    build: str = BUILD
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Request:
    """One call that the engine is asked for."""

    id: int
    name: str
    arguments: Mapping[str, Any] = field(repr=False)
    """May hold what was typed into a form."""


@dataclass(frozen=True)
class Answer:
    """The result of a request, or its error."""

    id: int
    value: Any = None
    error: LoraTuiError | None = None


@dataclass(frozen=True)
class Event:
    """Something that the cache does not hold; the newest of a name replaces an older one."""

    name: str
    data: Any


Message = Hello | Ready | Request | Answer | Event | LoraTuiError
"""A LoraTuiError in place of Ready: the engine can't work."""


def encode(message: Message) -> bytes:
    """The line of a message, with its line break. Raises LoraTuiError where it is too long."""
    line = json.dumps(_document(message), separators=(",", ":")).encode() + b"\n"
    if len(line) > MAX_LINE:
        raise LoraTuiError(f"A message of {len(line):,} bytes is too long for the engine")
    return line


def read_message(stream: IO[bytes]) -> Message | None:
    """The next message; None at the end. Raises EngineEndedError for anything else."""
    line = stream.readline(MAX_LINE)
    if not line:
        return None
    try:
        if not line.endswith(b"\n"):
            raise ValueError("a line without an end")
        return _message(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise EngineEndedError(
            "The engine sent something that is no message", details=type(error).__name__
        ) from None


def error_document(error: LoraTuiError) -> dict[str, str | None]:
    """An error as data; of a kind of another module than `errors`, the nearest that it knows."""
    return {
        "kind": kind_name(error),
        "message": str(error),
        "details": error.details,
        "remedy": error.remedy,
    }


def error_of(document: Mapping[str, Any]) -> LoraTuiError:
    """The error of a document; a kind that is not known here is a LoraTuiError."""
    found = error_of_kind(
        str(document["kind"]), str(document["message"]), details=document.get("details")
    )
    found.remedy = document.get("remedy")
    return found


def _document(message: Message) -> dict[str, Any]:
    match message:
        case Hello():
            owner = message.owner
            return {
                "hello": {
                    "protocol": message.protocol,
                    "build": message.build,
                    "profile": message.profile,
                    "config": str(message.config_file) if message.config_file else None,
                    "offline": message.offline,
                    "owner": list(owner) if owner else None,
                    "demo": message.demo,
                }
            }
        case Ready():
            return {
                "ready": {
                    "protocol": message.protocol,
                    "build": message.build,
                    "pid": message.pid,
                }
            }
        case LoraTuiError():
            return {"refused": error_document(message)}
        case Request():
            return {"id": message.id, "do": message.name, "with": dict(message.arguments)}
        case Answer():
            if message.error is not None:
                return {"id": message.id, "error": error_document(message.error)}
            return {"id": message.id, "ok": message.value}
        case Event():
            return {"event": message.name, "data": message.data}


def _message(document: dict[str, Any]) -> Message:
    match document:
        case {"hello": hello}:
            config, owner = hello["config"], hello["owner"]
            return Hello(
                profile=hello["profile"],
                config_file=Path(config) if config else None,
                offline=bool(hello["offline"]),
                owner=Owner(*owner) if owner else None,
                demo=hello["demo"],
                build=str(hello["build"]),
                protocol=int(hello["protocol"]),
            )
        case {"ready": ready}:
            return Ready(int(ready["pid"]), str(ready["build"]), int(ready["protocol"]))
        case {"refused": error}:
            return error_of(error)
        case {"id": int(number), "do": str(name), "with": dict(arguments)}:
            return Request(number, name, arguments)
        case {"id": int(number), "error": dict(error)}:
            return Answer(number, error=error_of(error))
        case {"id": int(number), "ok": value}:
            return Answer(number, value)
        case {"event": str(name), "data": data}:
            return Event(name, data)
    raise ValueError("no message")
