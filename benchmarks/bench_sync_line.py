"""Syncs over a line with a round trip: how long they take, and how many answers wait in a row.

A project with 2,000 models, as many jobs, and 100 curves of 500 points is read over HTTPS (TLS
1.3) through line.py, with 10, 50 and 150 ms round trip: a first sync, and one with nothing new,
each over new connections, as by a command. Round trips in a row, handshakes among them, are what
the line adds for each second of round trip: the slope between its shortest and its longest.

    bench_sync_line.py --before DIR    the same by the code of another worktree, as the peer
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

MODELS: Final = 2_000
CURVES: Final = 100
POINTS: Final = 500
ROUNDS: Final = 5
ROUND_TRIPS: Final = (10.0, 50.0, 150.0)


class Sync(NamedTuple):
    """One sync."""

    seconds: float
    requests: int


def main() -> int:
    """Measure, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, metavar="DIR", help="a worktree with its .venv")
    parser.add_argument("--round-trips", type=float, nargs="+", default=ROUND_TRIPS, metavar="MS")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--sync", metavar="URL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sync:
        print(json.dumps(sync_twice(arguments.sync)))
        return 0
    measure(arguments.round_trips, arguments.rounds, arguments.before)
    return 0


def sync_twice(url: str) -> list[Sync]:
    """A first sync into a new cache, and one with nothing new; in a process of their own.

    It runs with this code, or with that of another worktree.
    """
    import time

    import httpx

    from lora_tui.cache.connection import open_cache
    from lora_tui.gateway.rest import Rest
    from lora_tui.sync import sync_cache

    user = os.environ["BENCH_USER"]
    found = []
    with tempfile.TemporaryDirectory(prefix="lora-tui-bench-") as directory:
        for _ in range(2):
            rest = Rest(url, httpx.Auth())  # new connections
            send, requests = rest.send, []

            def counted(query: Any, send: Any = send, requests: list[int] = requests) -> Any:
                requests.append(1)
                return send(query)

            rest.send = counted  # type: ignore[method-assign]
            db = open_cache(Path(directory) / "cache.sqlite3")
            start = time.perf_counter()
            sync_cache(rest, db, user)
            found.append(Sync(time.perf_counter() - start, len(requests)))
            db.close()
            rest.close()
    return found


def measure(round_trips: Sequence[float], rounds: int, before: Path | None) -> None:
    """Run the syncs of both versions in turn."""
    from line import line
    from made_up import USER
    from nginx import make_certificate
    from page_server import serving

    versions = {"now": Path(__file__).parents[1]} | ({"before": before} if before else {})
    found: dict[tuple[str, float], list[list[Sync]]] = {}
    with tempfile.TemporaryDirectory(prefix="lora-tui-bench-") as name:
        certificate = Path(name)
        make_certificate(certificate)
        os.environ["CURL_CA_BUNDLE"] = str(certificate / "ca.pem")
        os.environ["BENCH_USER"] = USER
        with serving(MODELS, others=other_rows(), certificate=certificate) as url:
            port = int(url.rpartition(":")[2])
            for milliseconds in round_trips:
                with line(to=("127.0.0.1", port), round_trip=milliseconds / 1000) as (_, near):
                    for _ in range(rounds):
                        for version, directory in versions.items():
                            syncs = run(directory, f"https://127.0.0.1:{near}")
                            found.setdefault((version, milliseconds), []).append(syncs)
    tell(found, round_trips, "before" if before else "")


def run(directory: Path, url: str) -> list[Sync]:
    """The syncs of one process with the code of a worktree."""
    done = subprocess.run(
        [directory / ".venv" / "bin" / "python", __file__, "--sync", url]
        if (directory / ".venv").exists()
        else [sys.executable, __file__, "--sync", url],
        stdout=subprocess.PIPE,
        check=True,
        cwd=directory,
    )
    return [Sync(*values) for values in json.loads(done.stdout)]


def other_rows() -> dict[str, list[dict[str, Any]]]:
    """Jobs, points of the newest, notifications and costs."""
    from lora_tui.clock import timestamp_text
    from made_up import NEWEST, USER, identifier, job_row

    def at(**ago: float) -> str:
        return timestamp_text(NEWEST - timedelta(**ago))

    points = [
        {
            "id": identifier(f"point {job}", step),
            "job_id": identifier("job", job),
            "timestamp": at(minutes=11 * job, seconds=POINTS - step),
            "epoch": 1,
            "step": step,
            "training_loss": 2.0 / (1 + step / 50),
            "validation_loss": None if step % 50 else 2.1 / (1 + step / 50),
            "learning_rate": 0.0002,
            "gradient_norm": 0.5,
            "throughput": 1500.25,
            "gpu_utilization": 97,
        }
        for job in range(CURVES)
        for step in range(POINTS)
    ]
    notices = [
        {
            "id": identifier("notice", number),
            "user_id": USER,
            "type": "artifact_ready",
            "title": "Model Ready for Download",
            "message": "Your trained model is ready. Quality score: 4/5 stars",
            "priority": "high",
            "read": number > 20,
            "created_at": at(minutes=11 * number),
        }
        for number in range(300)
    ]
    costs = [
        {
            "id": identifier("cost", number),
            "user_id": USER,
            "job_id": identifier("job", number),
            "cost_type": "gpu",
            "amount": 1.5,
            "recorded_at": at(minutes=11 * number),
        }
        for number in range(300)
    ]
    return {
        "training_jobs": [{**job_row(number), "user_id": USER} for number in range(MODELS)],
        "metrics_points": points,
        "notifications": notices,
        "cost_records": costs,
    }


def tell(
    found: dict[tuple[str, float], list[list[Sync]]], round_trips: Sequence[float], peer: str
) -> None:
    """Report seconds at each round trip, requests, and round trips in a row."""
    from figures import figure, report

    def values(version: str, milliseconds: float, which: int, field: int) -> list[float]:
        return [float(syncs[which][field]) for syncs in found.get((version, milliseconds), [])]

    def in_a_row(version: str, which: int) -> list[float]:
        low, high = (values(version, at, which, 0) for at in (min(round_trips), max(round_trips)))
        span = (max(round_trips) - min(round_trips)) / 1000
        quiet = statistics.median(low) if low else 0.0
        return [(seconds - quiet) / span for seconds in high]

    figures = []
    for which, name in enumerate(("first sync", "nothing new")):
        for milliseconds in round_trips:
            promise = "at most 3 s" if not which and milliseconds == 50 else ""
            figures.append(
                figure(
                    f"{name}, {milliseconds:g} ms", "s", values("now", milliseconds, which, 0),
                    peer=peer, peer_values=values(peer, milliseconds, which, 0), promise=promise,
                )
            )  # fmt: skip
        figures.append(
            figure(
                f"{name}: requests", "", values("now", round_trips[0], which, 1),
                peer=peer, peer_values=values(peer, round_trips[0], which, 1),
            )
        )  # fmt: skip
        if len(round_trips) > 1:
            figures.append(
                figure(
                    f"{name}: round trips in a row", "", in_a_row("now", which),
                    peer=peer, peer_values=in_a_row(peer, which) if peer else (),
                    promise="at most 5, and a handshake's 2" if which else "",
                )
            )  # fmt: skip
    report(
        f"sync over a line: {MODELS:,} models and jobs, {CURVES} curves of {POINTS} points, TLS",
        "sync_line",
        figures,
    )


if __name__ == "__main__":
    sys.exit(main())
