"""What must hold after each episode, and at the end without faults."""

from __future__ import annotations

import hashlib
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from lora_tui.errors import ExitCode
from tests.campaign.application_invariants import broken_by_application
from tests.campaign.episode import Episode
from tests.campaign.plants import plain_files
from tests.campaign.processes import Ended
from tests.campaign.world import World
from tests.sync.equality import assert_equal

_HARVESTS_WITHOUT_FAULTS: Final = 3
_SIGNED: Final = ("X-Amz-Signature=", "token=ey")
_SESSION: Final = re.compile(r"\beyJ[\w-]{10,}\.[\w-]{10,}\.")
_UNFORESEEN: Final = ("Something unexpected", "The application crashed")
_A_LEASE_LATER: Final = 26 * 3600.0
"""Seconds, by the backend's clock, after which what a dead harvester had claimed is free. A lease
is dated by that clock, which an episode may have set a day ahead for a while."""


def broken_by(world: World, episode: Episode, ended: list[Ended]) -> Iterator[str]:
    """The violations of one episode, a sentence each."""
    for process in ended:
        yield from _badly_ended(
            world,
            process,
            killed=episode.kill_after is not None,
            planted=episode.plant is not None,
        )
    if episode.damage is not None:
        synced = world.run("sync")
        if "newer lora-tui" in synced.err:  # rightly refused; the remedy that it names works
            world.run("cache", "clear")
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
    for job, row in artifacts.items():
        if missing := [path for path in row["artifacts"].values() if path not in objects]:
            yield f"a model is visible without its files: {missing[0]}"
        there = {name: objects.get(path) for name, path in row["artifacts"].items()}
        for name, digest in world.sources[job].items():
            if there.get(name) != digest:
                yield f"what was published as {name} is not what the worker has made"
    yield from _wrongly_verified(world, episode, objects)
    yield from _leaked(world)
    if changed := world.outside.changed():
        yield f"something was written outside of the home: {', '.join(changed)}"
    world.plants.clear()
    if episode.application is not None:
        yield from broken_by_application(world)
    if episode.recheck is not None:
        yield from _unequal(world, full=episode.recheck == "full")


def _wrongly_verified(world: World, episode: Episode, objects: dict[str, str]) -> Iterator[str]:
    """No record and no `verify` accepts wrong bytes as those of a model."""
    paths = {row["id"]: row["artifacts"] for row in world.remote.artifacts().values()}
    for directory, record in world.records().items():
        for name, facts in record["files"].items():
            path = paths.get(record["id"], {}).get(facts.get("object", name))
            if facts.get("sha256") not in (None, objects.get(path)):
                yield f"a record of {directory.name} has another checksum of {name}"
    if episode.plant is None and "two models in one directory" not in episode.marks:
        return
    verified = world.run("verify", "--json")
    yield from _no_json(verified)
    for adapter in _adapters(verified):
        for file in adapter["files"]:
            place = Path(adapter["directory"]) / file["name"]
            path = paths.get(adapter["model_id"], {}).get(file.get("object") or file["name"])
            if file["state"] == "ok" and (
                place.is_symlink() or _digest(place) != objects.get(path)
            ):
                yield f"verify says ok of other bytes: {place.name}, {file['checked']}"


def _adapters(verified: Ended) -> list[Any]:
    if verified.code < 0 or not _is_json(verified.out):
        return []
    found: list[Any] = (json.loads(verified.out).get("data") or {}).get("adapters", [])
    return found


def _unequal(world: World, *, full: bool) -> Iterator[str]:
    """One sync without faults makes the cache equal to the backend."""
    synced = world.run("sync", *(["--full"] if full else []))
    if synced.code != ExitCode.OK:
        yield f"a sync after the trouble ended with {synced.code}: {synced.err[-200:]}"
    if world.was_behind:
        return
    for path in world.caches():
        with world.open_cache_file(path) as db:
            yield from _assertion(
                lambda db=db: assert_equal(db, world.seed.rows, world.owner.user_id)
            )


def _leaked(world: World) -> Iterator[str]:
    """No file of the home holds a key, a password or a signed URL."""
    sandbox = world.remote.sandbox
    secrets = (sandbox.password, sandbox.service_key, sandbox.gpu_key, *_SIGNED)
    for path in plain_files(world.home):
        content = path.read_bytes()
        for secret in secrets:
            if secret.encode() in content:
                yield f"a secret is in {path.name}"


