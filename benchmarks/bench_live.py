"""Following runs: requests and processor time of the engine a minute, with 0, 1 and 50 of them.

Each run has logged 10,000 points and logs one a second; its row changes every five seconds. The
engine follows them as it does in the application, with one ordinary sync a minute, against a
project on the loopback interface that computes its answers. It runs in real time, so a figure takes
as long as it says. The peer is an engine that reads all points of each run every five seconds,
which is what an ordinary fetch of a curve would cost; it is computed from one such fetch.

Two more figures: how long it takes until each of fifty runs shows its newest points, of which
nothing was cached; and keys in the list of Jobs beside fifty such runs, in `lora-tui` itself on a
pseudo-terminal as in bench_keys.py. Their peer is the same list where nothing runs.

    bench_live.py SECONDS KEYS
"""

from __future__ import annotations

import json
import multiprocessing
import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx

import homes
from bench_keys import CURSOR, DOWN, PAUSE, UP, share
from figures import Figure, figure, report
from lora_tui.cache.connection import open_cache
from lora_tui.clock import timestamp_text
from lora_tui.engine.live import LiveSync, Needs
from lora_tui.engine.running_jobs import sync_running
from lora_tui.fetching.curves import pull_curve, reread_curve
from lora_tui.gateway.rest import Rest
from lora_tui.processes import yield_to_others
from lora_tui.sync import sync_cache
from made_up import USER
from terminal import Terminal

SECONDS: Final = 60.0
KEYS: Final = 300
LISTED: Final = 20
"""The cursor moves up and down over so many jobs."""
POINTS: Final = 10_000
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_NO_ID: Final = "00000000-0000-0000-0000-000000000000"
_WINDOW: Final = re.compile(r'job_id\.(?:in\.\(([\w,-]+)\)|eq\.([\w-]+)),timestamp\.gte\."([^"]*)"')
_BEFORE: Final = re.compile(r'timestamp\.lt\."([^"]*)"')
_BEYOND: Final = re.compile(r'\.gt\."([^"]*)",and\(\w+\.eq\."[^"]*",id\.gt\."([^"]*)"')


def main(seconds: float = SECONDS, keys: float = KEYS) -> int:
    """Measure each number of runs."""
    figures = [_first_points(50)]
    times = {runs: keys_beside(runs, int(keys)) for runs in (False, True)}
    for percent in (50, 99):
        figures.append(
            figure(
                f"keys beside 50 live runs: {percent}th of 100",
                "ms",
                [share(times[True], percent)],
                peer="nothing runs",
                peer_values=[share(times[False], percent)],
                promise="at most 20 ms" if percent == 99 else "",
            )
        )
    for runs in (0, 1, 50):
        requests, processor, whole = measured(runs, seconds)
        name = f"following {runs} runs" if runs != 1 else "following 1 run"
        figures.append(_figure(f"{name}: requests a minute", "", requests))
        promise = "120 requests a minute at most" if runs == 50 else ""
        figures[-1] = Figure(**{**vars(figures[-1]), "promise": promise})
        figures.append(_figure(f"{name}: processor time a minute", "s", processor, whole))
    report("Following runs", "live", figures)
    return 0


def _first_points(runs: int) -> Figure:
    """Until each run has its newest points, of which none were cached."""
    with following(runs) as (online, live, path):
        online.requests, began = 0, time.monotonic()
        live.wake()
        with closing(open_cache(path)) as db:
            while metrics_of(db) < runs:
                time.sleep(0.05)
        seconds = time.monotonic() - began
        print(f"{online.requests} requests until the newest points were there", file=sys.stderr)
    name = f"the newest points of {runs} runs of {POINTS:,} points"
    return Figure(name, "s", seconds, seconds, seconds, 1, promise="a few seconds")


def metrics_of(db: sqlite3.Connection) -> int:
    """How many runs have a point."""
    return int(db.execute("SELECT count(DISTINCT job_id) FROM metrics").fetchone()[0])


def keys_beside(live: bool, count: int) -> list[float]:
    """Milliseconds of keys that move the cursor of Jobs, with fifty jobs that run or have ended."""
    times: list[float] = []
    with (
        serving(50, status="running" if live else "completed") as url,
        tempfile.TemporaryDirectory() as name,
    ):
        home = Path(name)
        homes.configure(home, url)
        terminal = Terminal(
            homes.command(), "Models", environment=homes.environment(home, url), settled=False
        )
        try:
            terminal.seen_after("w", run_name(LISTED))
            terminal.draw(10.0)  # the newest points of all have come
            at, step = 0, 1
            for _ in range(count):
                if not 0 <= at + step < LISTED:
                    step = -step
                at += step
                seconds = terminal.seen_after(
                    DOWN if step > 0 else UP, run_name(at), of_line=CURSOR
                )
                times.append(seconds * 1000)
                terminal.draw(PAUSE)
        finally:
            terminal.close()
    return times


