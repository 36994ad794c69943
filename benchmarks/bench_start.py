"""How long `lora-tui list` takes on a cache of 10,000 models, against the least that it could take.

The peer is Python with the modules that no such command can do without, and the same query:
`python -c "import sqlite3, argparse; …"`. Each command is measured in turn with the peer (peer,
command, peer, command, …), and its ratio is the median of the ratios of neighbours, so a machine
that becomes slower meanwhile changes no ratio. `import textual.app` is what a command would pay
that loaded the interface first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from figures import figure, in_turn, report
from lora_tui.account.sessions import Session, cache_owner, save_session
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.models import put_models
from lora_tui.clock import now
from lora_tui.config.load import load_profile
from lora_tui.config.paths import find_paths
from lora_tui.secret import Secret

MODELS = 10_000
ROUNDS = 15
FEW = 5
"""Rounds of what takes a second."""
OTHERS = {"hf cache ls": ("hf", "cache", "ls"), "wandb status": ("wandb", "status")}
"""Commands of our field that look at what is on this machine, where they are installed."""
USER = "00000000-0000-4000-8000-000000000001"


PEER = "import sqlite3, argparse, and the query"
QUERY = """
import sqlite3, argparse, sys
db = sqlite3.connect(sys.argv[1])
for row in db.execute(
    "SELECT m.id, m.stars, m.convergence, m.name, d.name, m.created_at, m.final_loss, m.cost"
    " FROM models m LEFT JOIN datasets d ON d.id = m.dataset_id"
    " ORDER BY m.created_at DESC LIMIT 12"
):
    print(*row)
print(*db.execute("SELECT count(*) FROM models"))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        environment = make_account(home)
        script = str(Path(sys.executable).with_name("lora-tui"))
        cache = load_profile().cache_path(USER)
        peer = [sys.executable, "-c", QUERY, str(cache)]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "lora-tui list": [script, "list"],
            "lora-tui list --json": [script, "list", "--json"],
            "lora-tui --offline list --sort name": [script, "--offline", "list", "--sort", "name"],
            "lora-tui list --search model": [script, "list", "--search", "model"],
            "import textual.app": [sys.executable, "-c", "import textual.app"],
        }
        commands |= others(environment)

        def milliseconds(command: list[str]) -> float:
            start = time.perf_counter()
            subprocess.run(command, env=environment, check=True, capture_output=True)
            return (time.perf_counter() - start) * 1000

        figures, peers = [], []
        for name, command in commands.items():
            milliseconds(command)  # the first time, files are read from the disk
            rounds = FEW if name in OTHERS else ROUNDS
            theirs, ours = in_turn(
                partial(milliseconds, peer), partial(milliseconds, command), rounds
            )
            promise = "at most 2.5" if name == "lora-tui list" else ""
            figures.append(
                figure(
                    name, "ms", ours, peer=PEER, peer_values=theirs, promise=promise, paired=True
                )
            )
            peers += theirs
    title = f"start: a command with {MODELS:,} models in the cache, in turn with the peer"
    report(title, "start", [figure(PEER, "ms", peers), *figures])


def others(environment: dict[str, str]) -> dict[str, list[str]]:
    """Those of OTHERS that are here. Neither may ask the network, nor has anything to show."""
    (Path(environment["HF_HOME"]) / "hub").mkdir(parents=True)
    found = {}
    for name, (program, *words) in OTHERS.items():
        path = shutil.which(program)
        if path:
            found[name] = [path, *words]
    return found


def make_account(home: str) -> dict[str, str]:
    """A home with a filled cache, a configuration file and a stored session, as `login` and `sync`
    leave them; returns the environment that leads there."""
    ours = ("PYTHON", "LORA_TUI_", "SUPABASE_", "XDG_")
    for name in [name for name in os.environ if name.startswith(ours)]:
        del os.environ[name]  # of PYTHON*: bytecode is written, as on a user's machine
    os.environ |= {
        "HOME": home,
        "LORA_TUI_NO_KEYRING": "1",
        "HF_HOME": f"{home}/hf",
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "offline",
    }
    file = find_paths().config_file
    file.parent.mkdir(parents=True)
    file.write_text('[profiles.default]\nurl = "http://127.0.0.1:9"\nanon_key = "anon"\n')
    profile = load_profile()
    nothing = Secret("none")
    save_session(profile, Session(nothing, nothing, now(), USER, "a@b.example"))
    cache = open_cache(profile.cache_path(USER), cache_owner(profile, USER))
    with transaction(cache, Topic.MODELS):
        put_models(cache, (model_row(number) for number in range(MODELS)))
    cache.close()
    return dict(os.environ)


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
