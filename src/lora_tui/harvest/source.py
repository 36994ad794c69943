"""The files of one job: what the worker says, checked, and how each is fetched into a spool."""

from __future__ import annotations

import re
import threading
from typing import Final

import httpx

from lora_tui.errors import ExpiredLinkError, IntegrityError
from lora_tui.filenames import safe_file_name
from lora_tui.gateway.environment import proxy_for
from lora_tui.gateway.gpu import Worker, WorkerResult
from lora_tui.gateway.retry import RETRY
from lora_tui.harvest.artifact_rows import stored_name
from lora_tui.harvest.download import Download
from lora_tui.harvest.failures import (
    RefusedResultError,
    SourceBusyError,
    SourceForbiddenError,
    SourceUnreachableError,
)
from lora_tui.harvest.source_connection import resolve_target
from lora_tui.harvest.spool import Spool
from lora_tui.text import terminal_safe

MOST_FILES: Final = 100
_NO_NAMES_ON_SOME_DISKS: Final = re.compile(r'[<>:"|?*]')
"""Characters that are replaced in a file's name in the bucket or on a user's disk."""
_PROGRESS: Final = 64 * 1024
"""Bytes after which the attempts are counted from zero again."""


class SourceFiles:
    """The files of one job; for a refused URL the worker is asked once again.

    Safe to use from several threads, one for each file.
    """

    def __init__(
        self, worker: Worker, external_job_id: str, *, allow_private_urls: bool = False
    ) -> None:
        """Ask the worker. Raises what `Worker.result` raises, and RefusedResultError."""
        self._worker = worker
        self._external_job_id = external_job_id
        self._allow_private_urls = allow_private_urls
        self._refused: set[str] = set()
        """Files of which a URL was refused once."""
        self._lock = threading.Lock()
        self._urls = checked_files(worker.result(external_job_id))

    @property
    def names(self) -> tuple[str, ...]:
        """In the order that the worker gives them."""
        return tuple(self._urls)

    def check(self) -> None:
        """Raises RefusedResultError where one of the files is at an address that is not public."""
        for url in self._urls.values():
            resolve_target(
                url, allow_private=self._allow_private_urls, by_proxy=proxy_for(url) is not None
            )

    def download(self, name: str, spool: Spool) -> None:
        """Download one file into the spool, resuming after a broken connection.

        Raises SourceGoneError, SourceForbiddenError, RefusedResultError, SourceUnreachableError,
        IntegrityError, DiskError, what `Worker.result` raises where a URL has expired, and
        SpoolClosedError.
        """
        download = Download(spool, allow_private_urls=self._allow_private_urls)
        attempts = RETRY
        while True:
            url, before = self._urls[name], spool.length
            try:
                download.attempt(url)
            except ExpiredLinkError:
                self._renew(name, url)
            except SourceUnreachableError as error:
                if spool.length - before >= _PROGRESS:
                    attempts = RETRY
                spool.require_open()
                if attempts.is_exhausted():
                    raise
                attempts = attempts.wait(_retry_hint(error))
                spool.require_open()
            else:
                spool.finish()
                return

    def _renew(self, name: str, refused: str) -> None:
        """Ask for new URLs of all files, unless another file has done so meanwhile."""
        with self._lock:
            if name in self._refused:
                raise SourceForbiddenError(
                    "The worker's storage refuses a file, with a new URL as well",
                    details=terminal_safe(name, limit=120),
                )
            self._refused.add(name)
            if self._urls[name] != refused:
                return
            urls = checked_files(self._worker.result(self._external_job_id))
            if urls.keys() != self._urls.keys():
                raise IntegrityError(
                    "The GPU worker names other files than before",
                    remedy="nothing to do: the next cycle begins this job anew",
                )
            self._urls = urls


def checked_files(result: WorkerResult) -> dict[str, str]:
    """File name → URL. Raises RefusedResultError.

    Names are keys of the artifact's files: an unsafe one is refused, never changed.
    """
    if len(result.files) > MOST_FILES:
        raise RefusedResultError(
            "The GPU worker names more files than a model can have",
            details=f"{len(result.files)}, the limit is {MOST_FILES}",
        )
    for name in result.files:
        plain = _NO_NAMES_ON_SOME_DISKS.sub("_", name)
        if not plain or safe_file_name(plain) != plain:
            raise RefusedResultError(
                "The GPU worker names a file by a name that can't be stored",
                details=terminal_safe(name, limit=120) or None,
            )
    if len({stored_name(name) for name in result.files}) < len(result.files):
        raise RefusedResultError("The GPU worker names two files by names that can't be told apart")
    return dict(result.files)


def _retry_hint(error: SourceUnreachableError) -> httpx.Response | SourceUnreachableError:
    """The error for the retry policy, with its Retry-After."""
    if isinstance(error, SourceBusyError) and error.retry_after:
        return httpx.Response(503, headers={"Retry-After": error.retry_after})
    return error