@contextmanager
def following(runs: int) -> Iterator[tuple[Online, LiveSync, Path]]:
    """The engine's part that follows runs, on a cache that knows the jobs."""
    with serving(runs) as url, tempfile.TemporaryDirectory() as home:
        path = Path(home) / "cache.sqlite3"
        online = Online(url, path)
        online.sync()

        @contextmanager
        def cache() -> Iterator[sqlite3.Connection]:
            with closing(open_cache(path)) as db:
                yield db

        live = LiveSync(Needs(cache, lambda: online, lambda: True))  # type: ignore[arg-type, return-value]
        try:
            yield online, live, path
        finally:
            live.stop()
            if live.thread is not None:
                live.thread.join()


def measured(runs: int, seconds: float) -> tuple[float, float, float | None]:
    """Requests and processor seconds a minute; what fetching all points each time would take."""
    with following(runs) as (online, live, _):
        online.fetch_points(runs)
        live.wake()
        time.sleep(3.0)
        live.note_request()
        online.requests, began, processor = 0, time.monotonic(), time.process_time()
        while time.monotonic() - began < seconds:
            time.sleep(5.0)
            live.note_request()
        online.sync()
        minutes = (time.monotonic() - began) / 60
        used, requests = time.process_time() - processor, online.requests
        return requests / minutes, used / minutes, online.whole_fetch(runs)


class Online:
    """The part of `OnlineWriters` that is asked here, without a session; counts requests."""

    def __init__(self, url: str, path: Path) -> None:
        self.requests = 0
        client = httpx.Client(event_hooks={"request": [self._count]}, base_url=url)
        self.rest = Rest(url, httpx.Auth(), client=client)
        self._path = path

    def sync(self) -> Any:
        with closing(open_cache(self._path)) as db:
            return sync_cache(self.rest, db, USER)

    def sync_running(self) -> bool:
        with closing(open_cache(self._path)) as db:
            return sync_running(self.rest, db, USER)

    def fetch_points(self, runs: int) -> None:
        """Fetch the points that each run has logged before; the engine would take its time."""
        with closing(open_cache(self._path)) as db:
            for number in range(runs):
                pull_curve(self.rest, db, job_id(number))

    def whole_fetch(self, runs: int) -> float | None:
        """Processor seconds a minute for reading all points of all runs every five seconds."""
        if not runs:
            return None
        with closing(open_cache(self._path)) as db:
            began = time.process_time()
            reread_curve(self.rest, db, job_id(0))
            return (time.process_time() - began) * runs * 12

    def _count(self, _request: httpx.Request) -> None:
        self.requests += 1


def _figure(name: str, unit: str, value: float, peer: float | None = None) -> Figure:
    return Figure(
        name,
        unit,
        value,
        value,
        value,
        1,
        "all points of each run every five seconds" if peer else "",
        peer,
        value / peer if peer else None,
    )


# The project ------------------------------------------------------------------------------------


def dataset_id(number: int) -> str:
    """The id of the dataset of a run."""
    return f"20000000-0000-4000-8000-{number + 1:012x}"


def job_id(number: int) -> str:
    """The id of a run."""
    return f"00000000-0000-4000-8000-{number + 1:012x}"


def run_name(number: int) -> str:
    """The name of the dataset of a run; 0 is the first of the list."""
    return f"Run-{number:03d}"


