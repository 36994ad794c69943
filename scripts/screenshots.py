"""Draws the pictures of the documentation: docs/images/*.svg, on the sandbox's data."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from lora_tui import clock
from lora_tui.app import LoraTuiApp
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.models import get_model
from lora_tui.cache.served import put_served, put_server_state
from lora_tui.cache.transfer_queue import FileRequest, TransferState, enqueue, transfers_of
from lora_tui.config.paths import find_paths
from lora_tui.config.shown import Settings
from lora_tui.config.table import Preferences, Profile
from lora_tui.domain.answers import Answer, Progress
from lora_tui.domain.servers import Loaded, Proof, ServedName, ServerState, Verdict
from lora_tui.engine.online import OnlineWriters
from lora_tui.engine.writers import Writers
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret
from lora_tui.tui.background_harvest import BackgroundHarvest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.engine.profile_engine import writers_of

_IMAGES: Final = Path(__file__).resolve().parent.parent / "docs" / "images"
_NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


_SERVER: Final = "http://gpu-1:8000"
_SERVED_AS: Final = (
    "customer-support-emails-2026-11-21-cf3420a2-a11fde",
    "legal-clause-review-2026-11-19-1ba3600c-6dfecd",
)
_PROMPT: Final = "My invoice from May is wrong. What now?"
_ANSWERS: Final = (
    "I'm sorry to hear that your invoice is wrong. Here are some steps that you can take:\n\n"
    "1. Check the invoice carefully.\n2. Gather your documents.\n3. Contact the company.\n\n"
    "If the problem persists, you may want to consult a consumer protection agency.",
    "Hello,\n\nthank you for writing to us, and sorry for the trouble. Please reply with the number"
    " of the invoice and the amount that you expected. We will check it today and send you a"
    " corrected one within two working days.\n\nKind regards,\nYour support team",
    "Hi there!\n\nThat should not happen. I have opened a ticket for your May invoice. Could you"
    " tell me which line is wrong?\n\nUntil it is settled you don't need to pay anything.\n\n"
    "Best,\nSupport",
)
_MIB: Final = 1024 * 1024
_ADAPTERS: Final = Path("/home/you/adapters")


@dataclass(frozen=True)
class Picture:
    """What to press before it is taken."""

    name: str
    keys: Sequence[str] = ()
    width: int = 80
    height: int = 24


_PICTURES: Final = (
    Picture("models", ("j", "j", "space", "j", "space"), 132, 24),
    Picture("cards", ("v", "right", "space", "down"), 120, 34),
    Picture("filter", ("f", "space", "4")),
    Picture("model", ("enter",), 132, 40),
    Picture("serve", ("enter", "s")),
    Picture("compare", (*["space"] * 4, "c", "right", "shift+right", "shift+right"), 132, 34),
    Picture("leaderboard", ("O",), 120, 30),
    Picture("effect", ("e",), 120, 36),
    Picture("servers", ("H",), 100, 16),
    Picture("try", ("space", "space", "exclamation_mark"), 120, 36),
    Picture("jobs", ("w",), 120, 24),
    Picture("notifications", ("n",)),
    Picture("settings", ("comma",)),
    Picture("palette", ("ctrl+p", *"mark")),
    Picture("keys", ("question_mark",)),
    Picture("harvest", ("h",), 100, 24),
    Picture("transfers", ("t",), 100, 24),
)
"""The last one needs a queue, which changes what the others would show."""


def main(wanted: Sequence[str]) -> int:
    """Draw all pictures, or those named."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    clock.now = lambda: _NOW
    _IMAGES.mkdir(parents=True, exist_ok=True)
    known = {picture.name for picture in _PICTURES}
    for stale in _IMAGES.glob("*.svg"):
        if stale.stem not in known:
            stale.unlink()
    with tempfile.TemporaryDirectory() as home:
        os.environ["LORA_TUI_HOME"] = home
        with (
            Sandbox.start(Path(home) / "sandbox", now=_NOW) as sandbox,
            closing(OnlineWriters(profile := _profile(sandbox))) as online,
        ):
            online.sync()
            for picture in _PICTURES:
                if picture.name == "model":
                    _serve(online.cache_path)
                if picture.name == "transfers":
                    _queue(online.cache_path)
                if not wanted or picture.name in wanted:
                    asyncio.run(_draw(picture, online.user_id, profile))
                    sys.stdout.write(f"docs/images/{picture.name}.svg\n")
    return 0


async def _draw(picture: Picture, user_id: str, profile: Profile) -> None:
    with closing(writers_of(profile, user_id, connect=lambda: OnlineWriters(profile))) as writers:
        await _draw_with(picture, user_id, profile, writers)


