"""Homes of the application, as its users have them: configuration, account, cache, queue.

A benchmark that measures the application starts the command itself on such a home, whatever
processes that consists of. Another version of it, in an environment of its own, is measured by the
same benchmark: it fills its cache itself, so `python homes.py` is run by its interpreter.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

MODEL: Final = "Adapter-"
NOWHERE: Final = "http://127.0.0.1:9"
"""The project of a home that is used offline."""


@dataclass(frozen=True)
class Seed:
    """What the cache has at the start."""

    models: int
    notifications: int = 0
    """Unread ones."""
    files: int = 0
    """In the queue of downloads."""
    size: int = 0
    """Of each file, in bytes."""


def environment(home: Path, url: str = NOWHERE) -> dict[str, str]:
    """Leads to a home, signed in to the project at `url`."""
    from made_up import USER

    claims = json.dumps({"sub": USER, "email": "a@b.example", "exp": 4102444800}).encode()
    token = base64.urlsafe_b64encode(claims).decode().rstrip("=")
    ours = ("PYTHON", "LORA_TUI_", "SUPABASE_", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {
        "LORA_TUI_HOME": str(home),
        "LORA_TUI_NO_KEYRING": "1",
        "LORA_TUI_ACCESS_TOKEN": f"e30.{token}.x",
        "SUPABASE_URL": url,
        "SUPABASE_ANON_KEY": "anon",
    }


def command(*words: str, python: str = sys.executable) -> list[str]:
    """The application, or one of its commands."""
    return [python, "-m", "lora_tui", *words]


def cache_of(home: Path) -> Path:
    """The cache in a home that is used offline."""
    from lora_tui.config.load import load_profile
    from made_up import USER

    return load_profile(environment=environment(home)).cache_path(USER)


def home_of(cache: Path) -> Path:
    """The home that a cache is in."""
    return cache.parents[1]


def configure(home: Path, url: str = NOWHERE) -> None:
    """Make the home with its configuration file."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(
        "[ui]\nsync_interval = 86400\n"
        f'[profiles.default]\nurl = "{url}"\nanon_key = "anon"\nparallel_downloads = 1\n'
    )


def make(home: Path, url: str, seed: Seed, *, python: str = sys.executable) -> Path:
    """Make a home with this cache; returns the path of the cache."""
    from made_up import USER, datasets

    configure(home, url)
    rows = {
        "user": USER,
        "models": first_models(seed.models),
        "datasets": datasets(),
        "notifications": notifications(seed.notifications),
    }
    done = subprocess.run(
        [python, __file__],
        env=environment(home, url),
        input=json.dumps(asdict(seed) | rows),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"the cache could not be filled:\n{done.stderr}")
    return Path(done.stdout.strip())


def model_name(number: int) -> str:
    """The name of a model; 0 is the newest."""
    return f"{MODEL}{number:03d}"


def first_models(count: int) -> list[dict[str, Any]]:
    """The newest models of the account. A first sync reads them before all others."""
    from datetime import timedelta

    from lora_tui.clock import timestamp_text
    from made_up import NEWEST, identifier, model_row

    return [
        model_row(0)
        | {
            "id": identifier("first", number),
            "job_id": None,
            "name": model_name(number),
            "created_at": timestamp_text(NEWEST + timedelta(minutes=count - number)),
            "updated_at": f"2020-01-01T00:00:00.{count - number:06d}+00:00",
        }
        for number in reversed(range(count))
    ]


def notifications(count: int) -> list[dict[str, Any]]:
    """Unread ones, of no model."""
    from datetime import timedelta

    from lora_tui.clock import timestamp_text
    from made_up import NEWEST, USER, identifier

    return [
        {
            "id": identifier("notification", number),
            "user_id": USER,
            "type": "dataset_ready",
            "title": f"Notification {number}",
            "message": "A dataset is ready",
            "read": False,
            "created_at": timestamp_text(NEWEST - timedelta(minutes=number)),
        }
        for number in range(count)
    ]


def fill(given: dict[str, Any]) -> Path:
    """Fill the cache of the account in force; returns its path.

    Any version of the application runs this, so it imports nothing of the other benchmarks.
    """
    from lora_tui.account.sessions import cache_owner
    from lora_tui.cache import records
    from lora_tui.cache import transfer_queue as queue
    from lora_tui.cache.changes import Topic
    from lora_tui.cache.connection import open_cache, transaction
    from lora_tui.cache.models import put_models
    from lora_tui.config.load import load_profile

    user, models, notices = given["user"], given["models"], given["notifications"]
    profile = load_profile()
    path = profile.cache_path(user)
    downloads = profile.downloads_dir / models[0]["name"]
    name, size = "adapter_model.safetensors", given["size"]
    wanted = [
        queue.FileRequest(f"{n:03d}-{name}", f"{user}/{n}/{name}", downloads / f"{n}", size)
        for n in range(given["files"])
    ]
    with closing(open_cache(path, cache_owner(profile, user))) as db, transaction(db, *Topic):
        records.put_datasets(db, given["datasets"])
        put_models(db, models)
        records.put_notifications(db, notices)
        records.mark_announced(db, [row["id"] for row in notices])
        queue.enqueue(db, models[0]["id"], wanted)
    return path


if __name__ == "__main__":
    print(fill(json.load(sys.stdin)))
