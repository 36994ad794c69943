"""What loading and unloading need of the program around them, and what they share."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from lora_tui import clock
from lora_tui.adapters.inspection import Adapter
from lora_tui.cache.connection import transaction
from lora_tui.cache.downloaded import downloaded_to
from lora_tui.cache.served import put_server_state
from lora_tui.config.paths import Paths, digest
from lora_tui.config.servers import Server
from lora_tui.deployments.copy import refresh_served
from lora_tui.domain import ArtifactFile, Model
from lora_tui.domain.servers import Loaded, Proof, ServerState
from lora_tui.errors import InUseError, LoraTuiError, UnreachableError, UsageError
from lora_tui.files import translate_disk_errors
from lora_tui.locks.file_lock import locked_directory, locked_file
from lora_tui.processes import in_use_error
from lora_tui.secret import Secret
from lora_tui.serving.client import Client
from lora_tui.serving.delivery import Delivery, Version
from lora_tui.transfers.model_directory import model_directory

LINK_SECONDS: Final = 3600
"""How long the links of a script are valid."""
_BUSY_SECONDS: Final = 200.0
"""The longest wait for another process that asks the same server; see `requests.WORKING`."""
_LONGEST_NAME: Final = 100
_SIGNS: Final = frozenset("-_.")


@dataclass(frozen=True)
class LoadOptions:
    """What a user may say beside model and server."""

    name: str | None = None
    """A name of one's own on the server; None for that of the version."""
    anyway: bool = False
    """Try also what the server is known to refuse."""
    via: str | None = None
    """The command that opens a shell on the server's machine; None for the server's own."""
    remote: str | None = None
    """The directory there; None for the server's own."""
    delivered: bool = False
    """The files are in `remote` already: by the printed script, say."""
    proves: bool = True
    """Whether the effect is proved after loading."""


class Project(Protocol):
    """What is asked of the project, over the network."""

    def fetch(self, model: Model, directory: Path) -> None:
        """Download all files, verified; see `transfers.download`."""

    def stamp_of(self, file: ArtifactFile) -> str | None:
        """The ETag of a file; None where the storage does not tell."""

    def sign_many(self, paths: Sequence[str]) -> Mapping[str, str | LoraTuiError]:
        """A link that is valid for LINK_SECONDS, or the reason why there is none, of each path."""

    def read_header(self, model: Model) -> Adapter:
        """The header of the weights in the bucket."""

    def note_status(self, model: Model, *, deployed: bool) -> str | None:
        """Note in the project whether a server has the model; why that is not possible, if so."""


@dataclass(frozen=True)
class Tools:
    """What loading needs of the program around it."""

    paths: Paths
    owner: str
    """`deployments.record.owner_key`."""
    db: sqlite3.Connection
    downloads: Path
    project: Project
    say: Callable[[str], None]
    """Takes a line of progress."""
    confirm: Callable[[str, Secret], bool]
    """Whether a command may run a script on another machine; it is shown before."""
    proving: Callable[[int, int], None] = lambda _done, _of: None
    """Takes how many questions of a proof were asked, and of how many."""
    has_terminal: bool = False
    check_stop: Callable[[], None] = lambda: None


class Outcome(NamedTuple):
    """What loading has led to."""

    loaded: Loaded | None
    """None where the server must be started again first: see `commands`."""
    was_there: bool = False
    """Whether the server had it already."""
    remarks: tuple[str, ...] = ()
    """Sentences: what this server does otherwise than PEFT with this adapter, and the like."""
    commands: str = ""
    """Shell commands that start llama-server with this adapter."""
    proof: Proof | None = None
    proof_error: LoraTuiError | None = None
    """Why it could not be proved; it is loaded all the same."""


def served_name(text: str) -> str:
    """A name of one's own for an adapter on a server. Raises UsageError where it can't be one."""
    name = text.strip()
    plain = all((sign.isascii() and sign.isalnum()) or sign in _SIGNS for sign in name)
    if not (0 < len(name) <= _LONGEST_NAME and name[0].isalnum() and plain):
        raise UsageError(
            "This can't be the name of an adapter on a server",
            details=repr(text[:120]),
            remedy=f"use up to {_LONGEST_NAME} letters, digits, dots, - and _",
        )
    return name


def state_of(client: Client, server: Server, tools: Tools) -> ServerState:
    """What the server has now, kept in the cache. Raises UnreachableError if it is silent."""
    state = client.state()
    with transaction(tools.db):
        put_server_state(tools.db, state)
    if not state.answers:
        raise UnreachableError(
            f"{server.name} does not answer",
            details=state.error or None,
            remedy=f"check that it runs at {server.url}",
        )
    return state


def refresh(client: Client, tools: Tools) -> ServerState:
    """Bring the cache up to what the server has now, and return that."""
    state = client.state()
    with transaction(tools.db):
        put_server_state(tools.db, state)
    refresh_served(tools.db, tools.paths, tools.owner)
    return state


def copies_of(model: Model, tools: Tools) -> list[Path]:
    """Directories of this machine that may have this version."""
    noted = downloaded_to(tools.db, model.id)
    usual = model_directory(model, Path(os.path.realpath(tools.downloads)))
    return [path for path in dict.fromkeys([noted, usual]) if path is not None and path.is_dir()]


def loaded_row(
    tools: Tools, server: Server, model: Model, version: Version, name: str, place: Delivery
) -> Loaded:
    """The note that a server has this version, loaded from this place, from now on."""
    return Loaded(
        owner=tools.owner,
        server=server.name,
        url=server.url,
        name=name,
        model_id=model.id,
        model_name=model.name,
        version=version.mark,
        server_path=place.server_path,
        directory=str(place.directory) if place.directory is not None else "",
        loaded_at=clock.timestamp_text(clock.now()),
    )


@contextmanager
def locked_place(directory: Path | None) -> Iterator[None]:
    """The lock that writers into the directory take before they ask whether a server has it."""
    if directory is None:
        yield
        return
    with (
        translate_disk_errors("The delivered directory can't be locked", directory),
        locked_directory(directory),
    ):
        yield


@contextmanager
def changing(server: Server, tools: Tools) -> Iterator[None]:
    """Whoever changes what a server has loaded is alone, so that note and server say the same.

    Two processes may give one name to two versions: the note of the second would take the place of
    the first one's, whose files would be protected no more. Raises InUseError, DiskError.
    """
    lock = tools.paths.deployments_file.with_name(f"server-{digest(server.url)}.lock")
    with ExitStack() as held:
        with translate_disk_errors(f"{server.name} can't be locked", lock):
            lock.parent.mkdir(parents=True, exist_ok=True)
            holder = held.enter_context(
                locked_file(
                    lock,
                    patience=_BUSY_SECONDS,
                    on_wait=lambda who: tools.say(f"waiting: {who} changes {server.name}"),
                )
            )
        if holder is not None:
            raise in_use_error(f"Another lora-tui changes {server.name}", holder, lock, InUseError)
        yield


def remote_directory(server: Server, options: LoadOptions) -> str:
    """The directory for adapters on the server's machine. Raises UsageError if none is named."""
    directory = options.remote or server.remote
    if not directory:
        raise UsageError(
            f"The directory for adapters on the machine of {server.name} is not known",
            remedy="name it with --remote DIR, or as `remote` of the server",
        )
    return directory
