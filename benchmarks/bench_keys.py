"""Keys while files are downloaded at full speed: from the key to the frame that shows its effect.

The application runs in a pseudo-terminal. A key moves the cursor of the list, and the frame is
there when the name of the model under it is drawn. The peer is the same application, idle.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import quantiles

from bench_transfers import NAME, make_certificate, make_file, serving, which
from figures import Figure, figure, report
from lora_tui.cache import transfer_queue as queue
from lora_tui.cache import transfers
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.models import put_models
from made_up import fill, model_row
from terminal import Terminal

MODELS = 100
PRESSES = 150
PAUSE = 0.03
"""Seconds between the answer to a key and the next one, as with a key that is held down."""
MEGABYTES = 512
FILES = 8
DOWN, UP = "\x1b[B", "\x1b[A"


def name_of(number: int) -> str:
    return f"Adapter-{number:03d}"


def main() -> None:
    missing = [tool for tool in ("nginx", "openssl") if which(tool) is None]
    if missing:
        sys.exit(f"bench_keys needs {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="lora-tui-bench-") as name:
        directory = Path(name)
        cache = directory / "cache.sqlite3"
        fill(cache, MODELS)
        with closing(open_cache(cache)) as db, transaction(db, Topic.MODELS):
            put_models(db, [model_row(n) | {"name": name_of(n)} for n in range(MODELS)])
        make_file(directory / "www" / NAME, MEGABYTES << 20)
        make_certificate(directory)
        with serving(directory, 32) as urls:
            os.environ["SSL_CERT_FILE"] = f"{directory}/ca.pem"
            os.environ.pop("CURL_CA_BUNDLE", None)
            idle, _ = measure(cache, "models")
            found = figures("idle", idle, idle)
            for case, url in zip(("one stream", "held back"), urls, strict=True):
                enqueue(cache, directory / "downloads" / case)
                os.environ["BENCH_URL"] = url
                busy, fetched = measure(cache, "downloading")
                found += figures(f"{case}, {fetched:.0f} MiB/s", busy, idle)
                clear(cache)
    report("keys while files are downloaded", "keys", found)


def enqueue(cache: Path, directory: Path) -> None:
    """The same file under several names."""
    wanted = [
        queue.FileRequest(f"{n}-{NAME}", NAME, directory / f"{n}-{NAME}", None)
        for n in range(FILES)
    ]
    with closing(open_cache(cache)) as db, transaction(db, Topic.TRANSFERS):
        queue.enqueue(db, model_row(0)["id"], wanted)


def clear(cache: Path) -> None:
    with closing(open_cache(cache)) as db, transaction(db, Topic.TRANSFERS):
        db.execute("DELETE FROM transfers")


def bytes_done(cache: Path) -> int:
    with closing(open_cache(cache)) as db:
        return sum(row.bytes_done for row in transfers.queue_of(db))


def measure(cache: Path, kind: str) -> tuple[list[float], float]:
    """Milliseconds of each key, and how much was fetched meanwhile (MiB a second)."""
    terminal = Terminal(kind, str(cache), name_of(0), settled=kind == "models")
    try:
        while kind == "downloading" and not bytes_done(cache):
            terminal.draw(PAUSE)
        start, before = time.perf_counter(), bytes_done(cache)
        times, at, step = [], 0, 1
        for _ in range(PRESSES):
            if not 0 <= at + step < 20:
                step = -step
            at += step
            times.append(terminal.seen_after(DOWN if step > 0 else UP, name_of(at)) * 1000)
            terminal.draw(PAUSE)
        seconds = time.perf_counter() - start
        return times, (bytes_done(cache) - before) / 2**20 / seconds
    finally:
        terminal.close()


def figures(case: str, times: list[float], idle: list[float]) -> list[Figure]:
    found = []
    for share in (50, 99):
        value, peer = (quantiles(values, n=100)[share - 1] for values in (times, idle))
        against = {} if times is idle else {"peer": "idle", "peer_values": [peer]}
        promise = "" if times is idle or share == 50 else "below 100 ms"
        found.append(figure(f"{case}: {share}th of 100", "ms", [value], promise=promise, **against))
    return found


if __name__ == "__main__":
    sys.exit(main())
