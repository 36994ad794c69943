"""Sends the files of an adapter to the bucket, and writes the metric points of its job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Final

from lora_tui.errors import CancelledError, IntegrityError
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.retry import repeat
from lora_tui.harvest.artifact_rows import StoredFile
from lora_tui.harvest.receipts import Receipts
from lora_tui.harvest.sending import Sender
from lora_tui.harvest.spool import Spool
from lora_tui.harvest.store import store_file
from lora_tui.json_values import Row
from lora_tui.push.directory import LocalFile, translating_read_errors

_PIECE: Final = 1 << 20
"""Bytes that are read at once."""
_FILES_AT_ONCE: Final = 4
_POINTS_AT_ONCE: Final = 500


def send_files(
    sender: Sender,
    files: Sequence[tuple[LocalFile, str]],
    receipts: Receipts,
    spool_dir: Path,
    *,
    check: Callable[[], None],
    on_file: Callable[[StoredFile], None],
) -> list[StoredFile]:
    """Store files as the objects at these paths, several at once, as each waits for its answers.

    `check` is called before each file, in its thread; `on_file` after each, in this one. Where a
    file fails, those in hand are stopped. Raises IntegrityError where one is no longer the file
    that was checked, and what `store_file` raises.
    """
    ended = threading.Event()

    def check_stop() -> None:
        if ended.is_set():
            raise CancelledError("The push was stopped")

    def send(file: LocalFile, path: str) -> StoredFile:
        check_stop()
        check()
        return _send_file(sender, file, path, receipts, spool_dir, check_stop)

    pool = ThreadPoolExecutor(_FILES_AT_ONCE, "push")
    try:
        sending = [pool.submit(send, file, path) for file, path in files]
        for one in as_completed(sending):
            on_file(one.result())
        return [one.result() for one in sending]
    finally:
        ended.set()
        pool.shutdown(cancel_futures=True)


def _send_file(
    sender: Sender,
    file: LocalFile,
    path: str,
    receipts: Receipts,
    spool_dir: Path,
    check_stop: Callable[[], None],
) -> StoredFile:
    """Store a file as the object `path`, unless it is there already."""
    stored = store_file(
        sender,
        file.name,
        path,
        partial(_read_into, file),
        spool_dir=spool_dir,
        receipts=receipts,
        check_stop=check_stop,
    )
    if stored.sha256 != file.sha256:
        raise IntegrityError(
            f"{file.name} changed while it was sent",
            remedy="wait until the training has ended, then push again",
        )
    return stored


def write_points(rest: Rest, job: Row, points: Sequence[Row]) -> bool:
    """Make these the metric points of a job; whether they are now.

    Points that the worker logged stay. Ids come from the steps, so an interrupted call, or one
    with corrected values, is repeated without a point twice. Without points nothing is done.
    """
    job_id = str(job["id"])
    ours = {str(point["id"]) for point in points}
    there = {str(point["id"]) for page in rest.metric_points(job_id) for point in page}
    if not points or (job.get("external_job_id") and not there <= ours):
        return False
    for start in range(0, len(points), _POINTS_AT_ONCE):
        piece = points[start : start + _POINTS_AT_ONCE]
        repeat(partial(rest.replace_metric_points, piece))
    rest.delete_metric_points(job_id, sorted(there - ours))
    return True


def _read_into(file: LocalFile, spool: Spool) -> None:
    spool.announce(file.size, f'"{file.sha256}"')
    with translating_read_errors(), file.path.open("rb") as source:
        while piece := source.read(_PIECE):
            spool.append(memoryview(piece))
    spool.finish()
