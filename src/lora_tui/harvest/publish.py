"""Publishes a model whose files are stored, and removes objects and receipts that became no model.

A model is published with its row, its notification and the link from its job. Each step can be
repeated: ids are derived from the job's id, and existing rows are found.

Under a lease the objects of a job that fails for good are removed at once (job.py). Without leases
another harvester may be about to publish them, so they stay until they are older than ORPHAN_AGE:
files half as old are sent anew (store.py), and are checked once more before a model names them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from lora_tui import clock
from lora_tui.errors import (
    AuthenticationError,
    ConflictError,
    IntegrityError,
    LoraTuiError,
    MissingReferenceError,
)
from lora_tui.gateway.gpu import MalformedJobError
from lora_tui.gateway.headers import etag_value
from lora_tui.gateway.paging import Cursor, next_cursor
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.retry import repeat
from lora_tui.gateway.storage import ObjectInfo, Storage
from lora_tui.harvest.artifact_rows import Identity, StoredFile, artifact_id_of, notification_row
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.in_bucket import has_manifest
from lora_tui.harvest.ledger_schema import State
from lora_tui.harvest.receipts import Owner, Receipts
from lora_tui.harvest.store import ORPHAN_AGE
from lora_tui.json_values import Row, mapping


def check_stored(
    storage: Storage,
    identity: Identity,
    files: Iterable[StoredFile],
    listed: Sequence[ObjectInfo] | None = None,
) -> Sequence[ObjectInfo]:
    """Check that the bucket still holds these files; returns all objects of their folder.

    `listed`: those objects, where they were listed just now.
    A cleanup of orphans removes files only before this check. A file with an ETag must still have
    it: another one may have replaced it. Raises IntegrityError where one is missing or replaced.
    """
    objects = list(storage.list(identity.folder)) if listed is None else listed
    there = {found.path: found for found in objects}
    missing = [
        file.name
        for file in files
        if file.path not in there
        or there[file.path].size not in (None, file.size)
        or (file.etag is not None and etag_value(there[file.path].etag) != file.etag)
    ]
    if missing:
        raise IntegrityError(
            "A stored file is no longer in the bucket, or was replaced",
            details=", ".join(missing),
            remedy="nothing to do: the next cycle checks and sends the files again",
        )
    return objects


def write_artifact(rest: Rest, row: Row) -> tuple[Row, bool]:
    """The job's artifact, and whether it existed already."""
    try:
        return repeat(lambda: rest.insert_artifact(row)), False
    except ConflictError:
        there = rest.artifact_by_job(str(row["job_id"]))
        if there is None:
            raise
        return there, True


def publish(
    rest: Rest,
    storage: Storage,
    receipts: Receipts,
    identity: Identity,
    artifact: Row,
    *,
    there: Iterable[ObjectInfo] | None = None,
) -> bool:
    """Announce the artifact, then link the job; True where this call has linked it.

    `there`: the objects in its folder, where `check_stored` has listed them.
    Raises MissingReferenceError where the job was deleted meanwhile.
    """
    foreign = str(artifact["id"]) != identity.artifact_id
    if foreign:
        # no artifact will name the files that we stored, unless that one does
        discard_objects(storage, receipts, identity, named=_paths(artifact))
    if not artifact.get("deleted_at") and not (foreign and _is_announced(rest, artifact)):
        repeat(lambda: rest.insert_notification(notification_row(artifact)))
    linked = repeat(lambda: rest.link_job(identity.job_id, str(artifact["id"])))
    if not linked and discard_if_deleted(rest, storage, receipts, identity):
        raise MissingReferenceError("Could not link the job: it was deleted meanwhile")
    if linked and not foreign:
        try:
            remove_unnamed(storage, identity.folder, artifact, there)
        except LoraTuiError:
            return linked  # the receipts stay, so `remove_orphans` removes them
    receipts.discard()
    return linked


def remove_unnamed(
    storage: Storage, folder: str, artifact: Row, found: Iterable[ObjectInfo] | None = None
) -> None:
    """Remove the objects that an earlier attempt stored and the model does not name.

    `found`: the objects in the folder, where they are known. Raises the error family.
    """
    named = _paths(artifact)
    if not named or not all(str(path).startswith(folder) for path in named):
        return  # it is unknown which objects belong to the model
    objects = storage.list(folder) if found is None else found
    unnamed = [entry.path for entry in objects if entry.path not in named]
    if unnamed:
        storage.delete(unnamed)


