"""From the worker's storage into the bucket over a line with a round trip and a pace.

One line (line.py) leads to the worker and its files, another one to the project. The harvest runs
against `curl | curl` over the same two lines, which sends one file after the other: with one large
file, with four jobs of such a file, with one model of many files, and with several small jobs (a
configuration and one small file each). `--before DIR` adds the program of another checkout, run by
the interpreter of its own `.venv`; `--s3` adds a harvest with the S3 keys of the project. The time
of a harvest is that from the first event of its jobs to the last: it includes what `curl | curl`
does not do, the questions before the first byte and the rows after the last one, each of which
costs a round trip. (Targets at 50 ms, 100 MB/s a connection and one file of 256 MiB: at least 1.0
times the rate of `curl | curl`, with S3 keys 2.0; at most 150 MB of memory.)
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from figures import Figure, figure, report
from harvest_setup import MEGABYTE, Outcome, harvest, into_bucket, piped, project, source
from line import line

PEER = "curl | curl"
BEFORE = "harvest before"
NOW = "harvest"
WITH_S3 = "harvest, S3 keys"


@dataclass(frozen=True)
class Case:
    """The jobs of one measurement."""

    title: str
    mebibytes: int
    """Of each file."""
    files: int = 1
    """Of each job."""
    jobs: int = 1
    promises: dict[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> int:
        """MiB of all jobs."""
        return self.mebibytes * self.files * self.jobs


CASES = {
    "large": Case(
        "one file of 256 MiB", 256, promises={NOW: "at least 1.0", WITH_S3: "at least 2.0"}
    ),
    "queue": Case("4 jobs of one file of 256 MiB", 256, jobs=4),
    "many": Case("20 files of 8 MiB", 8, files=20),
    "jobs": Case("6 jobs of 1 MiB", 1, jobs=6),
}


def main() -> None:
    arguments = parse()
    if shutil.which("curl") is None:
        sys.exit("bench_harvest_line needs curl; on Debian: apt-get install curl")
    figures = [
        entry
        for name in arguments.cases
        for milliseconds in arguments.round_trips
        for entry in measured(CASES[name], milliseconds, arguments)
    ]
    pace = f"{arguments.pace:g} MB/s a connection"
    report(f"harvest over a line, {pace}", "harvest_line", figures)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--round-trips", type=float, nargs="+", default=[10, 50, 150], help="ms")
    parser.add_argument("--pace", type=float, default=100, help="MB/s of each connection")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, metavar="DIR", help="another checkout to measure")
    parser.add_argument("--s3", action="store_true", help="with the project's S3 keys as well")
    parser.add_argument("--ours-alone", action="store_true", help="leave the peer out")
    parser.add_argument("--dir", help="where the sandbox keeps its files (a temporary directory)")
    return parser.parse_args()


def measured(case: Case, milliseconds: float, arguments: argparse.Namespace) -> Iterator[Figure]:
    """The figures of one case over one line."""
    programs = {NOW: sys.executable}
    if arguments.before:
        programs = {BEFORE: str(arguments.before / ".venv" / "bin" / "python"), **programs}
    if arguments.s3:
        programs[WITH_S3] = sys.executable
    outcomes: dict[str, list[Outcome]] = {}
    waiting = case.jobs * len(programs) * arguments.rounds
    with (
        tempfile.TemporaryDirectory(prefix="lora-tui-bench-", dir=arguments.dir) as home,
        source(case.mebibytes * MEGABYTE, case.files) as worker,
        project(Path(home) / "sandbox", waiting_jobs=waiting) as settings,
        over_line(worker, milliseconds, arguments.pace) as url,
        over_line(settings["SUPABASE_URL"], milliseconds, arguments.pace) as backend,
    ):
        far = settings | {"SUPABASE_URL": backend, "GPU_CLUSTER_API_URL": url}
        keys = {name: value for name, value in far.items() if "S3" in name}
        plain = {name: value for name, value in far.items() if name not in keys}
        for number in range(arguments.rounds):
            if not arguments.ours_alone:
                pipe = into_bucket(url, far, str(number), case.files * case.jobs)
                outcomes.setdefault(PEER, []).append(piped(pipe))
            for name, python in programs.items():
                chosen = plain | keys if name == WITH_S3 else plain
                place = Path(home) / name.replace(" ", "-")
                outcome = harvest(chosen, place, jobs=case.jobs, python=python)
                outcomes.setdefault(name, []).append(outcome)
    peers = [case.whole / outcome.seconds for outcome in outcomes.get(PEER, [])]
    for name in programs:
        yield figure(
            f"{case.title}, {milliseconds:g} ms: {name}",
            "MiB/s",
            [case.whole / outcome.seconds for outcome in outcomes[name]],
            peer=PEER if peers else "",
            peer_values=peers,
            promise=case.promises.get(name, "") if milliseconds == 50 else "",
        )
        yield figure(
            f"{case.title}, {milliseconds:g} ms: {name}, memory",
            "MiB",
            [outcome.peak / MEGABYTE for outcome in outcomes[name]],
            promise="at most 150 MB",
        )


@contextmanager
def over_line(url: str, milliseconds: float, pace: float) -> Iterator[str]:
    """The same address over a line."""
    parts = urlsplit(url)
    to = (parts.hostname or "", parts.port or 80)
    with line(to=to, round_trip=milliseconds / 1000, pace=pace * 1e6) as (host, port):
        yield parts._replace(netloc=f"{host}:{port}").geturl()


if __name__ == "__main__":
    main()
