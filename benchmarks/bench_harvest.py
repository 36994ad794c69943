"""From the worker's storage into the bucket: the harvest against `curl` piped into `curl`.

One large file (or several: `--files`), served by a process of its own, goes into the sandbox's
bucket, which is another process. The peers send it in one request and check nothing; with
`sha256sum` in the pipe they know at least what they sent. The harvest sends it in resumable
pieces, computes its checksum, compares what is stored, and writes artifact, notification and link.
Its time is that from the first event of the job to the last; "whole process" adds the start of
Python. (Target: at least 0.9 times the rate of `curl | curl`, and at most 150 MB of memory.)

rclone, where it is installed, knows no bucket of this kind. It copies the URL into a WebDAV server
of its own, and `curl | curl` sends the file there too: its ratio to that pipe, beside the
harvest's ratio to the pipe into the bucket, says what each adds to the same work.

Where the time goes, in processor time for 512 MiB on two cores: the sandbox 1.35 s, half of it for
the checksum that it computes of a stored object; the two curls 0.7 s; the harvest 1.0 s, of which
0.3 s are SHA-256, 0.3 s receiving and spooling, and 0.3 s sending. So on a busy machine the ratio
is that of the work. Waiting between two pieces costs next to nothing: 0.04 s of 1.3 s.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from figures import figure, report
from harvest_setup import (
    MEGABYTE,
    MOST_FILES,
    Outcome,
    harvest,
    into_bucket,
    piped,
    project,
    source,
    timed,
)

PEER = "curl | curl"
CHECKED = "curl | sha256sum | curl"
PEER_DAV = "curl | curl, to WebDAV"
RCLONE = "rclone copyurl, to WebDAV"
HARVEST = "harvest"
WHOLE = "harvest, whole process"


def main() -> None:
    arguments = parse()
    if shutil.which("curl") is None:
        sys.exit("bench_harvest needs curl; on Debian: apt-get install curl")
    rates: dict[str, list[float]] = {}
    memory: dict[str, list[float]] = {}
    size = arguments.megabytes * MEGABYTE
    files = min(arguments.files, MOST_FILES)

    def note(name: str, outcome: Outcome, seconds: float | None = None) -> None:
        rate = files * arguments.megabytes / (seconds or outcome.seconds)
        rates.setdefault(name, []).append(rate)
        memory.setdefault(name, []).append(outcome.peak / MEGABYTE)

    with (
        tempfile.TemporaryDirectory(prefix="lora-tui-bench-", dir=arguments.dir) as home,
        source(size, files) as url,
        project(Path(home) / "sandbox", waiting_jobs=arguments.rounds) as settings,
        webdav(Path(home) / "webdav") as dav,
    ):
        for number in range(arguments.rounds):
            if not arguments.ours_alone:
                for name, middle in ((PEER, ""), (CHECKED, "| tee >(sha256sum >&2)")):
                    target = f"{number}-{len(middle)}"
                    note(name, piped(into_bucket(url, settings, target, files, middle)))
                if dav and files == 1:
                    note(PEER_DAV, piped(into_webdav(url, dav)))
                    note(RCLONE, timed(by_rclone(url, dav)))
            plain = {name: value for name, value in settings.items() if "_S3_" not in name}
            outcome = harvest(plain | {"GPU_CLUSTER_API_URL": url}, Path(home))
            note(HARVEST, outcome)
            note(WHOLE, outcome, outcome.process_seconds)
    pairs = [
        (HARVEST, PEER, "at least 0.9"),
        (WHOLE, PEER, ""),
        (HARVEST, CHECKED, ""),
        (RCLONE, PEER_DAV, ""),
    ]
    what = "one file" if files == 1 else f"{files} files"
    report(
        f"harvest of {what} of {arguments.megabytes:,} MiB",
        "harvest",
        [
            *(
                figure(
                    name,
                    "MiB/s",
                    rates[name],
                    peer=peer if peer in rates else "",
                    peer_values=rates.get(peer, ()),
                    promise=promise,
                )
                for name, peer, promise in pairs
                if name in rates
            ),
            figure(
                f"{HARVEST}: memory at the peak",
                "MiB",
                memory[HARVEST],
                peer=RCLONE if RCLONE in memory else PEER if PEER in memory else "",
                peer_values=memory.get(RCLONE, memory.get(PEER, ())),
                promise="at most 150 MiB",
            ),
        ],
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--files", type=int, default=1, help=f"at most {MOST_FILES}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", help="where the sandbox keeps its files (a temporary directory)")
    parser.add_argument("--ours-alone", action="store_true", help="leave the peers out")
    arguments, _ = parser.parse_known_args()
    return arguments


def into_webdav(url: str, dav: str) -> str:
    return (
        f"curl -sf --noproxy '*' '{url}/file'"
        f" | curl -sf --noproxy '*' -T - -H 'Expect:' '{dav}/by-curl.bin'"
    )


def by_rclone(url: str, dav: str) -> list[str]:
    connection = ["--config", "", "--webdav-url", dav]
    return ["rclone", "copyurl", *connection, f"{url}/file", ":webdav:by-rclone.bin"]


@contextmanager
def webdav(directory: Path) -> Iterator[str | None]:
    """The address of a server of rclone's; None where rclone is not installed."""
    if shutil.which("rclone") is None:
        yield None
        return
    directory.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["rclone", "serve", "webdav", "--config", "", "--addr", f"127.0.0.1:{port}", directory],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
