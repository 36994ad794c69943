"""What must hold whatever happened: after each episode, and once all is calm again."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Final

from lora_tui.errors import ExitCode
from tests.campaign.plan import Episode
from tests.campaign.world import Ended, World
from tests.sync.equality import assert_equal

_CALM_HARVESTS: Final = 3
_A_LEASE_LATER: Final = 26 * 3600.0
"""Seconds, by the backend's clock, after which what a dead harvester had claimed is free. A lease
is dated by that clock, which an episode may have set a day ahead for a while."""


def broken_by(world: World, episode: Episode, ended: list[Ended]) -> Iterator[str]:
    """What one episode broke, a sentence each."""
    for process in ended:
        yield from _badly_ended(world, process, killed=episode.kill_after is not None)
    if episode.damage is not None:
        synced = world.run("sync")
        if synced.code != ExitCode.OK:
            yield f"a sync over a damaged cache ended with {synced.code}: {synced.err[-300:]}"
    hashes = _known_hashes(world)
    for path, digest in world.downloaded().items():
        if digest not in hashes:
            yield f"a wrong file stands under its final name: {path.name}"
    for path in world.caches():
        with world.open_cache_file(path) as db:
            if (said := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                yield f"the cache is damaged: {said}"
    announced = [row["metadata"]["artifact_id"] for row in world.remote.notifications()]
    if len(announced) != len(set(announced)):
        yield "a model was announced twice"
    artifacts, objects = world.remote.artifacts(), world.remote.objects()
    for row in artifacts.values():
        if missing := [path for path in row["artifacts"].values() if path not in objects]:
            yield f"a model is visible without its files: {missing[0]}"


def broken_in_the_end(world: World) -> Iterator[str]:
    """Harvest, sync and download in good weather; everything must then be there, once."""
    for _ in range(_CALM_HARVESTS):
        world.run("harvest", "retry", "--all")
        harvested = world.run("--harvest", "--once", clock_offset=_A_LEASE_LATER)
        if harvested.code == ExitCode.OK and None not in world.model_ids():
            break
    else:
        yield f"the harvest does not end well in good weather: {harvested.err[-300:]}"
    yield from _assertion(world.remote.check_complete)
    # what was dated wrongly is promised within a day, when whole tables are compared
    synced = world.run("sync", days_later=2 if world.was_behind else 0)
    if synced.code != ExitCode.OK:
        yield f"a sync in good weather ended with {synced.code}: {synced.err[-200:]}"
    caches = world.caches()
    if len(caches) != 1:
        yield f"there is not one cache but {len(caches)}"
    for path in caches:
        with world.open_cache_file(path) as db:
            yield from _assertion(
                lambda db=db: assert_equal(db, world.seed.rows, world.owner.user_id)
            )
    for model in world.model_ids():
        fetched = world.run("download", str(model))
        expected = ExitCode.OK if world.deliverable else ExitCode.NOT_FOUND
        if fetched.code != expected:
            yield f"a download in good weather ended with {fetched.code}: {fetched.err[-200:]}"
    if world.deliverable:
        yield from _undelivered(world)
        verified = world.run("verify")
        if verified.code != ExitCode.OK:
            yield f"what was delivered does not verify: {verified.out[-300:]}"
    elif world.downloaded():
        yield "something was downloaded that nobody may read"


def _badly_ended(world: World, process: Ended, *, killed: bool) -> Iterator[str]:
    name = " ".join(process.arguments)
    if process.hung:
        yield f"{name} hung"
    elif process.code == -signal.SIGTERM and "--interval" in name and not process.out:
        pass  # a slow machine: it was asked to end before Python had begun
    elif process.code == -9:
        if not killed:
            yield f"{name} was killed by nobody of ours"
    elif process.code not in set(ExitCode):
        yield f"{name} ended with {process.code}"
    if "Traceback" in process.err:
        yield f"{name} ended with a traceback: {process.err[-600:]}"
    if process.code > 0 and not process.err.strip():
        yield f"{name} failed with {process.code} and said nothing"
    if name == "verify" and process.code == ExitCode.INTEGRITY:
        yield f"verify condemns what we downloaded: {process.out[-300:]}"
    sandbox = world.remote.sandbox
    for secret in (sandbox.password, sandbox.service_key, sandbox.gpu_key):
        if secret in process.out or secret in process.err:
            yield f"{name} printed a secret"
    if "token=" in process.err:
        yield f"{name} printed a signed URL"


def _known_hashes(world: World) -> set[str]:
    return set(world.remote.objects().values())


def _undelivered(world: World) -> Iterator[str]:
    """Each model has a directory with exactly its files, and nothing is left over from the way."""
    downloads = world.home / "downloads"
    places = {
        json.loads(path.read_text())["id"]: path.parent
        for path in downloads.glob("*/lora-tui.json")
        if not any(path.parent.glob("*.part*"))
    }
    objects, files = world.remote.objects(), world.downloaded()
    for row in world.remote.artifacts().values():
        place = places.get(row["id"])
        if place is None:
            yield f"{row['name']} is not on the disk as a whole"
            continue
        have = {path.name: digest for path, digest in files.items() if path.parent == place}
        want = {name: objects[path] for name, path in row["artifacts"].items()}
        if have != want:
            yield f"{row['name']}: its directory holds {sorted(have)}, not {sorted(want)}"


def _assertion(check: object) -> Iterator[str]:
    assert callable(check)
    try:
        check()
    except AssertionError as error:
        yield f"{str(error)[:400] or 'an assertion of the end state failed'}"
