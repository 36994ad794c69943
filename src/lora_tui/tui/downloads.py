"""Starts downloads for the screens, and reports once when each has ended."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from lora_tui import formats
from lora_tui.cache.models import names_of
from lora_tui.cache.transfer_queue import Transfer, TransferState, active_transfers, transfers_of
from lora_tui.errors import CancelledError, LoraTuiError, NotSignedInError, error_of_kind
from lora_tui.widgets.bindings import key_of
from lora_tui.widgets.cells import short_path

if TYPE_CHECKING:
    from lora_tui.tui.cache_app import CacheApp
    from lora_tui.tui.download_toasts import DownloadToasts


class Downloads:
    """The downloads of the application's cache.

    A download that was started here is reported by the call that waits for it, which knows the
    remedy of an error; any other (of an earlier run, of another process, resumed after a pause) is
    reported by `report_ended`, from its rows.
    """

    def __init__(self, app: CacheApp) -> None:
        self._app = app
        self._asked: set[str] = set()
        """Ids of models whose download was started here."""
        self._begun: set[str] = set()
        """Those of them that have had active files."""
        self._to_cancel: set[str] = set()
        """Those that the user has stopped before they had any."""
        self._under_way: set[str] = set()
        """Ids of models with active files at the last check, whoever started them."""
        self._resumes = False
        self._looking = False

    @cached_property
    def _toasts(self) -> DownloadToasts:
        from lora_tui.tui.download_toasts import DownloadToasts

        return DownloadToasts(self._app)

    @property
    def running(self) -> bool:
        """Whether quitting would interrupt a download."""
        return bool(self._asked) or (self._resumes and bool(active_transfers(self._app.db)))

    def watch(self) -> None:
        """Report downloads that are active from now on when they end."""
        self._under_way = {row.model_id for row in active_transfers(self._app.db)}

    def announce_unfinished(self) -> None:
        """Announce the downloads that an earlier run left unfinished; `resume` resumes them."""
        files = len(active_transfers(self._app.db))
        if files:
            key = key_of(self._app, "app.transfers")
            self._app.notify(
                f"{formats.counted(files, 'unfinished file')}. Press {key} to open Transfers",
                title="Resuming downloads",
            )
        self._resumes = True

    def resume(self, *, signed_in: bool = False) -> None:
        """Resume queued downloads in the background; see `Writers.resume_downloads`."""
        app = self._app

        def failed(error: LoraTuiError) -> None:
            if not isinstance(error, NotSignedInError):  # the sync finds that too, and says so
                app.show_error(error, title="Downloads not resumed")

        resume = partial(app.writers.resume_downloads, signed_in=signed_in)
        app.start(resume, lambda _: app.poll_cache(), failed=failed, name="writer")

    def start(self, model_id: str, name: str, files: Sequence[str] | None = None) -> None:
        """Download all files of a model, or those named; notify when it has ended."""
        if model_id in self._asked:
            self._app.notify(f"{name} is being downloaded already")
            return
        self._asked.add(model_id)
        self._fetch(model_id, name, files)

    def begins(self, model_id: str) -> bool:
        """Whether it was started here, and none of its files is in the queue yet."""
        return model_id in self._asked - self._begun

    def cancel(self, model_id: str) -> None:
        """Stop the download of a model; one that only begins, as soon as it has files."""
        if any(row.model_id == model_id for row in active_transfers(self._app.db)):
            self._to_cancel.discard(model_id)
            self._app.ask(partial(self._app.writers.cancel_download, model_id))
        elif self.begins(model_id):
            self._to_cancel.add(model_id)

    def report_ended(self) -> None:
        """Report downloads that have ended and were not started here; call it when rows change."""
        active = {row.model_id for row in active_transfers(self._app.db)}
        self._begun |= self._asked & active
        for model_id in self._to_cancel & active:
            self.cancel(model_id)
        ended, self._under_way = self._under_way - active - self._asked, active
        names = names_of(self._app.db, list(ended))
        for model_id in ended:
            name = names.get(model_id, model_id)
            rows = transfers_of(self._app.db, model_id)
            failed = [row for row in rows if row.state is TransferState.FAILED]
            if failed:
                error = error_of_kind(failed[0].error_kind, failed[0].error or "")
                self._toasts.report_failed(name, error)
            elif rows and all(row.state is TransferState.DONE for row in rows):
                self._notify_done(name, rows)

    def check_disk(self) -> None:
        """Check finished files on the disk, in the background."""
        if not self._looking:
            self._looking = True

            def checked(_: object) -> None:
                """On an error the states stay as they were; the next check may succeed."""
                self._looking = False
                self._app.poll_cache()

            self._app.start(self._app.writers.check_downloads, checked, failed=checked, name="disk")

    def _fetch(self, model_id: str, name: str, files: Sequence[str] | None) -> None:
        app = self._app

        def done(_: None) -> None:
            self._notify_done(name, transfers_of(app.db, model_id))
            ended()

        def failed(error: LoraTuiError) -> None:
            if not isinstance(error, CancelledError):
                self._toasts.report_failed(name, error)
            elif not any(
                row.state is TransferState.PAUSED for row in transfers_of(app.db, model_id)
            ):
                self._toasts.report_stopped(name)
            ended()

        def ended() -> None:
            for models in (self._asked, self._begun, self._to_cancel):
                models.discard(model_id)
            self._under_way.discard(model_id)  # it has been reported
            app.poll_cache()

        fetch = partial(app.writers.download, model_id, files)
        app.start(fetch, done, failed=failed, name="download")

    def _notify_done(self, name: str, rows: Sequence[Transfer]) -> None:
        places: set[Path] = {row.target.parent for row in rows}
        lines = [short_path(place) for place in sorted(places)]
        unproven = sum(row.checked is not None and not row.checked.proven for row in rows)
        if unproven:
            what = formats.counted(unproven, "file has", "files have")
            lines.append(f"{what} no checksum to compare")
        self._toasts.report_done(name, *lines)
