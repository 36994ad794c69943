"""`sync`, `download` and `urls`: what needs the network and a signed-in user."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import Any, Final

from lora_tui import formats
from lora_tui.cache import models
from lora_tui.cache.transfers import Transfer, TransferState
from lora_tui.commands.context import Context, resolve
from lora_tui.config.profile import expanded
from lora_tui.domain import Model
from lora_tui.errors import ExitCode, HiddenFilesError, LoraTuiError, NotFoundError
from lora_tui.json_values import json_text
from lora_tui.text import terminal_safe

URL_SECONDS: Final = 3600
SYNC_PATIENCE: Final = 600.0


def sync_cache(context: Context) -> None:
    """Bring the cache up to the backend, telling how far it is."""
    context.require_network()
    from lora_tui.engine.online import OnlineWriters

    with closing(OnlineWriters(context.profile)) as online:
        report = online.sync(
            full=context.arguments.full,
            progress=_progress_line(context),
            patience=SYNC_PATIENCE,
            on_wait=lambda: context.say("Another lora-tui is syncing this cache; waiting for it."),
        )
    if context.can_redraw:
        context.talk.rewrite_line("")
    if context.json:
        context.print_data(
            {
                "written": report.written,
                "removed": report.removed,
                "curves": report.curves,
                "full": report.full,
            }
        )
        return
    written = ", ".join(f"{count:,} {table}" for table, count in report.written.items() if count)
    removed = sum(report.removed.values())
    gone = f"; {removed:,} removed" if removed else ""
    context.say(f"Synced: {written or 'nothing new'}{gone}; {report.curves:,} loss curves")


def download_model(context: Context) -> None:
    """Fetch a model's files, verified, into a directory."""
    context.require_network()
    arguments = context.arguments
    from lora_tui.engine.online import OnlineWriters
    from lora_tui.transfers.control import cancel_model

    writers = OnlineWriters(context.profile, limit_rate=arguments.limit_rate)
    with closing(writers) as online:
        model = _model(context, arguments.model)
        directory = expanded(arguments.to, "--to").absolute() if arguments.to else None
        bars = _Events(context) if arguments.events else _Bars(context)
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


def print_urls(context: Context) -> ExitCode:
    """Print signed URLs, for curl or aria2c. They are stored nowhere."""
    context.require_network()
    from lora_tui.engine.online import OnlineWriters
    from lora_tui.transfers.download import choose_files

    with closing(OnlineWriters(context.profile)) as online:
        model = _model(context, context.arguments.model)
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
        raise hidden[0] if hidden else NotFoundError("None of the files is available")
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


def _model(context: Context, reference: str) -> Model:
    with context.cache() as db:
        model = models.get_model(db, resolve(db, reference).id)
    if model is None:
        raise NotFoundError("Model not found or access denied")
    return model


def _progress_line(context: Context) -> Any:
    if not context.can_redraw or context.json:
        return None

    def tell(table: str, rows: int) -> None:
        context.talk.rewrite_line(f"{table}: {rows:,}")

    return tell


class _Events:
    """Progress of a download as one JSON object a line, for a program that follows it.

    One that stops reading (`head`) does not end the download.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, transfer: Transfer) -> None:
        """Print one step of one file."""
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


class _Bars:
    """Progress of a download: bars on a terminal, a line a finished file otherwise."""

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

    def __enter__(self) -> None:
        if self._rich is not None:
            self._rich.start()

    def __exit__(self, *_: object) -> None:
        if self._rich is not None:
            self._rich.stop()

    def update(self, transfer: Transfer) -> None:
        """Show one step of one file."""
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
    """Nobody may read stderr any more; that does not end a download."""
    with suppress(BrokenPipeError):
        context.say(line)


def _how(transfer: Transfer) -> str:
    """How a finished file was verified, in a few words."""
    return f"({transfer.checked.word})" if transfer.checked else ""
