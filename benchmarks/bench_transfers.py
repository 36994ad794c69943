"""Downloads over loopback HTTPS, against curl and aria2c, with processor time and memory of each.

Three questions, each answered by a ratio against a named peer in the same minutes:

- one stream: 1 GB from an nginx, verified, against `curl` followed by `sha256sum`, and against
  curl alone, which verifies nothing (target: at least 0.9 times the former);
- a server that holds each connection back (nginx's limit_rate): against `aria2c -x8` (target: at
  least its rate), which verifies nothing either, and against the same followed by `sha256sum`;
  and, where an interpreter has it, against hf_transfer with eight parts at once, likewise;
- the interface meanwhile: how late an event loop in the same process wakes up.

Ours is the whole path: queue, fetch, checksum, structure, fsync, rename. "With Python's start"
is the whole process. nginx listens on an ephemeral loopback port, with a certificate made for the
run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, figure
from nginx import NAME, make_certificate, serving, which

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.safetensors import one_tensor_header

from figures import report as report_figures

TOOLS = {
    "nginx": "nginx",
    "openssl": "openssl",
    "curl": "curl",
    "aria2c": "aria2",
    "sha256sum": "coreutils",
}


@dataclass(frozen=True)
class Run:
    """One download by one program."""

    seconds: float
    """Of the whole process, or of the processes in sequence."""
    inside: float
    """Of the download alone, where the program tells; else the same."""
    cpu: float
    """Seconds of processor time."""
    memory: int
    """Bytes at the peak."""
    late_p50: float = 0.0
    late_p99: float = 0.0
    late_worst: float = 0.0
    """Seconds by which an event loop beside the download woke up late."""


def main() -> None:
    arguments = parse()
    missing = sorted({package for tool, package in TOOLS.items() if which(tool) is None})
    if missing:
        sys.exit(
            f"bench_transfers needs {', '.join(missing)};"
            f" on Debian: apt-get install {' '.join(missing)}"
        )
    with tempfile.TemporaryDirectory(prefix="lora-tui-bench-", dir=arguments.dir) as name:
        directory = Path(name)
        make_file(directory / "www" / NAME, arguments.megabytes << 20)
        make_certificate(directory)
        limits = (None, f"{arguments.limit_rate}m")
        with serving(directory, limits) as origins:
            free, held = (f"{origin}/{NAME}" for origin in origins)
            report = {
                "single": compare(
                    {
                        "curl": lambda: curl(directory, free, check=False),
                        "curl + sha256sum": lambda: curl(directory, free, check=True),
                        "lora-tui": lambda: ours(directory, free),
                    },
                    arguments.rounds,
                ),
                "throttled": compare(
                    {
                        "aria2c -x8": lambda: aria2c(directory, held, check=False),
                        "aria2c -x8 + sha256sum": lambda: aria2c(directory, held, check=True),
                        **hf_transfer(directory, held),
                        "lora-tui": lambda: ours(directory, held),
                    },
                    arguments.rounds,
                ),
            }
    title = (
        f"Downloads of {arguments.megabytes} MiB over loopback HTTPS;"
        f" held back to {arguments.limit_rate} MiB/s a connection"
    )
    report_figures(title, "transfers", figures_of(report, arguments.megabytes))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit-rate", type=int, default=32, help="MiB/s a connection")
    parser.add_argument("--dir", help="where the files are written (a temporary directory)")
    arguments, _ = parser.parse_known_args()
    return arguments


def make_file(path: Path, size: int) -> None:
    """A safetensors file of one tensor, of random bytes that repeat each MiB."""
    path.parent.mkdir(parents=True)
    header = one_tensor_header(size)
    body = size - len(header)
    block = os.urandom(1 << 20)  # small: a child inherits our peak of memory
    with path.open("wb") as file:
        file.write(header)
        while body > 0:
            body -= file.write(block[:body])


def compare(programs: dict[str, Callable[[], Run]], rounds: int) -> dict[str, list[Run]]:
    """Each program once a round, in turn; a first round that does not count warms the caches."""
    runs: dict[str, list[Run]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, program in programs.items():
            run = program()
            if number:
                runs[name].append(run)
    return runs


def curl(directory: Path, url: str, *, check: bool) -> Run:
    target = directory / "curl.out"
    commands: list[list[object]] = [
        ["curl", "-sS", "--fail", "--cacert", f"{directory}/ca.pem", "-o", target, url]
    ]
    if check:
        commands.append(["sha256sum", target])
    return sequence(commands, target)


def aria2c(directory: Path, url: str, *, check: bool) -> Run:
    target = directory / "aria2.out"
    commands: list[list[object]] = [
        [
            *("aria2c", "-x8", "-s8", "-k1M", "--quiet=true", "--file-allocation=none"),
            *(f"--ca-certificate={directory}/ca.pem", "-d", directory, "-o", target.name, url),
        ]
    ]
    if check:
        commands.append(["sha256sum", target])
    return sequence(commands, target)


def hf_transfer(directory: Path, url: str) -> dict[str, Callable[[], Run]]:
    """The programs, by name, where this or the named interpreter has hf_transfer."""
    python = os.environ.get("LORA_TUI_BENCH_HF", sys.executable)
    target = directory / "hf.out"
    fetch = "import hf_transfer, sys; hf_transfer.download(*sys.argv[1:], 8, 10 << 20)"
    command: list[object] = [python, "-c", fetch, url, target]
    if subprocess.run([python, "-c", "import hf_transfer"], capture_output=True).returncode:
        return {}
    environment = {**os.environ, "SSL_CERT_FILE": f"{directory}/ca.pem"}
    return {
        "hf_transfer x8": lambda: sequence([command], target, environment),
        "hf_transfer x8 + sha256sum": lambda: sequence(
            [command, ["sha256sum", target]], target, environment
        ),
    }


def sequence(
    commands: list[list[object]], target: Path, environment: dict[str, str] | None = None
) -> Run:
    start = time.perf_counter()
    cpu, memory = 0.0, 0
    for command in commands:
        used = measured([str(word) for word in command], environment or os.environ)
        cpu, memory = cpu + used[0], max(memory, used[1])
    seconds = time.perf_counter() - start
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink()
    return Run(seconds, seconds, cpu, memory)


def measured(
    command: list[str], environment: os._Environ[str] | dict[str, str]
) -> tuple[float, int]:
    """Processor seconds and peak memory of a command that succeeds."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} failed ({process.returncode})")
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit


