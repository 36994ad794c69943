"""The loss chart of 120 × 40 cells by the length of the run, against the least that any must do.

The peer draws nothing: it only picks the lowest and the highest of each column out of a list, as
every chart of that many points has to. Reading a run happens once, in a thread; drawing it at each
change of the view, on the event loop.
"""

from __future__ import annotations

import math
import random

from figures import figure, milliseconds, report
from lora_tui.curves.series import Logged, Series
from lora_tui.widgets.charts.curve_plot import draw_curve

SIZES = (1_000, 100_000, 1_000_000)
WIDTH, HEIGHT = 120, 40
COLUMNS = 2 * WIDTH
ROUNDS = 9


def main() -> None:
    randomness = random.Random(1)
    figures = []
    for size in SIZES:
        losses = [
            1 + 1.4 * math.exp(-4 * n / size) + randomness.gauss(0, 0.03) for n in range(size)
        ]
        logged = [
            Logged(float(n), loss, loss + 0.1 if n % 100 == 0 else None, n / 2)
            for n, loss in enumerate(losses)
        ]
        series = Series.from_logged(logged)
        peer = f"lowest and highest of {COLUMNS} columns"
        plain = milliseconds(lambda losses=losses: columns_of(losses), ROUNDS)
        views = {"whole run": None, "a tenth of it": (size * 0.4, size * 0.5)}
        for name, window in views.items():
            drawn = milliseconds(
                lambda series=series, window=window: draw_curve(
                    series, WIDTH, HEIGHT, window=window
                ),
                ROUNDS,
            )
            figures.append(
                figure(f"{name}, {size:,} points", "ms", drawn, peer=peer, peer_values=plain)
            )
        made = milliseconds(lambda logged=logged: Series.from_logged(logged), 1)
        figures.append(figure(f"made ready to draw, {size:,} points", "ms", made))
    report("loss chart of 120 × 40", "chart", figures)


def columns_of(losses: list[float]) -> list[tuple[float, float]]:
    picked = []
    for column in range(COLUMNS):
        part = losses[column * len(losses) // COLUMNS : (column + 1) * len(losses) // COLUMNS]
        picked.append((min(part), max(part)))
    return picked


if __name__ == "__main__":
    main()
