"""`download`: fetch files of a model, verified and resumable; `urls`: print signed URLs of them."""

from __future__ import annotations

import errno
import os
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, Self

from lora_tui import formats
from lora_tui.cache import models
from lora_tui.cache.transfer_queue import Transfer, TransferState
from lora_tui.commands.context import Context, resolve
from lora_tui.config.kinds import expanded
from lora_tui.domain import Model
from lora_tui.errors import ExitCode, HiddenFilesError, LoraTuiError, NotFoundError, UsageError
from lora_tui.files import disk_error
from lora_tui.json_values import json_text
from lora_tui.text import terminal_safe

URL_SECONDS: Final = 3600
"""How long a printed URL is valid."""


def download_model(context: Context) -> None:
    """Fetch and verify a model's files into a directory."""
    arguments = context.arguments
    directory = _directory(arguments.to) if arguments.to is not None else None
    context.require_network()
    from lora_tui.engine.online import OnlineWriters
    from lora_tui.transfers.control import cancel_model

    writers = OnlineWriters(context.profile, limit_rate=arguments.limit_rate)
    with closing(writers) as online:
        model = require_model(context, arguments.model)
        bars = _Events(context) if arguments.events else Bars(context)
        with bars:
            try:
                outcome = online.download(
                    model.id,
                    arguments.file or None,
                    directory=directory,
                    force=arguments.force,
                    on_change=bars.update,
                    on_held=lambda row, holder: _say(
                        context,
                        f"{terminal_safe(row.file, limit=60)} is being downloaded by {holder};"
                        " waiting for it",
                    ),
                )
            except KeyboardInterrupt:
                with context.cache() as db:
                    cancel_model(db, model.id)
                raise
    if arguments.events:
        return
    if context.json:
        context.print_data(
            {
                "model_id": model.id,
                "model_name": model.name,
                "directory": str(outcome.directory),
                "files": list(outcome.done),
                "checked": dict(outcome.checked),
            }
        )
        return
    context.out.write(f"{outcome.directory}\n")


def _directory(to: str) -> Path:
    """The directory of --to. Raises UsageError for an empty one, DiskError where a file is."""
    if not to:
        raise UsageError("--to names no directory", remedy="name one, or leave out --to")
    directory = expanded(to, "--to").absolute()
    if directory.exists() and not directory.is_dir():
        error = NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        raise disk_error(
            error,
            "The files can't be saved there",
            directory,
            instead="choose another directory with --to",
        )
    return directory


def require_model(context: Context, reference: str) -> Model:
    """The model that a reference names. Raises NotFoundError, UsageError."""
    with context.cache() as db:
        return models.require_model(db, resolve(db, reference).id)


def print_urls(context: Context) -> ExitCode:
    """Print signed URLs, for curl or aria2c. They are not stored."""
    context.require_network()
    from lora_tui.engine.online import OnlineWriters
    from lora_tui.transfers.download import choose_files

    with closing(OnlineWriters(context.profile)) as online:
        model = require_model(context, context.arguments.model)
        files = choose_files(model, context.arguments.file or None)
        signed = online.sign_many([file.path for file in files])
    urls: dict[str, str] = {}
    for file in files:
        answer = signed[file.path]
        if isinstance(answer, LoraTuiError):
            context.say(f"{file.label}: {answer}")
        else:
            urls[file.name] = answer
    if not urls:
        hidden = [error for error in signed.values() if isinstance(error, HiddenFilesError)]
        raise (
            hidden[0]
            if hidden
            else NotFoundError(
                "None of the files is available", remedy="run `lora-tui sync`, then try again"
            )
        )
    if context.json:
        data: dict[str, Any] = {
            "model_id": model.id,
            "model_name": model.name,
            "download_urls": urls,
            "expires_in_seconds": URL_SECONDS,
        }
        context.print_data(data)
    else:
        context.out.writelines(f"{url}\n" for url in urls.values())
    return ExitCode.OK if len(urls) == len(files) else ExitCode.PARTLY_FAILED


class _Events:
    """Progress of a download as JSON objects, one a line, for another program.

    The download continues if that program stops reading (`head`).
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, transfer: Transfer) -> None:
        """Print one change of one file."""
        event = {
            "event": "transfer",
            "model_id": transfer.model_id,
            "file": transfer.file,
            "state": transfer.state.value,
            "bytes_done": transfer.bytes_done,
            "bytes_total": transfer.bytes_total,
            "retries": transfer.attempts,
            "sha256": transfer.sha256,
            "checked": transfer.checked,
            "target": str(transfer.target),
            "error": transfer.error,
        }
        with suppress(BrokenPipeError):
            self._context.out.write(json_text(event) + "\n")
            self._context.out.flush()


class Bars:
    """Progress of a download: bars on a terminal, else one line for each finished file."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rich: Any = None
        self._tasks: dict[int, Any] = {}
        self._told: set[tuple[int, TransferState]] = set()
        if context.can_redraw and not context.json:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            self._rich = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                DownloadColumn(binary_units=True),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=Console(
                    file=context.talk.stream, no_color=context.arguments.no_color or None
                ),
            )

    def __enter__(self) -> Self:
        if self._rich is not None:
            self._rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._rich is not None:
            self._rich.stop()

    def update(self, transfer: Transfer) -> None:
        """Show one change of one file."""
        name = terminal_safe(transfer.file, limit=60)
        again = f" ({transfer.attempts} retries)" if transfer.attempts else ""
        if self._rich is not None:
            if transfer.id not in self._tasks:
                self._tasks[transfer.id] = self._rich.add_task(name, total=transfer.bytes_total)
            self._rich.update(
                self._tasks[transfer.id],
                completed=transfer.bytes_done,
                total=transfer.bytes_total,
                description=terminal_safe(
                    f"{name} {transfer.error or _how(transfer)}{again}", limit=400
                ),
            )
            return
        step = (transfer.id, transfer.state)
        if self._context.json or step in self._told:
            return
        self._told.add(step)
        if transfer.state is TransferState.DONE:
            how = transfer.checked.sentence if transfer.checked else "downloaded"
            _say(self._context, f"{name}: {formats.size(transfer.bytes_done)}, {how}{again}")
        elif transfer.state is TransferState.FAILED:
            _say(self._context, f"{name}: {transfer.error}")


def _say(context: Context, line: str) -> None:
    """Print to stderr; a closed stderr does not end the download."""
    with suppress(BrokenPipeError):
        context.say(line)


def _how(transfer: Transfer) -> str:
    """How a finished file was verified, in a few words."""
    return f"({transfer.checked.word})" if transfer.checked else ""