def ours(directory: Path, url: str) -> Run:
    home = directory / "home"
    facts = directory / "facts.json"
    environment = {**os.environ, "SSL_CERT_FILE": f"{directory}/ca.pem"}
    environment.pop("CURL_CA_BUNDLE", None)
    command = [sys.executable, __file__, "--child", str(home), url, str(facts)]
    start = time.perf_counter()
    cpu, memory = measured(command, environment)
    seconds = time.perf_counter() - start
    told = json.loads(facts.read_text())
    shutil.rmtree(home)
    return Run(seconds, told["seconds"], cpu, memory, *told["late"])


def child(home: Path, url: str, facts: Path) -> None:
    """One download as the application does it, with an event loop that watches itself."""
    import asyncio
    from contextlib import closing

    from lora_tui.cache.changes import Topic
    from lora_tui.cache.connection import open_cache, transaction
    from lora_tui.cache.models import get_model, put_models
    from lora_tui.transfers.download import download
    from lora_tui.transfers.runner import Runner, RunnerOptions
    from lora_tui.tui.background import in_background

    cache_path = home / "cache.sqlite3"
    model_id = "00000000-0000-4000-8000-000000000001"
    row = {
        "id": model_id,
        "user_id": model_id,
        "name": "Benchmark",
        "created_at": "2026-11-20T10:00:00+00:00",
        "updated_at": "2026-11-20T10:00:00+00:00",
        "artifacts": {NAME: f"a/b/{NAME}"},
    }
    db = open_cache(cache_path)
    with transaction(db, Topic.MODELS):
        put_models(db, [row])
    db.close()

    def work() -> float:
        with closing(open_cache(cache_path)) as mine:
            model = get_model(mine, model_id)
        assert model is not None
        runner = Runner(cache_path, RunnerOptions(sign=lambda _: url, delay=lambda *_: None))
        start = time.perf_counter()
        outcome = download(runner, model, home / "downloads")
        seconds = time.perf_counter() - start
        assert outcome.done == (NAME,)
        runner.close()
        return seconds

    async def watched() -> tuple[float, list[float]]:
        late: list[float] = []

        async def tick() -> None:
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.005)
                late.append(time.perf_counter() - before - 0.005)

        ticking = asyncio.create_task(tick())
        seconds = await in_background(work, name="download")
        ticking.cancel()
        return seconds, sorted(late)

    seconds, late = asyncio.run(watched())
    p50, p99 = late[len(late) // 2], late[int(len(late) * 0.99)]
    facts.write_text(json.dumps({"seconds": seconds, "late": [p50, p99, late[-1]]}))


def figures_of(report: dict[str, dict[str, list[Run]]], megabytes: int) -> list[Figure]:
    """Rates first (more is better), then what they cost."""
    single, held = report["single"], report["throttled"]

    def rate(runs: list[Run], *, whole: bool = False) -> list[float]:
        return [megabytes / (run.seconds if whole else run.inside) for run in runs]

    found = []
    for name, runs, peer, peers, whole, promise in (
        ("one stream, verified", single, "curl + sha256sum", single, False, "at least 0.9"),
        ("one stream, with Python's start", single, "curl + sha256sum", single, True, ""),
        ("one stream, verified", single, "curl", single, False, ""),
        ("held back, verified", held, "aria2c -x8", held, False, "at least 1"),
        ("held back, verified", held, "aria2c -x8 + sha256sum", held, False, ""),
        ("held back, with Python's start", held, "aria2c -x8 + sha256sum", held, True, ""),
        ("held back, with Python's start", held, "hf_transfer x8", held, True, ""),
        ("held back, with Python's start", held, "hf_transfer x8 + sha256sum", held, True, ""),
    ):
        if peer not in peers:
            continue
        found.append(
            figure(
                name,
                "MiB/s",
                rate(runs["lora-tui"], whole=whole),
                peer=peer,
                peer_values=rate(peers[peer], whole=whole),
                promise=promise,
            )
        )
    for case, runs, peer in (
        ("one stream", single, "curl + sha256sum"),
        ("held back", held, "aria2c -x8"),
        ("held back", held, "hf_transfer x8"),
    ):
        if peer not in runs:
            continue
        ours, theirs = runs["lora-tui"], runs[peer]
        found += [
            figure(
                f"{case}: processor time",
                "s",
                [run.cpu for run in ours],
                peer=peer,
                peer_values=[run.cpu for run in theirs],
            ),
            figure(
                f"{case}: memory at the peak",
                "MiB",
                [run.memory / 2**20 for run in ours],
                peer=peer,
                peer_values=[run.memory / 2**20 for run in theirs],
            ),
        ]
    for case, runs in (("one stream", single), ("held back", held)):
        ours = runs["lora-tui"]
        found += [
            figure(
                f"{case}: event loop wakes late, 99th of 100",
                "ms",
                [run.late_p99 * 1000 for run in ours],
            ),
            figure(f"{case}: event loop, worst", "ms", [run.late_worst * 1000 for run in ours]),
        ]
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
    else:
        main()