@contextmanager
def serving(runs: int, *, status: str = "running") -> Iterator[str]:
    """The URL of a project with so many jobs."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(runs, status, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


class Project:
    """Its rows, computed for the moment at which they are asked for."""

    def __init__(self, runs: int, status: str) -> None:
        self.runs, self.status = runs, status
        self.began = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=POINTS)

    def jobs(self) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        return [self._job(number, now) for number in range(self.runs)]

    def datasets(self) -> list[dict[str, Any]]:
        return [
            {
                "id": dataset_id(number),
                "user_id": USER,
                "name": run_name(number),
                "updated_at": timestamp_text(self.began),
            }
            for number in range(self.runs)
        ]

    def newest(
        self, number: int, since: datetime, before: datetime | None, most: int
    ) -> list[dict[str, Any]]:
        """The last points of a run between two times, at most so many."""
        now = min(datetime.now(UTC), before - timedelta(microseconds=1) if before else _NEVER)
        last, first = (int((at - self.began).total_seconds()) for at in (now, since))
        steps = range(max(0, first, last - most + 1), last + 1)
        return [self._point(number, step) for step in steps]

    def points(self, number: int, since: datetime, *, inclusive: bool) -> list[dict[str, Any]]:
        """Of a run from a time on."""
        first = max(0, int((since - self.began).total_seconds()) + (not inclusive))
        last = int((datetime.now(UTC) - self.began).total_seconds())
        return [self._point(number, step) for step in range(first, min(last + 1, first + 1_000))]

    def _job(self, number: int, now: datetime) -> dict[str, Any]:
        changed = now.timestamp() // 5 * 5 + number / 1_000 - 5
        step = int((now - self.began).total_seconds())
        return {
            "id": job_id(number),
            "user_id": USER,
            "dataset_id": dataset_id(number),
            "preset_id": "balanced",
            "hyperparameters": {"base_model": "meta-llama/Llama-3.1-8B-Instruct", "rank": 16},
            "gpu_config": {"type": "H100", "count": 1, "cost_per_gpu_hour": 2.5},
            "status": self.status,
            "progress": step / 200,
            "current_step": step,
            "total_steps": 20_000,
            "current_metrics": {"training_loss": 1.2},
            "created_at": timestamp_text(self.began - timedelta(seconds=number)),
            "started_at": timestamp_text(self.began),
            "updated_at": timestamp_text(datetime.fromtimestamp(changed, UTC)),
            "external_job_id": f"job-{number}",
        }

    def _point(self, number: int, step: int) -> dict[str, Any]:
        return {
            "id": f"10000000-0000-4000-8{number:03x}-{step:012x}",
            "job_id": job_id(number),
            "timestamp": timestamp_text(self.began + timedelta(seconds=step)),
            "epoch": 1,
            "step": step,
            "training_loss": 1 + 1 / (1 + step / 500) + (step * 7919 % 100) / 2_000,
            "validation_loss": None,
            "learning_rate": 0.0002,
            "gradient_norm": 0.5,
            "throughput": 2_100.0,
            "gpu_utilization": 97.0,
        }


def _serve(runs: int, status: str, port: Connection) -> None:
    project = Project(runs, status)
    numbers = {job_id(number): number for number in range(runs)}

    def points(query: dict[str, str]) -> list[dict[str, Any]]:
        beyond = _BEYOND.search(query.get("or", ""))
        job = query.get("job_id", "")
        if "timestamp.desc" in query["order"]:
            found = _BEFORE.search(query.get("or", ""))
            before = datetime.fromisoformat(found[1]) if found else None
            since = datetime.fromisoformat(query.get("timestamp", "gte.1970-01-01T00:00Z")[4:])
            names = job.removeprefix("eq.").removeprefix("in.").strip("()").split(",")
            most = 1_000 // len(names) + 1  # all log at the same pace
            rows = [
                row for name in names for row in project.newest(numbers[name], since, before, most)
            ]
            return sorted(rows, key=lambda row: (row["timestamp"], row["id"]), reverse=True)
        if job.startswith("eq."):
            since = datetime.fromisoformat(beyond[1]) if beyond else project.began
            return project.points(
                numbers[job[3:]], since, inclusive=not beyond or beyond[2] == _NO_ID
            )
        windows = [(a or b, at) for a, b, at in _WINDOW.findall(query.get("or", ""))]
        if job.startswith("in."):
            windows = [(job[4:-1], query["timestamp"][4:])]
        found = [
            row
            for ids, at in windows
            for name in ids.split(",")
            for row in project.points(numbers[name], datetime.fromisoformat(at), inclusive=True)
        ]
        return sorted(found, key=lambda row: (row["timestamp"], row["id"]))

    def rows(table: str, query: dict[str, str]) -> list[dict[str, Any]]:
        if table == "metrics_points":
            return points(query)
        tables = {"training_jobs": project.jobs, "datasets": project.datasets}
        found = tables[table]() if table in tables else []
        if query.get("id", "").startswith("in."):
            return [row for row in found if row["id"] in query["id"]]
        beyond = _BEYOND.search(query.get("or", ""))
        key = query.get("order", "updated_at").split(".")[0].split(",")[0]
        if beyond:
            at = (beyond[1], beyond[2])
            found = [row for row in found if (row.get(key, ""), row["id"]) > at]
        return sorted(found, key=lambda row: (row.get(key, ""), row["id"]))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 20

        def do_GET(self) -> None:
            target = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(target.query).items()}
            found = rows(target.path.rpartition("/")[2], query)
            body = json.dumps(found[: int(query.get("limit", "1000"))]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Range", f"*/{len(found)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            pass

    yield_to_others(10)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.send(server.server_address[1])
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:3])))