def _no_json(process: Ended) -> Iterator[str]:
    """Where `--json` was asked for, stdout is JSON or lines of it, without NaN; or empty."""
    texts = [process.out] if _is_json(process.out) else process.out.splitlines()
    for text in texts:
        if text and not _is_json(text):
            yield f"{' '.join(process.arguments)} printed what is not JSON: {text[:200]}"


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError:
        return False
    return True


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def _digest(place: Path) -> str:
    return hashlib.sha256(place.read_bytes()).hexdigest() if place.is_file() else ""


def broken_in_the_end(world: World) -> Iterator[str]:
    """Harvest, sync and download without faults; everything must then be there exactly once."""
    for _ in range(_HARVESTS_WITHOUT_FAULTS):
        world.run("harvest", "retry", "--all")
        harvested = world.run("--harvest", "--once", clock_offset=_A_LEASE_LATER)
        if harvested.code == ExitCode.OK and None not in world.model_ids():
            break
    else:
        yield f"the harvest does not end well without faults: {harvested.err[-300:]}"
    yield from _assertion(world.remote.check_complete)
    # what was dated wrongly is promised within a day, when whole tables are compared
    synced = world.run("sync", days_later=2 if world.was_behind else 0)
    if synced.code != ExitCode.OK:
        yield f"a sync without faults ended with {synced.code}: {synced.err[-200:]}"
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
            yield f"a download without faults ended with {fetched.code}: {fetched.err[-200:]}"
    if world.deliverable:
        yield from _undelivered(world)
        verified = world.run("verify")
        if verified.code != ExitCode.OK:
            yield f"what was delivered does not verify: {verified.out[-300:]}"
    elif world.downloaded():
        yield "something was downloaded that nobody may read"


def _badly_ended(world: World, process: Ended, *, killed: bool, planted: bool) -> Iterator[str]:
    name = " ".join(process.arguments)
    if process.hung:
        yield f"{name} hung"
    elif process.code == -signal.SIGTERM and "--interval" in name and not process.out:
        pass  # on a slow machine it was asked to end before Python had started
    elif process.code == -9:
        if not killed and process.code not in process.may_end_with:
            yield f"{name} was killed by nobody of ours"
    elif process.code not in process.may_end_with:
        yield f"{name} ended with {process.code}"
    yield from (f"{name}: {sentence}" for sentence in process.wrong)
    if "Traceback" in process.err:
        yield f"{name} ended with a traceback: {process.err[-600:]}"
    for mark in _UNFORESEEN:
        if mark in process.out or mark in process.err:
            yield f"{name} says: {mark} {(process.out + process.err).rpartition(mark)[2][:300]}"
    said = process.err + (process.out if "--json" in process.arguments else "")
    if process.code > 0 and not said.strip():
        yield f"{name} failed with {process.code} and said nothing"
    if "--json" in process.arguments and process.code >= 0:
        yield from _no_json(process)
    # it rightly refuses what was planted
    if "verify" in process.arguments and process.code == ExitCode.INTEGRITY and not planted:
        yield f"verify condemns what we downloaded: {process.out[-300:]}"
    sandbox = world.remote.sandbox
    for secret in (sandbox.password, sandbox.service_key, sandbox.gpu_key):
        if secret in process.out or secret in process.err:
            yield f"{name} printed a secret"
    for mark in (*_SIGNED, "token="):
        if mark in process.err or mark in process.out:
            yield f"{name} printed a signed URL"
    if _SESSION.search(process.err + process.out):
        yield f"{name} printed a token"


def _known_hashes(world: World) -> set[str]:
    return set(world.remote.objects().values())


def _undelivered(world: World) -> Iterator[str]:
    """Each model has a directory with exactly its files and nothing temporary."""
    places: dict[str, list[Path]] = {}
    for directory, record in world.records().items():
        if not any(directory.glob("*.part*")):
            places.setdefault(record["id"], []).append(directory)
    objects, files = world.remote.objects(), world.downloaded()
    for row in world.remote.artifacts().values():
        want = {name: objects[path] for name, path in row["artifacts"].items()}
        have = [
            {path.name: digest for path, digest in files.items() if path.parent == place}
            for place in places.get(row["id"], [])
        ]
        # it may be in part in a directory that somebody named, and as a whole in its own
        if want not in have:
            yield f"{row['name']} is not on the disk as a whole, but {[sorted(f) for f in have]}"


def _assertion(check: object) -> Iterator[str]:
    assert callable(check)
    try:
        check()
    except AssertionError as error:
        yield f"{str(error)[:400] or 'an assertion of the end state failed'}"
