"""Opens and leaves each screen so many times, and prints what memory the application has by then.

    .venv/bin/python scripts/screen_memory.py [--few 50] [--many 500] [--only model,compare]

Each screen is measured in a process of its own, after a first opening that loads what it needs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.tui.every_screen import SCREENS, fill, with_every_screen  # noqa: E402
from tests.tui.library import FakeWriters, Library  # noqa: E402
from textual.screen import Screen  # noqa: E402 - after the path

SIZE = (80, 24)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=50)
    parser.add_argument("--many", type=int, default=500)
    parser.add_argument("--only", default=",".join(SCREENS), help="names, with commas between")
    parser.add_argument("--measure", metavar="NAME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        found = asyncio.run(measure(arguments.measure, arguments.few, arguments.many))
        print(json.dumps(found))
        return
    print(f"{'screen':<14} {arguments.few:>6} openings {arguments.many:>6} openings  living")
    for name in arguments.only.split(","):
        words = ["--measure", name, "--few", str(arguments.few), "--many", str(arguments.many)]
        ended = subprocess.run(  # noqa: S603 - this file
            [sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=True
        )
        few, many, living = json.loads(ended.stdout)
        print(f"{name:<14} {few:12.1f} MB {many:12.1f} MB {living:7}", flush=True)


async def measure(name: str, few: int, many: int) -> tuple[float, float, int]:
    """MB after so few openings, MB after so many, and how many of the screens still live then."""
    way, seen = SCREENS[name], list[weakref.ref[Screen[Any]]]()
    with tempfile.TemporaryDirectory() as home:
        library = Library(Path(home) / "cache.sqlite3")
        fill(library)
        app = with_every_screen(library, FakeWriters(), Path(home))
        app.animation_level = "none"
        async with app.run_test(size=SIZE) as pilot:
            await pilot.press(*way.below)
            below = app.screen

            async def look(times: int) -> float:
                for _ in range(times):
                    await pilot.press(*way.opens)
                    while list(app.screen.workers):
                        await pilot.pause()
                    seen.append(weakref.ref(app.screen))
                    while app.screen is not below:
                        await pilot.press("escape")
                gc.collect()
                return resident()

            after_few = await look(few)
            after_many = await look(many - few)
            return after_few, after_many, sum(screen() is not None for screen in seen)


def resident() -> float:
    """MB of memory that this process holds."""
    status = Path("/proc/self/status").read_text()
    (line,) = (entry for entry in status.splitlines() if entry.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
