"""Downloads over a line with a round trip: many small files of one model, and one large file.

- small: a model of 20 files of 20 kB to 2 MB and one of 32 MiB, against `aria2c -j8`, given the
  list of links, and `curl --parallel`; also against curl asking for the links and aria2c after it,
  as `lora-tui urls MODEL | aria2c -i -` would do;
- large: one file, each connection paced, against `aria2c -x8` and, where an interpreter has it
  (LORA_TUI_BENCH_HF), hf_transfer with eight parts at once.

nginx (HTTPS) is behind a relay that delays and paces every connection (line.py). Ours is the whole
path: links, queue, fetch, checksum, structure, fsync, rename; the peers verify nothing, and have
their links beforehand but for the one with curl. So over TLS 1.3 our first byte comes after four
round trips (connect two, links one, file one) and theirs after three; an nginx that has TLS 1.2 as
its default adds one to both. Sign-in and the lookup of the model are not in the time. The time
is that of the download, without the start of Python, which "whole process" includes. `--before`
names another version, with its own environment, that is measured in turn with this one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

BENCHMARKS = Path(__file__).resolve().parent
sys.path[:0] = [str(BENCHMARKS), str(BENCHMARKS.parent)]

USER = "00000000-0000-4000-8000-000000000001"
SMALL = 20
TOKEN = "token=benchmark"


@dataclass(frozen=True)
class Case:
    """A model on the server, and a line to it."""

    directory: Path
    names: tuple[str, ...]
    origin: str
    """The URL of the line."""
    size: int

    def url(self, name: str) -> str:
        return f"{self.origin}{self.path(name)}?{TOKEN}"

    def path(self, name: str) -> str:
        return f"/storage/v1/object/sign/lora-models/{USER}/{USER}/{name}"


def main() -> None:
    from bench_transfers import TOOLS, Run, hf_transfer
    from figures import Figure, figure, report
    from line import line
    from nginx import make_certificate, serving, which

    arguments = parse()
    missing = sorted({package for tool, package in TOOLS.items() if which(tool) is None})
    if missing:
        sys.exit(f"bench_transfers_line needs {', '.join(missing)}")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="lora-tui-bench-", dir=arguments.dir) as name:
        directory = Path(name)
        make_certificate(directory)
        www = directory / "www"
        small = make_model(www, arguments.megabytes)
        sizes = {name: (www / path_of(name)[1:]).stat().st_size for name in (*small, LARGE)}

        def compare(
            case: Case, peers: dict[str, Callable[[], Run]], title: str, promises: dict[str, str]
        ) -> None:
            programs = dict(peers)
            if arguments.before:
                programs["before"] = lambda: ours(case, sizes, arguments.before)
            programs["now"] = lambda: ours(case, sizes, BENCHMARKS.parent)
            runs: dict[str, list[Run]] = {name: [] for name in programs}
            for number in range(arguments.rounds + 1):  # the first one warms up
                for name, program in programs.items():
                    run = program()
                    if number:
                        runs[name].append(run)

            def rates(runs: list[Run], *, whole: bool = False) -> list[float]:
                return [case.size / 2**20 / (r.seconds if whole else r.inside) for r in runs]

            for mine in [name for name in ("before", "now") if name in runs]:
                for peer in peers:
                    figures.append(
                        figure(
                            f"{title}, {mine}",
                            "MiB/s",
                            rates(runs[mine]),
                            peer=peer,
                            peer_values=rates(runs[peer]),
                            promise=promises.get(peer, "") if mine == "now" else "",
                        )
                    )
            for mine in [name for name in ("before", "now") if name in runs]:
                for peer in [name for name in peers if name.startswith("hf")]:
                    figures.append(
                        figure(
                            f"{title}, {mine}: with Python's start",
                            "MiB/s",
                            rates(runs[mine], whole=True),
                            peer=peer,
                            peer_values=rates(runs[peer]),
                        )
                    )
            peer = next(iter(peers))
            for what, unit, values in (
                ("with Python's start", "MiB/s", lambda runs: rates(runs, whole=True)),
                ("seconds", "s", lambda runs: [run.inside for run in runs]),
                ("processor time", "s", lambda runs: [run.cpu for run in runs]),
                ("memory at the peak", "MiB", lambda runs: [r.memory / 2**20 for r in runs]),
            ):
                for mine in [name for name in ("before", "now") if name in runs]:
                    figures.append(
                        figure(
                            f"{title}, {mine}: {what}",
                            unit,
                            values(runs[mine]),
                            peer=peer,
                            peer_values=values(runs[peer]),
                        )
                    )

        with serving(directory, (None,), signing=True) as (server,):
            address = ("127.0.0.1", urlsplit(server).port or 0)
            for milliseconds in arguments.round_trips:
                for pace in arguments.paces:
                    with ExitStack() as stack:
                        host, port = stack.enter_context(
                            line(to=address, round_trip=milliseconds / 1000, pace=pace * 1e6)
                        )
                        origin = f"https://{host}:{port}"
                        title = f"{milliseconds} ms, {pace} MB/s a connection"
                        if pace == arguments.paces[0] and "small" in arguments.cases:
                            size = sum(sizes[name] for name in small)
                            case = Case(directory, small, origin, size)
                            compare(
                                case,
                                {
                                    "aria2c -j8": lambda c=case: aria2c_list(c),
                                    "curl for links, aria2c -j8": lambda c=case: aria2c_list(
                                        c, links=True
                                    ),
                                    "curl --parallel": lambda c=case: curl_list(c),
                                },
                                f"{len(small)} files, {title}",
                                {"curl for links, aria2c -j8": "at least 1"},
                            )
                        if "large" in arguments.cases:
                            case = Case(directory, (LARGE,), origin, sizes[LARGE])
                            url = case.url(LARGE)
                            peers = {
                                "aria2c -x8": lambda c=case: aria2c_file(c),
                                **hf_transfer(directory, url),
                            }
                            peers.pop("hf_transfer x8 + sha256sum", None)
                            compare(
                                case,
                                peers,
                                f"{arguments.megabytes} MiB, {title}",
                                {"aria2c -x8": "at least 1", "hf_transfer x8": "at least 1"},
                            )
    report("Downloads over a line, over HTTPS", "transfers_line", figures)


LARGE = "large.safetensors"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--round-trips", type=int, nargs="+", default=[10, 50, 150], help="ms")
    parser.add_argument("--paces", type=int, nargs="+", default=[100, 32], help="MB/s")
    parser.add_argument("--megabytes", type=int, default=512, help="of the large file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=["small", "large"])
    parser.add_argument("--before", type=Path, help="the directory of another version")
    parser.add_argument("--dir", help="where the files are written (a temporary directory)")
    arguments, _ = parser.parse_known_args()
    return arguments


def path_of(name: str) -> str:
    return f"/storage/v1/object/sign/lora-models/{USER}/{USER}/{name}"


def make_model(www: Path, megabytes: int) -> tuple[str, ...]:
    """The files, and the answers to requests for links; the names of those of the small model."""
    from bench_transfers import make_file

    chance = random.Random(1)
    folder = www / path_of("")[1:].rstrip("/")
    make_file(folder / LARGE, megabytes << 20)
    names = ["adapter_model.safetensors"]
    make_file_in(folder / names[0], 32 << 20)
    for number in range(SMALL):
        size = int(20_000 * 100 ** (number / (SMALL - 1)))
        names.append(f"part_{number:02}.dat")
        (folder / names[-1]).write_bytes(chance.randbytes(size))
    rows = [
        {"error": None, "path": f"{USER}/{USER}/{name}", "signedURL": signed(name)}
        for name in (*names, LARGE)
    ]
    (www / "many.json").write_text(json.dumps(rows))
    (www / "one.json").write_text(json.dumps({"signedURL": signed(names[0])}))
    return tuple(names)


def make_file_in(path: Path, size: int) -> None:
    from tests.safetensors import one_tensor_header

    header, block = one_tensor_header(size), random.Random(2).randbytes(1 << 20)
    with path.open("wb") as file:  # in pieces: a child inherits our peak of memory
        file.write(header)
        while (left := size - file.tell()) > 0:
            file.write(block[:left])


def signed(name: str) -> str:
    return f"/object/sign/lora-models/{USER}/{USER}/{name}?{TOKEN}"


def aria2c_list(case: Case, *, links: bool = False):
    """All files by one aria2c; with `links`, a request for the links comes first."""
    from bench_transfers import sequence

    target = case.directory / "aria2"
    listed = case.directory / "list.txt"
    listed.write_text("".join(f"{case.url(name)}\n out={name}\n" for name in case.names))
    ask = (
        *("curl", "-sS", "--fail", "--cacert", f"{case.directory}/ca.pem", "-X", "POST"),
        *("-o", "/dev/null", "-d", "{}", f"{case.origin}/storage/v1/object/sign/lora-models"),
    )
    fetch = (
        *("aria2c", "-j8", "-x8", "-s8", "-k1M", "--quiet=true", "--file-allocation=none"),
        *(f"--ca-certificate={case.directory}/ca.pem", "-d", target, "-i", listed),
    )
    return sequence([list(ask), list(fetch)] if links else [list(fetch)], target)


def curl_list(case: Case):
    from bench_transfers import sequence

    target = case.directory / "curl"
    options: list[object] = [
        *(
            "curl",
            "-sS",
            "--no-progress-meter",
            "--fail",
            "--create-dirs",
            "--parallel",
            "--parallel-max",
            "8",
        ),
        *("--cacert", f"{case.directory}/ca.pem"),
    ]
    for name in case.names:
        options += ["-o", target / name, case.url(name)]
    return sequence([options], target)


def aria2c_file(case: Case):
    from bench_transfers import aria2c

    return aria2c(case.directory, case.url(case.names[0]), check=False)


def ours(case: Case, sizes: dict[str, int], version: Path):
    """One download by a version of lora-tui, in its own environment."""
    from bench_transfers import Run, measured

    home = case.directory / "home"
    www = case.directory / "www"
    files = {}
    for name in case.names:
        files[name] = {"size": sizes[name], "sha256": checksum(www / path_of(name)[1:])}
    plan = case.directory / "plan.json"
    plan.write_text(json.dumps({"origin": case.origin, "home": str(home), "files": files}))
    environment = {**os.environ, "SSL_CERT_FILE": f"{case.directory}/ca.pem"}
    environment.pop("CURL_CA_BUNDLE", None)
    told = case.directory / "told.json"
    python = version / ".venv" / "bin" / "python"
    command = [str(python), __file__, "--child", str(plan), str(told)]
    start = time.perf_counter()
    cpu, memory = measured(command, environment)
    seconds = time.perf_counter() - start
    shutil.rmtree(home)
    return Run(seconds, json.loads(told.read_text())["seconds"], cpu, memory)


CHECKSUMS: dict[Path, str] = {}


def checksum(path: Path) -> str:
    if path not in CHECKSUMS:
        with path.open("rb") as file:
            CHECKSUMS[path] = hashlib.file_digest(file, "sha256").hexdigest()
    return CHECKSUMS[path]


def child(plan: Path, told: Path) -> None:
    """One download as the application does it: links, queue, files."""
    import httpx

    from lora_tui.cache.changes import Topic
    from lora_tui.cache.connection import open_cache, transaction
    from lora_tui.cache.models import get_model, put_models
    from lora_tui.gateway.storage import Storage
    from lora_tui.transfers.download import download
    from lora_tui.transfers.runner import Runner, RunnerOptions

    asked = json.loads(plan.read_text())
    home = Path(asked["home"])
    row = {
        "id": USER,
        "user_id": USER,
        "name": "Benchmark",
        "created_at": "2026-11-20T10:00:00+00:00",
        "updated_at": "2026-11-20T10:00:00+00:00",
        "artifacts": {name: f"{USER}/{USER}/{name}" for name in asked["files"]},
        "configuration": {"files": asked["files"]},
    }
    cache_path = home / "cache.sqlite3"
    db = open_cache(cache_path)
    with transaction(db, Topic.MODELS):
        put_models(db, [row])
    model = get_model(db, USER)
    assert model is not None
    db.close()
    start = time.perf_counter()
    with Storage(asked["origin"], httpx.Auth()) as storage:
        options = {"sign": storage.sign, "delay": lambda *_: None}
        if "sign_many" in RunnerOptions.__dataclass_fields__:  # not in earlier versions
            options |= {"sign_many": storage.sign_at_once, "host": asked["origin"]}
        runner = Runner(cache_path, RunnerOptions(**options))
        outcome = download(runner, model, home / "downloads")
        seconds = time.perf_counter() - start
        assert set(outcome.done) == set(asked["files"]), outcome
        assert all(check == "sha256" for check in outcome.checked.values())
        runner.close()
    told.write_text(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
