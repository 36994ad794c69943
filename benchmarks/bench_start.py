"""How long `lora-tui list` takes on a cache of 10,000 models, against Python's own start.

The peers run in the same minute on the same machine, alternating, so the ratios travel and the
milliseconds do not: `python -c pass` is the floor, `import textual.app` is what a command would
pay that loaded the interface first.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import figure, report
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.models import put_models
from lora_tui.config import load_profile

MODELS = 10_000
ROUNDS = 15
USER = "00000000-0000-4000-8000-000000000001"


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        environment = make_account(home)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "import textual.app": [sys.executable, "-c", "import textual.app"],
            "lora-tui list": [sys.executable, "-m", "lora_tui", "list"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(command, env=environment, check=True, capture_output=True)
                times[name].append((time.perf_counter() - start) * 1000)
    peer = "python -c pass"
    report(
        f"start: a command with {MODELS:,} models in the cache",
        "start",
        [
            figure(
                name,
                "ms",
                values,
                peer=peer if name != peer else "",
                peer_values=times[peer] if name != peer else (),
            )
            for name, values in times.items()
        ],
    )


def make_account(home: str) -> dict[str, str]:
    """A home with a filled cache; returns the environment that leads there."""
    claims = json.dumps({"sub": USER, "email": "a@b.example", "exp": 4102444800})
    payload = base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")
    environment = {
        **os.environ,
        "LORA_TUI_HOME": str(Path(home)),
        "SUPABASE_URL": "http://127.0.0.1:9",
        "SUPABASE_ANON_KEY": "anon",
        "LORA_TUI_ACCESS_TOKEN": f"e30.{payload}.x",
    }
    cache = open_cache(load_profile(environment=environment).cache_path(USER))
    with transaction(cache, Topic.MODELS):
        put_models(cache, (model_row(number) for number in range(MODELS)))
    cache.close()
    return environment


def model_row(number: int) -> dict[str, object]:
    created = f"2026-{number % 11 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:00:00+00:00"
    return {
        "id": f"00000000-0000-4000-8000-{number:012x}",
        "user_id": USER,
        "name": f"Model {number}",
        "created_at": created,
        "updated_at": created,
        "quality_metrics": {"overall_score": number % 5 + 1, "convergence_quality": "good"},
        "training_summary": {"final_loss": 0.5 + number % 7 / 10, "total_cost": 2.5},
    }


if __name__ == "__main__":
    main()
