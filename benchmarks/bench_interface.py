"""The application in a real terminal: first paint, from key to frame, memory; by size.

Each application runs in a pseudo-terminal of 120 × 40 and is measured from outside, by the bytes
that it draws. First paint is from the start of the process: of `lora-tui`, as typed, signed in,
over a filled cache. It is measured in turn with an empty Textual application (empty, ours, empty,
ours, …), and its ratio is the median of the ratios of neighbours, so a machine that becomes slower
meanwhile changes no ratio. A key is answered when what it drew is complete and nothing follows for
a while; its peer is Textual's own DataTable.

With `--against PYTHON` the first paint of another version, installed in an environment of its own,
is measured beside ours; `--paint` measures nothing else. `--starts` says how often each is started.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

import homes
import terminal_apps
from figures import Figure, figure, in_turn, report
from made_up import filled, model_row
from terminal import Terminal
from terminal_apps import MARK

SIZES = (100, 10_000, 100_000, 1_000_000)
TABLES = (100, 10_000)
EMPTY = "empty Textual app"
PARTS = 100_000
"""The size for which the application is also started without its command."""
STARTS = 11
ROUNDS = 3
PRESSES = 15
PAGES = 2
"""So few, that a hundred rows have them."""
NEWEST = model_row(0)["name"].split(" - ")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--starts", type=int, default=STARTS)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--paint", action="store_true", help="only the first paint")
    parser.add_argument("--against", help="the Python of another version's environment")
    arguments = parser.parse_args()
    with filled(arguments.sizes) as paths:
        found = paint(paths, arguments.starts, arguments.against)
        if not arguments.paint:
            found += keys_and_memory(paths)
    report("interface: a terminal of 120 × 40", "interface", found)


def paint(paths: dict[int, Path], starts: int, against: str | None) -> list[Figure]:
    """First paint, and the processor time until then, which other programs don't make longer."""
    first, processor = [], []
    for name, command, home in painted(paths, against):
        empty = partial(start, terminal_apps.command("empty"), MARK)
        ours = partial(start, command, MARK if home is None else NEWEST, home)
        ours()  # the first time, files are read from the disk, and bytecode is written
        theirs, found = in_turn(empty, ours, starts)
        promise = "at most 1.3" if name.startswith("lora-tui") else ""
        for figures, title, of in ((first, "first paint", 0), (processor, "processor time", 1)):
            figures.append(
                figure(
                    f"{title}: {name}",
                    "ms",
                    [times[of] for times in found],
                    peer=EMPTY,
                    peer_values=[times[of] for times in theirs],
                    promise=promise,
                    paired=True,
                )
            )
    return first + processor


def painted(
    paths: dict[int, Path], against: str | None
) -> list[tuple[str, list[str], Path | None]]:
    """Name, command, and home of what is painted."""
    found: list[tuple[str, list[str], Path | None]] = []
    for size, path in paths.items():
        home = homes.home_of(path)
        found.append((f"lora-tui, {size:,} models", homes.command(), home))
        if size == PARTS:
            alone = terminal_apps.command("models", path)
            found.append((f"its application alone, {size:,}", alone, home))
            if against:
                name = f"the other version, {size:,} models"
                found.append((name, homes.command(python=against), home))
    for count in TABLES:
        found.append((f"DataTable, {count:,} rows", terminal_apps.command("table", count), None))
    return found


def start(command: list[str], mark: str, home: Path | None = None) -> tuple[float, float]:
    """Milliseconds until the first paint, and of the processor."""
    environment = homes.environment(home or Path("/nowhere"))
    terminal = Terminal(command, mark, environment=environment, settled=False)
    terminal.close()
    return terminal.first_paint * 1000, terminal.processor * 1000


def keys_and_memory(paths: dict[int, Path]) -> list[Figure]:
    """From key to frame, and the memory after all keys, of applications that are offline."""
    memory: dict[str, list[float]] = defaultdict(list)
    keys: dict[tuple[str, str], list[float]] = defaultdict(list)
    apps = {EMPTY: ("empty", terminal_apps.command("empty"), MARK, Path("/nowhere"))}
    for count in TABLES:
        command = terminal_apps.command("table", count)
        apps[f"DataTable, {count:,} rows"] = ("table", command, MARK, Path("/nowhere"))
    for size, path in paths.items():
        command = homes.command("--offline")
        apps[f"lora-tui, {size:,} models"] = ("models", command, NEWEST, homes.home_of(path))
    for _ in range(ROUNDS):
        for name, (kind, command, mark, home) in apps.items():
            terminal = Terminal(command, mark, environment=homes.environment(home))
            if kind != "empty":
                measure_keys(terminal, kind, name, keys)
            memory[name].append(sum(terminal.memory.values()))
            terminal.close()
    return key_figures(min(paths), keys, memory)


def measure_keys(
    terminal: Terminal, kind: str, name: str, keys: dict[tuple[str, str], list[float]]
) -> None:
    def press(what: str, sent: str) -> None:
        keys[what, name].append(terminal.press(sent) * 1000)

    for _ in range(PRESSES):
        press("cursor down", "\x1b[B")
    for _ in range(PAGES):
        press("page down", "\x1b[6~")
    if kind != "models":
        return
    press("jump to the end (G)", "G")
    for _ in range(PAGES):
        press("page up near the end", "\x1b[5~")
    press("jump to the top (g)", "g")
    terminal.press("/")
    for letter in "support":
        press("a letter of a search", letter)
    terminal.press("\x1b")
    terminal.settle()


def key_figures(
    smallest: int, keys: dict[tuple[str, str], list[float]], memory: dict[str, list[float]]
) -> list[Figure]:
    least, table = f"lora-tui, {smallest:,} models", f"DataTable, {TABLES[0]:,} rows"
    found = []
    for (what, name), values in keys.items():
        peer = table if (what, table) in keys else least
        against = {} if name == peer else {"peer": peer, "peer_values": keys[what, peer]}
        found.append(figure(f"{what}: {name}", "ms", values, **against))
    for name, values in memory.items():
        against = {} if name == EMPTY else {"peer": EMPTY, "peer_values": memory[EMPTY]}
        found.append(figure(f"memory: {name}", "MiB", values, **against))
    return found


if __name__ == "__main__":
    sys.exit(main())
