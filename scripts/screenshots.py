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
from lora_tui.config import Profile, find_paths
from lora_tui.online import OnlineWriters
from lora_tui.preferences import Preferences
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret

_IMAGES: Final = Path(__file__).resolve().parent.parent / "docs" / "images"
_NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Picture:
    """What to press before it is taken."""

    name: str
    keys: Sequence[str] = ()
    width: int = 80
    height: int = 24
    ascii_only: bool = False


_PICTURES: Final = (
    Picture("models", ("j", "j")),
    Picture("models-wide", ("j", "space", "j", "j"), 160, 48),
    Picture("cards", ("v", "right", "down")),
    Picture("cards-wide", ("v", "right", "space", "down"), 160, 48),
    Picture("columns", ("C", "j", "space")),
    Picture("models-light", ("T", "j", "j")),
    Picture("models-ascii", ("j", "j"), ascii_only=True),
    Picture("search", ("slash", *"sql", "enter")),
    Picture("sort", ("s",)),
    Picture("filter", ("f", "space", "4")),
    Picture("keys", ("question_mark",), height=34),
    Picture("palette", ("ctrl+p",)),
    Picture("notifications", ("n",)),
    Picture("model", ("enter",)),
    Picture("model-wide", ("enter",), 160, 48),
    Picture("compare", ("space", "space", "space", "c")),
    Picture("compare-wide", ("space", "space", "space", "space", "c"), 160, 48),
)


def main(wanted: Sequence[str]) -> int:
    """Draw all pictures, or those named."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    clock.now = lambda: _NOW
    _IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        os.environ["LORA_TUI_HOME"] = home
        with (
            Sandbox.start(Path(home) / "sandbox", now=_NOW) as sandbox,
            closing(OnlineWriters(_profile(sandbox))) as writers,
        ):
            writers.sync()
            for picture in _PICTURES:
                if not wanted or picture.name in wanted:
                    asyncio.run(_draw(picture, writers))
                    sys.stdout.write(f"docs/images/{picture.name}.svg\n")
    return 0


async def _draw(picture: Picture, writers: OnlineWriters) -> None:
    app = LoraTuiApp(
        writers.cache_path,
        writers,
        profile="demo",
        preferences=Preferences(ascii_only=picture.ascii_only),
        sync_on_start=False,
    )
    app.animation_level = "none"
    async with app.run_test(size=(picture.width, picture.height)) as pilot:
        await pilot.press(*picture.keys)
        await app.workers.wait_for_complete()
        await pilot.pause()
        svg = app.export_screenshot(title="lora-tui")
    (_IMAGES / f"{picture.name}.svg").write_text(svg, encoding="utf-8")


def _profile(sandbox: Sandbox) -> Profile:
    paths = find_paths()
    return Profile(
        name="demo",
        paths=paths,
        url=sandbox.url,
        anon_key=sandbox.anon_key,
        email=sandbox.email,
        password=Secret(sandbox.password),
        downloads_dir=paths.downloads_dir,
        allow_private_urls=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
