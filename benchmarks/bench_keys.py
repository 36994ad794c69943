"""Keys beside the application's own work: from the key to the frame that shows its effect.

`lora-tui` itself runs in a pseudo-terminal, whatever processes it consists of, signed in to a
project on the loopback interface: `page_server.py`, and an nginx in front that is its storage.
Beside four loads (none, eight connections that the server holds back, one stream at full rate, a
first sync of 100,000 models) it is asked to

- move the cursor of the list: the frame is there when the line of that model has the cursor;
- pause and stop a queued file in Transfers: when the title counts it as such;
- mark a notification as read: when the title counts it no longer.

The servers run at a lower priority than the application, as in the world they take none of its two
cores. The peer is the same application, idle. With `--against PYTHON` it is another version,
installed in an environment of its own, in turn with ours beside the same load:

    bench_keys.py --runs 5 --keys 300 --actions 30 --against ../before/.venv/bin/python

Without options it is a quick look. Percentiles of cursor keys are medians over the runs; those of
the rarer acts are taken over all runs together.
"""

from __future__ import annotations

import argparse
import math
import os
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import homes
from bench_transfers import make_file
from figures import Figure, figure, report
from homes import Seed, model_name
from nginx import NAME, make_certificate, serving, which
from page_server import serving as project_serving
from terminal import Terminal, UnseenError

MODELS = 100
SYNCED = 100_000
NOTIFICATIONS = 150
"""More than are marked, so that their number keeps its digits."""
PAUSE = 0.03
"""Seconds between the answer to a key and the next one, as with a key that is held down."""
WARMING = 2.0
"""Seconds after the first byte until a download uses as many connections as it will."""
MEGABYTES = 512
FILES = 32
AHEAD = 16
"""Files in the queue before the first that is acted on."""
DOWN, UP = "\x1b[B", "\x1b[A"
CURSOR = "▌"
IDLE = "idle"
ACTS = ("pause", "stop", "mark as read")


@dataclass(frozen=True)
class Load:
    """What the application does beside the keys."""

    name: str
    limit: str | None
    """Bytes a second that the server allows each connection."""
    fetches: bool = False
    syncs: bool = False

    @property
    def rate(self) -> str:
        """What its rate is called."""
        return "rows/s" if self.syncs else "MiB/s"


LOADS = (
    Load(IDLE, "32k"),
    Load("eight held-back connections", "32m", fetches=True),
    Load("one stream at full rate", None, fetches=True),
    Load(f"a first sync of {SYNCED:,} models", "32k", syncs=True),
)


class Found:
    """What was measured beside one load with one version."""

    def __init__(self) -> None:
        self.keys: list[list[float]] = []
        """Milliseconds, by run."""
        self.acts: dict[str, list[float]] = defaultdict(list)
        self.rates: list[float] = []
        self.memory: dict[str, list[float]] = defaultdict(list)


