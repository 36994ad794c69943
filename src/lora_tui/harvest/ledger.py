"""The state of this machine's harvest: each job, its attempts, its files, its next attempt.

One SQLite file for each profile, mode 0600. The harvest writes it; the Harvest screen and `lora-tui
harvest status` read it. Without it no model is lost: failed jobs are then tried once more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from lora_tui import clock
from lora_tui.config.table import Profile
from lora_tui.harvest.ledger_file import LedgerFile
from lora_tui.harvest.ledger_schema import FileState, JobState, State
from lora_tui.harvest.schedule import LONGEST_WAIT, seconds_left, wait_after
from lora_tui.locks.presence import Presence, is_alive
from lora_tui.processes import is_process_alive
from lora_tui.text import terminal_safe

_DONE_KEPT: Final = timedelta(days=14)
_MOST_DEATHS: Final = 3
_COPY_AGE: Final = timedelta(seconds=90)
"""How old a copy of the project's leases may be: they are renewed, and copied every minute."""
_QueueRow = tuple[str, str, str | None, str, str]
_INSERT: Final = (
    "INSERT INTO jobs (job_id, external_job_id, completed_at, updated_at, first_seen)"
    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (job_id)"
)


def ledger_path(profile: Profile) -> Path:
    """The path of the ledger of a profile."""
    return profile.paths.state_dir / "harvest" / f"{profile.key}.sqlite3"


def presence_directory(ledger: Path) -> Path:
    """Where the harvesters that use a ledger show their presence."""
    return ledger.with_name(f"{ledger.name}.owners")


