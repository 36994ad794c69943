"""The application in a real terminal: first paint, from key to frame, memory; by size.

Each application runs in a pseudo-terminal of 120 × 40 and is measured from outside, by the bytes
that it draws. First paint is from the start of the process; a key is answered when what it drew
is complete and nothing follows for a while. The peers are an empty Textual application and
Textual's own DataTable.
"""

from __future__ import annotations

import sys
from collections import defaultdict

from figures import Figure, figure, report
from made_up import filled, model_row
from terminal import Terminal
from terminal_apps import MARK

SIZES = (100, 10_000, 100_000, 1_000_000)
TABLES = (100, 10_000)
ROUNDS = 3
PRESSES = 15
PAGES = 2
"""So few, that a hundred rows have them."""


def main() -> None:
    paint: dict[str, list[float]] = defaultdict(list)
    processor: dict[str, list[float]] = defaultdict(list)
    memory: dict[str, list[float]] = defaultdict(list)
    keys: dict[tuple[str, str], list[float]] = defaultdict(list)
    with filled(SIZES) as paths:
        apps = {"empty Textual app": ("empty", "", MARK)}
        for count in TABLES:
            apps[f"DataTable, {count:,} rows"] = ("table", str(count), MARK)
        for size, path in paths.items():
            newest = model_row(0)["name"].split(" - ")[0]
            apps[f"lora-tui, {size:,} models"] = ("models", str(path), newest)
        for _ in range(ROUNDS):
            for name, (kind, argument, mark) in apps.items():
                terminal = Terminal(kind, argument, mark)
                paint[name].append(terminal.first_paint * 1000)
                processor[name].append(terminal.processor * 1000)
                if kind != "empty":
                    measure_keys(terminal, kind, name, keys)
                memory[name].append(terminal.memory)
                terminal.close()
    report(
        "interface: a terminal of 120 × 40", "interface", figures(paint, processor, memory, keys)
    )


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


def figures(
    paint: dict[str, list[float]],
    processor: dict[str, list[float]],
    memory: dict[str, list[float]],
    keys: dict[tuple[str, str], list[float]],
) -> list[Figure]:
    empty = "empty Textual app"
    smallest, table = f"lora-tui, {SIZES[0]:,} models", f"DataTable, {TABLES[0]:,} rows"
    found = []
    for name, values in paint.items():
        promise = "at most 1.3" if name.startswith("lora-tui") else ""
        against = {} if name == empty else {"peer": empty, "peer_values": paint[empty]}
        found.append(figure(f"first paint: {name}", "ms", values, promise=promise, **against))
    for name, values in processor.items():
        against = {} if name == empty else {"peer": empty, "peer_values": processor[empty]}
        found.append(figure(f"processor time until then: {name}", "ms", values, **against))
    for (what, name), values in keys.items():
        peer = table if (what, table) in keys else smallest
        against = {} if name == peer else {"peer": peer, "peer_values": keys[what, peer]}
        found.append(figure(f"{what}: {name}", "ms", values, **against))
    for name, values in memory.items():
        against = {} if name == empty else {"peer": empty, "peer_values": memory[empty]}
        found.append(figure(f"memory: {name}", "MiB", values, **against))
    return found


if __name__ == "__main__":
    sys.exit(main())