def main() -> None:
    arguments = parse()
    missing = [tool for tool in ("nginx", "openssl") if which(tool) is None]
    if missing:
        sys.exit(f"bench_keys needs {', '.join(missing)}")
    versions = {"": sys.executable}
    if arguments.against:
        versions["the other version"] = arguments.against
    loads = [load for load in LOADS if arguments.only in ("", *load.name.split())]
    found = {(load.name, version): Found() for load in loads for version in versions}
    with tempfile.TemporaryDirectory(prefix="lora-tui-bench-", dir=arguments.dir) as name:
        directory = Path(name)
        make_file(directory / "www" / NAME, MEGABYTES << 20)
        make_certificate(directory)
        os.environ["SSL_CERT_FILE"] = f"{directory}/ca.pem"
        os.environ.pop("CURL_CA_BUNDLE", None)
        with projects(directory, loads) as urls:
            for number in range(arguments.runs):
                for load in loads:
                    for version, python in versions.items():
                        bench = Bench(directory / "home", urls[load.name], load, python)
                        bench.measure_keys(arguments.keys, found[load.name, version])
                        bench.measure_acts(arguments.actions, found[load.name, version])
                        print(f"run {number + 1}: {load.name} {version}", file=sys.stderr)
    least = f"{arguments.runs} runs of {arguments.keys} keys, {arguments.actions} of each act"
    report(
        f"keys beside the application's own work: {least}; load {os.getloadavg()[0]:.1f}",
        "keys",
        figures(loads, found, list(versions)),
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--keys", type=int, default=150, help="cursor keys a run")
    parser.add_argument("--actions", type=int, default=10, help="of each other act, a run")
    parser.add_argument("--only", default="", help="idle, held-back, stream or sync")
    parser.add_argument("--against", help="the Python of another version's environment")
    parser.add_argument("--dir", help="where the files are written (a temporary directory)")
    return parser.parse_args()


@contextmanager
def projects(directory: Path, loads: Sequence[Load]) -> Iterator[dict[str, str]]:
    """The URL of a project for each load."""
    first, notices = homes.first_models(MODELS), homes.notifications(NOTIFICATIONS)
    syncing = any(load.syncs for load in loads)
    with (
        project_serving(0, first=first, notifications=notices) as small,
        project_serving(
            SYNCED - MODELS if syncing else 0, first=first, notifications=notices
        ) as large,
        serving(directory, [load.limit for load in loads if not load.syncs], small) as ordinary,
        serving(directory, [load.limit for load in loads if load.syncs], large) as synced,
    ):
        urls = [*ordinary, *synced]
        order = sorted(loads, key=lambda load: load.syncs)
        yield {load.name: url for load, url in zip(order, urls, strict=True)}


class Bench:
    """One version of the application beside one load."""

    def __init__(self, home: Path, url: str, load: Load, python: str) -> None:
        self._home, self._url, self._load, self._python = home, url, load, python

    def measure_keys(self, count: int, found: Found) -> None:
        """Keys that move the cursor of the list, and how much was done meanwhile."""
        times: list[float] = []
        with self._application(Seed(MODELS, NOTIFICATIONS, *self._queue(0))) as (terminal, cache):
            done, start = self._done(cache), time.perf_counter()
            at, step = 0, 1
            for _ in range(count):
                if not 0 <= at + step < 20:
                    step = -step
                at += step
                key = DOWN if step > 0 else UP
                seconds = terminal.seen_after(key, model_name(at), of_line=CURSOR)
                times.append(seconds * 1000)
                terminal.draw(PAUSE)
                if len(times) == count // 2:
                    self._note_memory(terminal, found)
            seconds = time.perf_counter() - start
            if self._load.syncs or self._load.fetches:
                found.rates.append((self._done(cache) - done) / seconds)
            self._note_memory(terminal, found)
            self._check(cache)
        found.keys.append(times)

    def measure_acts(self, count: int, found: Found) -> None:
        """Pause and stop files that wait in the queue; then mark as read."""
        if not count:
            return
        seed = Seed(MODELS, NOTIFICATIONS, *self._queue(count))
        with self._application(seed) as (terminal, cache):
            # The screen shows what a key will do before the cache has it: numbers are counted here.
            def act(name: str, key: str, mark: str) -> None:
                try:
                    found.acts[name].append(terminal.seen_after(key, mark) * 1000)
                except UnseenError:
                    print(f"{self._load.name}: {name} had no effect", file=sys.stderr)
                terminal.draw(PAUSE * 3)

            terminal.seen_after("t", "queued")
            terminal.draw(PAUSE * 10)
            # At full rate the head of the queue ends meanwhile, and what has ended goes to its end.
            terminal.send("g" + DOWN * (AHEAD if self._load.fetches else 0), PAUSE * 10)
            for number in range(count):
                terminal.send(DOWN, PAUSE * 3)  # a file that was stopped keeps its place
                act("pause", "p", " 1 paused")
                act("stop", "x", f" {number + 1} stopped")
            terminal.seen_after("n", "Notification 0")
            terminal.draw(PAUSE * 10)
            for number in range(count):
                act("mark as read", "\r", f"{NOTIFICATIONS - number - 1} unread")
                # One that was marked keeps its place; before, it went below those not read.
                terminal.send("g" + DOWN * (number + 1), PAUSE * 3)
            self._note_memory(terminal, found)
            self._check(cache)

    @contextmanager
    def _application(self, seed: Seed) -> Iterator[tuple[Terminal, Path]]:
        """A new one on a new home, once its load has begun."""
        load = self._load
        cache = homes.make(self._home, self._url, seed, python=self._python)
        terminal = Terminal(
            homes.command(python=self._python),
            model_name(0),
            environment=homes.environment(self._home, self._url),
            settled=False,
        )
        try:
            begun: Callable[[], bool] = lambda: bool(value(cache, SYNC_DONE))  # noqa: E731
            if load.syncs:
                begun = lambda: value(cache, ROWS) > 2 * MODELS  # noqa: E731
            elif load.fetches:
                begun = lambda: bool(value(cache, BYTES) and value(cache, SYNC_DONE))  # noqa: E731
            while not begun():
                terminal.draw(PAUSE)
            terminal.draw(WARMING if load.fetches else 0.5)
            yield terminal, cache
        finally:
            terminal.close()
            rmtree(self._home)

    def _queue(self, acted_on: int) -> tuple[int, int]:
        """How many files, of which size."""
        if self._load.fetches:
            return FILES + acted_on, MEGABYTES << 20
        return (1 + acted_on if acted_on else 0), MEGABYTES << 20

    def _done(self, cache: Path) -> float:
        return value(cache, ROWS) if self._load.syncs else value(cache, BYTES) / 2**20

    def _note_memory(self, terminal: Terminal, found: Found) -> None:
        for process, peak in terminal.memory.items():
            found.memory[process].append(peak)

    def _check(self, cache: Path) -> None:
        """Say so where the load ended before the keys did."""
        load = self._load
        ended = value(cache, SYNC_DONE) if load.syncs else load.fetches and not value(cache, LEFT)
        if ended:
            print(f"{load.name}: it ended before the last key", file=sys.stderr)


BYTES = "SELECT sum(bytes_done) FROM transfers"
LEFT = "SELECT count(*) FROM transfers WHERE state IN ('queued', 'running')"
ROWS = "SELECT count(*) FROM models"
SYNC_DONE = "SELECT count(*) FROM facts WHERE key = 'sync.success'"


def value(cache: Path, query: str) -> float:
    """A number in the cache."""
    with closing(sqlite3.connect(f"file:{cache}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchone()[0] or 0


def share(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many of a hundred don't exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def figures(
    loads: Sequence[Load], found: dict[tuple[str, str], Found], versions: Sequence[str]
) -> list[Figure]:
    """Of ours, each against the other version where there is one, else against idle."""
    lines = []
    other = versions[-1] if len(versions) > 1 else ""

    def line(name: str, unit: str, of: Callable[[Found], Sequence[float]], promise: str) -> None:
        ours = of(found[load.name, ""])
        peer = other or (IDLE if load.name != IDLE and unit == "ms" else "")
        theirs = found.get((load.name, other) if other else (IDLE, ""))
        values = of(theirs) if theirs and peer else ()
        if ours:
            against = {"peer": peer, "peer_values": values} if values else {}
            lines.append(figure(name, unit, ours, promise=promise, **against))

    for load in loads:
        for percent in (50, 99):
            line(
                f"{load.name}: {percent}th of 100 keys",
                "ms",
                lambda of, percent=percent: [share(run, percent) for run in of.keys],
                "at most 20 ms" if percent == 99 else "",
            )
        line(
            f"{load.name}: meanwhile",
            load.rate,
            lambda of: of.rates,
            "at least 0.95" if other else "",
        )
    for load in loads:
        for act in ACTS:
            for percent in (50, 99):
                line(
                    f"{load.name}: {act}, {percent}th of 100",
                    "ms",
                    lambda of, act=act, percent=percent: (
                        [share(of.acts[act], percent)] if of.acts[act] else []
                    ),
                    "at most 150 ms" if percent == 99 else "",
                )
    for load in loads:
        for process in sorted(found[load.name, ""].memory):
            line(
                f"{load.name}: memory of the {process}",
                "MiB",
                lambda of, process=process: [max(of.memory[process])] if of.memory[process] else [],
                "",
            )
        line(
            f"{load.name}: memory of all its processes",
            "MiB",
            lambda of: [sum(max(peaks, default=0.0) for peaks in of.memory.values())],
            "",
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