class Ledger(LedgerFile):
    """One open ledger; safe to use from several threads, and by several processes at once."""

    def __init__(self, path: Path) -> None:
        """Open the file; it is made where it is missing or damaged. Raises DiskError."""
        super().__init__(path)
        self._presence: dict[str, Presence] = {}
        """For each harvester of this process: other containers may share the directory."""

    def close(self) -> None:
        """Close the file."""
        super().close()
        for presence in self._presence.values():
            presence.close()
        self._presence.clear()

    # Written by a harvest ----------------------------------------------------------------------

    def queue(self, jobs: Sequence[Mapping[str, Any]], holder: str = "") -> None:
        """Record the queue of the backend; jobs that left it were finished elsewhere."""
        now = clock.timestamp_text(clock.now())
        waiting = [_queue_row(job, now) for job in jobs]
        self._reset_damaged()
        with self._writing() as db:
            self._release_abandoned(db, holder)
            self._forget_retrained(db, waiting)
            db.executemany(
                f"{_INSERT} DO UPDATE SET external_job_id = CASE state WHEN 'running'"
                " THEN external_job_id ELSE excluded.external_job_id END,"
                " completed_at = excluded.completed_at,"
                " first_seen = COALESCE(first_seen, excluded.first_seen),"
                " state = CASE state WHEN 'done' THEN 'waiting' ELSE state END",
                waiting,
            )
            queued = {row[0] for row in waiting}
            known = db.execute("SELECT job_id FROM jobs WHERE state NOT IN ('done', 'running')")
            gone = [(row["job_id"],) for row in known.fetchall() if row["job_id"] not in queued]
            db.executemany("DELETE FROM jobs WHERE job_id = ?", gone)
            oldest = clock.timestamp_text(clock.now() - _DONE_KEPT)
            db.execute("DELETE FROM jobs WHERE state = 'done' AND updated_at < ?", (oldest,))

    def joined(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """Record jobs that joined a running cycle; known ones are not changed."""
        now = clock.timestamp_text(clock.now())
        waiting = [_queue_row(job, now) for job in jobs]
        with self._writing() as db:
            self._forget_retrained(db, waiting)
            db.executemany(f"{_INSERT} DO NOTHING", waiting)

    def first_seen(self, job_id: str) -> datetime | None:
        """When this machine recorded the job for the first time."""
        rows = self._read("SELECT first_seen FROM jobs WHERE job_id = ?", job_id)
        return clock.parse_timestamp(rows[0]["first_seen"]) if rows else None

    def not_due(self) -> tuple[frozenset[str], frozenset[str]]:
        """The ids of failed jobs that are not due yet, and of dead ones."""
        now = clock.now()
        latest = now + timedelta(seconds=LONGEST_WAIT)
        later, dead = set(), set()
        for job in self.jobs():
            if job.state is State.DEAD:
                dead.add(job.job_id)
            elif job.state is State.FAILED and job.next_try and now < job.next_try <= latest:
                later.add(job.job_id)
        return frozenset(later), frozenset(dead)

    def started(self, job_id: str, name: str, holder: str) -> None:
        """Record that work on a job begins."""
        self._show_presence(holder)
        with self._writing() as db:
            db.execute("DELETE FROM files WHERE job_id = ?", (job_id,))
            self._put_job(
                db,
                job_id,
                state=State.RUNNING,
                name=terminal_safe(name),
                holder=holder,
                lease_until=None,
            )

    def progress(self, job_id: str, name: str, done: int, total: int | None) -> None:
        """Record how many bytes of a file have arrived."""
        self._put_file(job_id, name, done, total, stored=False)

    def stored(self, job_id: str, name: str, size: int) -> None:
        """Record that a file is in the bucket."""
        self._put_file(job_id, name, size, size, stored=True)

    def done(self, job_id: str, name: str, artifact_id: str, stars: int | None) -> None:
        """Record that a job has its model."""
        with self._writing() as db:
            self._put_job(
                db,
                job_id,
                state=State.DONE,
                name=terminal_safe(name),
                artifact_id=artifact_id,
                stars=stars,
                next_try=None,
                reason=None,
                details=None,
                remedy=None,
            )

    def released(self, job_id: str) -> None:
        """Record that work on a job ended without a result: it waits as before."""
        with self._writing() as db:
            db.execute(
                "UPDATE jobs SET state = CASE WHEN attempts = 0 OR reason IS NULL"
                " THEN 'waiting' ELSE 'failed' END,"
                " holder = '' WHERE job_id = ? AND state = 'running'",
                (job_id,),
            )

    def failed(
        self,
        job_id: str,
        *,
        reason: str,
        details: str | None,
        remedy: str | None,
        permanent: bool,
    ) -> datetime | None:
        """Record a failed attempt; the time of the next one, None where there is none."""
        now = clock.now()
        job = next((job for job in self.jobs() if job.job_id == job_id), None)
        attempts = (job.attempts if job else 0) + 1
        next_try = None
        if not permanent:
            wait = wait_after(attempts, seconds_left(job.completed_at if job else None, now))
            next_try = now + timedelta(seconds=wait)
        self.put_failure(
            job_id,
            attempts=attempts,
            next_try=next_try,
            reason=reason,
            details=details,
            remedy=remedy,
        )
        return next_try

    def put_failure(
        self,
        job_id: str,
        *,
        attempts: int,
        next_try: datetime | None,
        reason: str,
        details: str | None,
        remedy: str | None,
    ) -> None:
        """Record that `attempts` have failed; `next_try` is None where there is no next one."""
        with self._writing() as db:
            self._put_job(
                db,
                job_id,
                state=State.DEAD if next_try is None else State.FAILED,
                attempts=attempts,
                next_try=clock.timestamp_text(next_try) if next_try else None,
                reason=terminal_safe(reason, limit=500),
                details=terminal_safe(details, limit=500) if details else None,
                remedy=remedy,
                holder="",
            )

    def reason(self, job_id: str) -> str | None:
        """Why the last attempt of a job failed; None without one."""
        rows = self._read("SELECT reason, details FROM jobs WHERE job_id = ?", job_id)
        if not rows or not rows[0]["reason"]:
            return None
        reason, details = rows[0]
        return f"{reason} ({details})" if details else str(reason)

    def warn_once(self, job_id: str) -> bool:
        """True for the first call for this job."""
        with self._writing() as db:
            done = db.execute(
                "UPDATE jobs SET warned = 1 WHERE job_id = ? AND warned = 0", (job_id,)
            )
            return done.rowcount == 1
        return False

    def retry(self, job_ids: Iterable[str]) -> int:
        """Let the next cycle try failed and dead jobs; returns how many there were."""
        with self._writing() as db:
            return sum(
                db.execute(
                    "UPDATE jobs SET state = 'waiting', attempts = 0, next_try = NULL,"
                    " updated_at = ? WHERE job_id = ? AND state IN ('failed', 'dead')",
                    (clock.timestamp_text(clock.now()), job_id),
                ).rowcount
                for job_id in job_ids
            )
        return 0

    def replace(self, jobs: Iterable[JobState], holder: str) -> None:
        """Record the state of all jobs as the project has it.

        The progress of jobs that this harvester, `holder`, works on stays as it is. The project
        shows the last finished jobs only: those that ended before them stay for two weeks.
        """
        with self._writing() as db:
            ours = {
                row["job_id"]
                for row in db.execute(
                    "SELECT job_id FROM jobs WHERE state = 'running' AND holder = ?"
                    " AND lease_until IS NULL",  # else a copy of an earlier moment
                    (holder,),
                )
            }
            seen = {
                row["job_id"]: (row["first_seen"], row["warned"])
                for row in db.execute("SELECT job_id, first_seen, warned FROM jobs")
            }
            shown = {job.job_id: job for job in jobs if job.job_id not in ours}
            running = [job.job_id for job in shown.values() if job.state is State.RUNNING]
            ends = [job.updated_at for job in shown.values() if job.state is State.DONE]
            oldest = min((end for end in ends if end is not None), default=None)
            earlier = {
                row["job_id"]
                for row in db.execute(
                    "SELECT job_id FROM jobs WHERE state = 'done' AND updated_at < ?"
                    " AND updated_at >= ?",
                    (_time(oldest), clock.timestamp_text(clock.now() - _DONE_KEPT)),
                )
            }
            stay = ours | set(running) | (earlier - shown.keys())
            gone = [(job_id,) for job_id in seen if job_id not in stay]
            db.executemany("DELETE FROM jobs WHERE job_id = ?", gone)
            for job in shown.values():
                first_seen, warned = seen.get(job.job_id, (None, 0))
                self._put_job(db, job.job_id, **_columns(job), first_seen=first_seen, warned=warned)

    def is_taken_over(self) -> bool:
        """Whether the project has taken over what this file knew before."""
        return bool(self._read("SELECT 1 FROM taken_over LIMIT 1"))

    def mark_taken_over(self) -> None:
        """Record that the project has taken over what this file knows."""
        with self._writing() as db:
            now = clock.timestamp_text(clock.now())
            db.execute("INSERT INTO taken_over (taken_at) VALUES (?)", (now,))

    # Read by screens and commands ---------------------------------------------------------------

    def jobs(self, *, most_done: int = -1) -> list[JobState]:
        """All jobs: the longest waiting first; finished ones last, the newest of them first.

        `most_done` limits the finished ones; there may be thousands.
        """
        chosen = (
            "job_id IN (SELECT job_id FROM jobs WHERE state <> 'done' UNION ALL SELECT job_id FROM"
            " (SELECT job_id FROM jobs WHERE state = 'done' ORDER BY updated_at DESC LIMIT ?))"
        )
        with self._lock:
            self._reset_damaged()
            rows = self._read(
                f"SELECT * FROM jobs WHERE {chosen}"  # noqa: S608 - no text in it
                " ORDER BY completed_at, job_id",
                most_done,
            )
            files: dict[str, list[FileState]] = {}
            for row in self._read(
                f"SELECT * FROM files WHERE {chosen} ORDER BY rowid",  # noqa: S608 - no text in it
                most_done,
            ):
                file = FileState(row["name"], row["done"], row["total"], bool(row["stored"]))
                files.setdefault(row["job_id"], []).append(file)
        jobs = [self._job(row, tuple(files.get(row["job_id"], ()))) for row in rows]
        active = [job for job in jobs if job.state is not State.DONE]
        finished = [job for job in jobs if job.state is State.DONE and job.updated_at]
        finished.sort(key=lambda job: str(job.updated_at), reverse=True)
        return active + finished

    def models_made(self) -> int:
        """The number of jobs that have become a model, on every machine that shares the queue."""
        [(count,)] = self._read("SELECT COUNT(*) FROM jobs WHERE state = 'done'")
        return int(count)

    def version(self) -> tuple[int, int]:
        """A value that changes with every change of the file."""
        with self._lock:
            [(version,)] = self._read("PRAGMA data_version")
            return int(version), self._db.total_changes

    # ------------------------------------------------------------------------------------------

    def _put_file(
        self, job_id: str, name: str, done: int, total: int | None, *, stored: bool
    ) -> None:
        with self._writing() as db:
            db.execute(
                "INSERT INTO files (job_id, name, done, total, stored) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (job_id, name) DO UPDATE SET"
                " done = excluded.done, total = excluded.total, stored = excluded.stored",
                (job_id, terminal_safe(name, limit=200), done, total, int(stored)),
            )

    def _forget_retrained(self, db: sqlite3.Connection, waiting: Sequence[_QueueRow]) -> None:
        """Delete the state of jobs that were trained again, with a new id at the worker.

        A running job keeps the old id until it ends.
        """
        db.executemany(
            "DELETE FROM jobs WHERE job_id = ? AND external_job_id <> ? AND state <> 'running'",
            [(job_id, external_job_id) for job_id, external_job_id, *_ in waiting],
        )

    def _release_abandoned(self, db: sqlite3.Connection, holder: str) -> None:
        """Release the running jobs of dead harvesters, and of this one between two cycles.

        A job at which several harvesters died may be the cause: it waits like a failed one, so that
        it does not block the others.
        """
        for row in db.execute("SELECT * FROM jobs WHERE state = 'running'").fetchall():
            if row["holder"] == holder:
                self._put_job(db, row["job_id"], state=State.WAITING, holder="")
            elif not self._is_alive(row["holder"]):
                self._count_death(db, row)

    def _count_death(self, db: sqlite3.Connection, row: sqlite3.Row) -> None:
        """Count that a harvester died while it worked on this job."""
        job_id, attempts = row["job_id"], row["attempts"] + 1
        self._put_job(db, job_id, state=State.WAITING, holder="", attempts=attempts)
        if attempts < _MOST_DEATHS:
            return
        now = clock.now()
        window = seconds_left(clock.parse_timestamp(row["completed_at"]), now)
        next_try = now + timedelta(seconds=wait_after(attempts, window))
        self._put_job(
            db,
            job_id,
            state=State.FAILED,
            next_try=clock.timestamp_text(next_try),
            reason="The harvester ended abruptly while it worked on this job",
            details=f"{attempts} attempts without a result",
            remedy="check the system's log for SIGKILL and lack of memory",
        )

    def _put_job(self, db: sqlite3.Connection, job_id: str, **values: Any) -> None:
        values = {"updated_at": clock.timestamp_text(clock.now())} | values
        names = list(values)
        db.execute(
            f"INSERT INTO jobs (job_id, {', '.join(names)})"  # noqa: S608 - our own column names
            f" VALUES (?, {', '.join('?' * len(names))}) ON CONFLICT (job_id) DO UPDATE SET "
            + ", ".join(f"{name} = excluded.{name}" for name in names),
            (job_id, *values.values()),
        )

    def _job(self, row: sqlite3.Row, files: tuple[FileState, ...]) -> JobState:
        state = State(row["state"])
        if state is State.RUNNING and not self._is_at_work(row):
            state = State.WAITING
        return JobState(
            job_id=row["job_id"],
            external_job_id=row["external_job_id"],
            name=row["name"],
            completed_at=clock.parse_timestamp(row["completed_at"]),
            state=state,
            attempts=row["attempts"],
            next_try=clock.parse_timestamp(row["next_try"]),
            reason=row["reason"],
            details=row["details"],
            remedy=row["remedy"],
            stars=row["stars"],
            artifact_id=row["artifact_id"],
            updated_at=clock.parse_timestamp(row["updated_at"]),
            holder=row["holder"] if state in (State.RUNNING, State.DONE) else "",
            files=files,
        )

    def _show_presence(self, holder: str) -> None:
        with self._lock:
            if holder not in self._presence and is_process_alive(holder):
                with suppress(OSError):  # other containers can't tell then that this one lives
                    self._presence[holder] = Presence(presence_directory(self.path), holder)

    def _is_at_work(self, row: sqlite3.Row) -> bool:
        """Whether the harvester of a running job lives; one of another machine has a lease."""
        until = clock.parse_timestamp(row["lease_until"])
        leased = until is not None and clock.now() < until + _COPY_AGE
        return leased or self._is_alive(row["holder"])

    def _is_alive(self, holder: str) -> bool:
        return is_alive(holder, presence_directory(self.path))


def _queue_row(job: Mapping[str, Any], now: str) -> _QueueRow:
    return (
        str(job["id"]),
        terminal_safe(job.get("external_job_id"), limit=120),
        _text(job.get("completed_at")),
        now,
        now,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _columns(job: JobState) -> dict[str, Any]:
    """A job's columns, without its files."""
    return {
        "external_job_id": terminal_safe(job.external_job_id, limit=120),
        "name": terminal_safe(job.name),
        "completed_at": _time(job.completed_at),
        "state": job.state,
        "attempts": job.attempts,
        "next_try": _time(job.next_try),
        "reason": job.reason,
        "details": job.details,
        "remedy": job.remedy,
        "stars": job.stars,
        "artifact_id": job.artifact_id,
        "holder": terminal_safe(job.holder),
        "lease_until": _time(job.lease_until),
        "updated_at": _time(job.updated_at or clock.now()),
    }


def _time(moment: datetime | None) -> str | None:
    return clock.timestamp_text(moment) if moment else None
