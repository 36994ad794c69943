"""Trains the demo account's queued jobs: which of them run, and one point of each every second."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from lora_tui.clock import parse_timestamp
from lora_tui.sandbox.backend import Backend
from lora_tui.sandbox.seed.seeding import DEMO
from lora_tui.sandbox.training.course import LIVE_FAMILIES, course_of, failure
from lora_tui.sandbox.training.job_rows import (
    ACTIVE,
    end_run,
    ensure_worker_job,
    is_cancelled,
    log_point,
    queue_run,
    remove_old_runs,
    start_run,
)

PLACES: Final = 2
"""Jobs that run at the same time."""
KEPT: Final = 10
"""Ended runs that stay, of those that were queued here."""
_POINT_SECONDS: Final = 1.0
_LOADING: Final = timedelta(seconds=3)
_PAUSE: Final = timedelta(seconds=12)
"""Between the end of a run and the start of the next, and before another is queued."""
_LOST: Final = timedelta(hours=2)
"""A run whose row is older than this was running when the sandbox ended."""
_FAMILY: Final = "training/family/"
_COUNT: Final = "training/queued"


class Trainer:
    """The training of one sandbox. `start` runs it in a thread; `step` is one second of it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._ended_at: datetime | None = None
        self._seed = int(self._fact("seed") or 0)
        self._last: datetime | None = None

    def start(self) -> None:
        """Train until `stop`, a point of each running job every second."""
        self._thread = threading.Thread(target=self._run, name="sandbox-training", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread. May be called again."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def train(self, seconds: int) -> None:
        """Do at once what happens in so many seconds, of which the last is now; for tests."""
        now = self._backend.now()
        self.fail_lost_runs(now)
        for ago in range(seconds - 1, -1, -1):
            moment = now - timedelta(seconds=ago)
            if self._last is not None and moment <= self._last:
                moment = self._last + timedelta(seconds=1)
            self.step(moment)

    def step(self, moment: datetime) -> None:
        """Cancel, advance, start, queue and remove jobs, as at this moment."""
        self._last = moment
        with self._backend.database.transaction():
            for job in self._active():
                self._advance(job, moment)
            jobs = self._active()
            self._fill_places(jobs, moment)
            if not any(job["status"] == "queued" for job in self._active()):
                self._queue(moment)

    def fail_lost_runs(self, moment: datetime) -> None:
        """Fail what was running when an earlier sandbox of this directory ended."""
        with self._backend.database.transaction():
            self._backend.database.execute(
                f"CREATE INDEX IF NOT EXISTS training_jobs_active ON training_jobs (user_id)"
                f" WHERE {ACTIVE}"
            )
            for job in self._active():
                changed = parse_timestamp(job["updated_at"]) or moment
                if job["status"] != "queued" and moment - changed > _LOST:
                    message = "The GPU worker was lost: it sent no heartbeat"
                    stack = f"WorkerLostError: {message}\n  last point at {job['updated_at']}"
                    end_run(self._backend, job["id"], "failed", moment, error=(message, stack))

    def _run(self) -> None:
        with suppress(sqlite3.Error, OSError):
            self.fail_lost_runs(self._backend.now())
        while not self._stop.wait(_POINT_SECONDS):
            with suppress(sqlite3.Error, OSError):  # a full disk may have room later
                self.step(self._backend.now())

    def _active(self) -> list[dict[str, Any]]:
        return self._backend.database.rows(
            f"SELECT * FROM training_jobs WHERE user_id = ? AND {ACTIVE}"
            " AND external_job_id IS NOT NULL ORDER BY started_at IS NULL, progress DESC, queued_at"
            ", id",
            (DEMO.id,),
        )

    def _advance(self, job: Mapping[str, Any], moment: datetime) -> None:
        ensure_worker_job(self._backend, job)
        if is_cancelled(self._backend, job):
            self._end(job, "cancelled", moment)
            return
        if job["status"] == "queued":
            return
        started = parse_timestamp(job["started_at"]) or moment - _LOADING
        if job["status"] == "initializing" and moment - started < _LOADING:
            return
        course = course_of(job, self._family_of(job["id"]))
        index = course.index_after(int(job["current_step"] or 0))
        row = log_point(self._backend, job, course, index, moment)
        if course.fails_at(index):
            self._end(job, "failed", moment, error=failure(row["step"]))
        elif index >= course.points:
            self._end(job, "completed", moment)

    def _end(
        self,
        job: Mapping[str, Any],
        status: str,
        moment: datetime,
        error: tuple[str, str] | None = None,
    ) -> None:
        end_run(self._backend, job["id"], status, moment, error=error)
        self._ended_at = moment
        self._backend.database.execute(
            "DELETE FROM sandbox_facts WHERE name = ?", (f"{_FAMILY}{job['id']}",)
        )
        remove_old_runs(self._backend, KEPT)

    def _fill_places(self, jobs: list[dict[str, Any]], moment: datetime) -> None:
        if self._pausing(moment):
            return
        waiting = [job for job in jobs if job["status"] == "queued"]
        running = len(jobs) - len(waiting)
        for job in waiting[: max(0, PLACES - running)]:
            course = course_of(job, self._family_of(job["id"]))
            start_run(self._backend, job, course, moment)

    def _queue(self, moment: datetime) -> None:
        if self._pausing(moment):
            return
        number = int(self._fact(_COUNT) or 0) + 1
        family = LIVE_FAMILIES[(number + PLACES) % len(LIVE_FAMILIES)]
        job_id = queue_run(self._backend, self._seed, number, family, moment)
        if job_id:
            self._note(_COUNT, str(number))
            self._note(f"{_FAMILY}{job_id}", family)
            self._ended_at = moment  # so that a cancelled one is not replaced at once

    def _pausing(self, moment: datetime) -> bool:
        return self._ended_at is not None and moment - self._ended_at < _PAUSE

    def _family_of(self, job_id: str) -> str:
        """The family of a run; a seeded one takes the next when it is first trained."""
        name = f"{_FAMILY}{job_id}"
        family = self._fact(name)
        if family is None:
            count = int(self._fact(_FAMILY) or 0)
            family = LIVE_FAMILIES[count % len(LIVE_FAMILIES)]
            self._note(_FAMILY, str(count + 1))
            self._note(name, family)
        return family

    def _fact(self, name: str) -> str | None:
        row = self._backend.database.row("SELECT value FROM sandbox_facts WHERE name = ?", (name,))
        return None if row is None else row["value"]

    def _note(self, name: str, value: str) -> None:
        self._backend.database.execute(
            "INSERT OR REPLACE INTO sandbox_facts (name, value) VALUES (?, ?)", (name, value)
        )