def discard_objects(
    storage: Storage, receipts: Receipts, identity: Identity, named: Container[object] = ()
) -> None:
    """Remove the objects of an artifact that will not be written; errors are left to a cleanup.

    The paths in `named` stay.
    """
    receipts.discard()
    try:
        _delete(storage, storage.list(identity.folder), named)
    except LoraTuiError:
        return


def discard_failed(storage: Storage, receipts: Receipts, identity: Identity) -> None:
    """Remove the objects of a job that failed for good, unless the worker has uploaded them.

    An upload, recognised by its manifest, may be the only copy and can be harvested once it is
    mended. Objects without a manifest are none: the worker writes it before it returns.
    """
    try:
        found = list(storage.list(identity.folder))
        if has_manifest(found):
            return
        _delete(storage, found)
    except LoraTuiError:
        return  # the receipts stay, so `remove_orphans` removes them
    receipts.discard()


def _delete(storage: Storage, found: Iterable[ObjectInfo], named: Container[object] = ()) -> None:
    paths = [entry.path for entry in found if entry.path not in named]
    if paths:
        storage.delete(paths)


def _paths(artifact: Row) -> set[object]:
    """What an artifact's row says of where its files are."""
    return set(map(str, mapping(artifact.get("artifacts")).values()))


def discard_if_deleted(
    rest: Rest, storage: Storage, receipts: Receipts, identity: Identity
) -> bool:
    """Whether the job was deleted; if so, its stored objects are removed."""
    job = rest.job(identity.user_id, identity.job_id)
    if job is not None or rest.artifact_by_job(identity.job_id) is not None:
        return False
    discard_objects(storage, receipts, identity)
    return True


def remove_orphans(harvester: Harvester) -> None:
    """Remove the objects and receipts of jobs that this machine began and nobody will harvest.

    Undecided cases stay until the next cycle. Raises the error family.
    """
    receipts = Receipts.all_in(harvester.spool_dir, harvester.holder)
    if not receipts:
        return
    waiting = harvester.rest.waiting_jobs()
    queued = {artifact_id_of(str(job["id"])): job for job in waiting}
    states = {job.job_id: job.state for job in harvester.ledger.jobs()}
    for found in receipts:
        job = queued.get(found.artifact_id)
        owner = found.owner or _owner_of(job)
        state = states.get(owner.job_id) if owner else None
        if state is State.RUNNING or (job is not None and state is not State.DEAD):
            continue
        try:
            if owner is None or _is_settled(harvester, found.artifact_id, owner):
                found.discard()
        except AuthenticationError:
            raise
        except LoraTuiError:
            continue


def _is_announced(rest: Rest, artifact: Row) -> bool:
    """Whether an artifact that we did not write has a notification."""
    user_id, created_at = str(artifact["user_id"]), artifact.get("created_at")
    after = Cursor.at(created_at) if isinstance(created_at, str) else None
    while True:
        page = rest.page("notifications", user_id, after=after, key="created_at")
        for row in page.rows:
            if mapping(row.get("metadata")).get("artifact_id") == artifact["id"]:
                return True
        after = next_cursor(page.rows, "created_at", after)
        if after is None:
            return False


def _is_settled(harvester: Harvester, artifact_id: str, owner: Owner) -> bool:
    """Whether nothing is left to do for this job; objects that nobody can publish are removed.

    A worker's upload stays while its job exists: it may be harvested later.
    """
    artifact = harvester.rest.artifact_by_job(owner.job_id)
    if artifact is not None and str(artifact["id"]) == artifact_id:
        remove_unnamed(harvester.storage, owner.folder, artifact)
        return True  # finished, by this machine or another one
    objects = list(harvester.storage.list(owner.folder))
    if artifact is None and not all(map(_is_old, objects)):
        return False
    user_id = owner.folder.partition("/")[0]
    if artifact is None and has_manifest(objects) and harvester.rest.job(user_id, owner.job_id):
        return False
    _delete(harvester.storage, objects, _paths(artifact or {}))
    return True


def _is_old(found: ObjectInfo) -> bool:
    stored = clock.parse_timestamp(found.updated_at)
    return stored is not None and clock.now() - stored >= ORPHAN_AGE


def _owner_of(job: Mapping[str, Any] | None) -> Owner | None:
    """The owner of receipts of an earlier version, which do not name it."""
    try:
        return Owner.of(Identity.of(job)) if job is not None else None
    except MalformedJobError:
        return None
