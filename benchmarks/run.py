"""All benchmarks, or those named, one after the other; then one table, and its figures as JSON.

`run.py sync queries` runs these two; `keys` only takes a quick look (its own options say how often
each key is pressed). The table is printed from `results/`, which also keeps `all.json` and a
picture of all ratios, `ratios.svg`. `transfers` and `transfers_line` need nginx, aria2c and curl,
`keys` nginx, `harvest` and `harvest_line` curl; where one is missing it says so and fails. Peers
that not every machine has are measured where they are: rclone, and hf_transfer, which is looked
for in the interpreter that LORA_TUI_BENCH_HF names.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import RESULTS, Figure, table
from made_up import SHARED
from ratios import svg

NAMES = (
    "start", "sync", "sync_line", "queries", "interface", "chart", "weights", "transfers",
    "transfers_line", "keys", "harvest", "harvest_line", "fleet", "live",
)  # fmt: skip


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        print(f"no benchmark named {unknown[0]}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="lora-tui-bench-") as caches:
        os.environ[SHARED] = caches
        return run(names or list(NAMES))


def run(names: list[str]) -> int:
    started = time.time()
    documents = []
    failed = []
    for name in names:
        print(f"running {name} …", file=sys.stderr, flush=True)
        script = Path(__file__).with_name(f"bench_{name}.py")
        done = subprocess.run([sys.executable, str(script)], stdout=subprocess.DEVNULL)
        if done.returncode:
            failed.append(name)
            continue
        documents.append(json.loads((RESULTS / f"{name}.json").read_text()))
    for document in documents:
        print(table(document["title"], [Figure(**entry) for entry in document["figures"]]))
    machine = {
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    whole = {"machine": machine, "seconds": time.time() - started, "benchmarks": documents}
    (RESULTS / "all.json").write_text(json.dumps(whole, indent=2) + "\n")
    (RESULTS / "ratios.svg").write_text(svg(documents))
    print(f"\n{whole['seconds']:.0f} s; load {machine['load']:.1f} at the end")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