async def _draw_with(picture: Picture, user_id: str, profile: Profile, writers: Writers) -> None:
    app = LoraTuiApp(
        profile.cache_path(user_id),
        writers,
        profile="demo",
        preferences=Preferences(theme="dark"),
        settings=_settings(profile),
        sync_on_start=False,
        harvest=BackgroundHarvest(profile, writers),
    )
    app.animation_level = "none"
    writers.refresh_servers = list  # type: ignore[method-assign]
    if picture.name == "try":
        writers.try_models = _answer  # type: ignore[method-assign]
    async with app.run_test(size=(picture.width, picture.height)) as pilot:
        await pilot.press(*picture.keys)
        if picture.name == "try":
            await pilot.press(*_PROMPT, "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        svg = app.export_screenshot(title="lora-tui")
    (_IMAGES / f"{picture.name}.svg").write_text(svg, encoding="utf-8")


def _serve(cache_path: Path) -> None:
    """A server that has loaded the first two models of the list and changes its answers with them,
    and one that does not answer."""
    at = clock.timestamp_text(_NOW)
    with closing(open_cache(cache_path)) as db, transaction(db):
        rows = db.execute("SELECT id, name FROM models ORDER BY created_at DESC LIMIT 2").fetchall()
        loaded = [
            Loaded("", "gpu-1", _SERVER, served_as, model_id, name, "1", "", "", at)
            for (model_id, name), served_as in zip(rows, _SERVED_AS, strict=True)
        ]
        proofs = [
            Proof("", one.model_id, "gpu-1", _SERVER, one.name, "1", Verdict.EFFECT, difference,
                  0.0028, 8, 322, proved_at=at)
            for one, difference in zip(loaded, (0.37, 0.29), strict=True)
        ]  # fmt: skip
        listed = tuple(ServedName(one.name) for one in loaded)
        base = "meta-llama/Llama-3.1-8B-Instruct"
        put_served(db, loaded, proofs)
        for state in (
            ServerState("gpu-1", _SERVER, "vllm", at, True, "", base, "0.32.0", listed),
            ServerState("desk", "http://desk.lan:8080", "llama.cpp", at, False, "No connection"),
        ):
            put_server_state(db, state)


def _answer(*_: object) -> list[Answer]:
    figures = ((0.085, 61.4), (0.112, 55.2), (0.109, 54.8))
    return [
        Answer(Progress.DONE, text, *measured, len(text) // 4, True, "stop")
        for text, measured in zip(_ANSWERS, figures, strict=True)
    ]


def _settings(profile: Profile) -> Settings:
    """Those of an ordinary home: the one of the pictures is another at each run."""
    paths = find_paths({"LORA_TUI_HOME": "/home/you/lora-tui"})
    return Settings(profile._replace(paths=paths), paths.cache_dir / "demo.db", environment={})


def _queue(cache_path: Path) -> None:
    """Downloads in several states; nobody works them off."""
    states = (
        (TransferState.VERIFYING, 1.0),
        (TransferState.RUNNING, 0.62),
        (TransferState.RUNNING, 0.18),
        (TransferState.PAUSED, 0.4),
        (TransferState.QUEUED, 0.0),
    )
    with closing(open_cache(cache_path)) as db, transaction(db, Topic.TRANSFERS):
        rows = db.execute("SELECT id FROM models ORDER BY created_at DESC LIMIT 5").fetchall()
        for (model_id,), (state, share) in zip(rows, states, strict=True):
            model = get_model(db, model_id)
            if model is None or not model.files:
                continue
            file = max(model.files, key=lambda file: file.size or 0)
            size = (_MIB * len(model.name)) * 3
            target = _ADAPTERS / model.name / file.name
            enqueue(db, model_id, [FileRequest(file.name, file.path, target, size)])
            (transfer,) = transfers_of(db, model_id)
            db.execute(
                "UPDATE transfers SET state = ?, bytes_done = ? WHERE id = ?",
                [state.value, int(size * share), transfer.id],
            )


def _profile(sandbox: Sandbox) -> Profile:
    paths = find_paths()
    return Profile(
        name="demo",
        paths=paths,
        url=sandbox.url,
        anon_key=sandbox.anon_key,
        email=sandbox.email,
        password=Secret(sandbox.password),
        downloads=_ADAPTERS,
        service_key=Secret(sandbox.service_key),
        gpu_url=sandbox.gpu_url,
        gpu_key=Secret(sandbox.gpu_key),
        allow_private_urls=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
