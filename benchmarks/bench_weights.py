"""The analysis of weights: processor time against reading and hashing the same file; its memory.

    .venv/bin/python benchmarks/bench_weights.py [--megabytes 84] [--rank 16]

The peer reads the file and computes its SHA-256, which each download and push does anyway. The
file holds an adapter with the modules of a model of hidden size 4096, as many layers as fit; each
type in turn. Times are of the processor, with the file in the page cache. Memory is the highest
resident set of a process of its own that analyses the file, against one that only loads numpy.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from figures import figure, in_turn, report
from lora_tui.adapters.config import AdapterConfig, read_config
from lora_tui.adapters.weights import measure_file

SHAPES = ((4096, 4096), (4096, 1024), (4096, 1024), (4096, 4096)) + (
    ((4096, 11008),) * 2 + ((11008, 4096),)
)
"""Inputs and outputs of q, k, v, o, gate, up and down."""
BYTES = {"BF16": 2, "F16": 2, "F32": 4}
ROUNDS = 9
PROGRAM = """
import re, sys
from pathlib import Path
from lora_tui.adapters.weights import measure_file
if len(sys.argv) > 1:
    measure_file(Path(sys.argv[1]), None)
status = Path("/proc/self/status").read_text()  # getrusage counts the parent before exec
print(re.search(r"VmHWM:\\s+(\\d+)", status)[1])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=84)
    parser.add_argument("--rank", type=int, default=16)
    options = parser.parse_args()
    config = read_config(json.dumps({"r": options.rank, "lora_alpha": 32}).encode())
    figures = []
    with tempfile.TemporaryDirectory() as directory:
        for dtype in BYTES:
            path = Path(directory) / f"{dtype}.safetensors"
            modules = write_adapter(path, dtype, options.rank, options.megabytes * 10**6)
            peer, ours = in_turn(hashing(path), analysis(path, config), ROUNDS)
            figures.append(
                figure(
                    f"{dtype}, {path.stat().st_size / 1e6:.0f} MB, {modules} modules",
                    "ms",
                    ours,
                    peer="read + SHA-256",
                    peer_values=peer,
                    paired=True,
                )
            )
            figures.append(
                figure(
                    f"{dtype}, memory",
                    "MiB",
                    [resident(str(path)) for _ in range(3)],
                    peer="numpy loaded",
                    peer_values=[resident() for _ in range(3)],
                )
            )
    title = f"weights of rank {options.rank}: norms, spectra and damage; processor time, one thread"
    report(title, "weights", figures)


def analysis(path: Path, config: AdapterConfig) -> Callable[[], float]:
    return lambda: processor_milliseconds(lambda: measure_file(path, config))


def hashing(path: Path) -> Callable[[], float]:
    def work() -> None:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)

    return lambda: processor_milliseconds(work)


def processor_milliseconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000


def write_adapter(path: Path, dtype: str, rank: int, size: int) -> int:
    """Write an adapter of at least `size` bytes with normal values; returns its modules."""
    random = np.random.default_rng(1)
    table: dict[str, object] = {}
    pieces: list[bytes] = []
    done = modules = 0
    while done < size:
        inputs, outputs = SHAPES[modules % len(SHAPES)]
        layer, place = divmod(modules, len(SHAPES))
        for side, shape in (("A", (rank, inputs)), ("B", (outputs, rank))):
            content = encoded(random.standard_normal(shape, np.float32) * 0.01, dtype)
            table[f"base_model.model.model.layers.{layer}.part{place}.lora_{side}.weight"] = {
                "dtype": dtype,
                "shape": shape,
                "data_offsets": [done, done + len(content)],
            }
            done += len(content)
            pieces.append(content)
        modules += 1
    text = json.dumps(table).encode()
    path.write_bytes(b"".join((len(text).to_bytes(8, "little"), text, *pieces)))
    return modules


def encoded(values: np.ndarray, dtype: str) -> bytes:
    if dtype == "BF16":
        return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return values.astype(f"<f{BYTES[dtype]}").tobytes()


def resident(*arguments: str) -> float:
    """MiB of the highest resident set of a process."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True
    )
    return int(run.stdout) / 1024


if __name__ == "__main__":
    main()
