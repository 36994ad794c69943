"""From stored files to a model that its owner sees: the row, the announcement, the job's link.

Each step may be repeated: ids are made from the job's id, and what is there already is found.
"""

from __future__ import annotations

from collections.abc import Iterable

from lora_tui.errors import ConflictError, IntegrityError, LoraTuiError, MissingReferenceError
from lora_tui.gateway.paging import Cursor, next_cursor
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.retry import repeat
from lora_tui.gateway.storage import Storage
from lora_tui.harvest.artifact_rows import Identity, StoredFile, notification_row
from lora_tui.harvest.receipts import Receipts
from lora_tui.json_values import Row, mapping


def check_stored(storage: Storage, identity: Identity, files: Iterable[StoredFile]) -> None:
    """Look once more before a model names these files. Raises IntegrityError where one is gone.

    Whoever takes an old job's files for leftovers (leftovers.py) removes them before this look.
    """
    there = {found.path: found.size for found in storage.list(identity.folder)}
    missing = [
        file.name
        for file in files
        if file.path not in there or there[file.path] not in (None, file.size)
    ]
    if missing:
        raise IntegrityError(
            "A stored file is no longer in the bucket",
            details=", ".join(missing),
            remedy="nothing to do: the next cycle sends it again",
        )


def write_artifact(rest: Rest, row: Row) -> tuple[Row, bool]:
    """The job's artifact, and whether somebody else wrote it (or we, in an attempt that broke)."""
    try:
        return repeat(lambda: rest.insert_artifact(row)), False
    except ConflictError:
        there = rest.artifact_by_job(str(row["job_id"]))
        if there is None:
            raise
        return there, True


def publish(
    rest: Rest, storage: Storage, receipts: Receipts, identity: Identity, artifact: Row
) -> bool:
    """Announce the artifact, then take the job out of the queue; True for the one who did.

    Raises MissingReferenceError where the job was deleted meanwhile.
    """
    foreign = str(artifact["id"]) != identity.artifact_id
    if foreign:
        give_up(storage, receipts, identity)  # no artifact will ever name what we stored
    if not artifact.get("deleted_at") and not (foreign and _is_announced(rest, artifact)):
        repeat(lambda: rest.insert_notification(notification_row(artifact)))
    linked = repeat(lambda: rest.link_job(identity.job_id, str(artifact["id"])))
    if not linked and give_up_deleted(rest, storage, receipts, identity):
        raise MissingReferenceError("Could not link the job: it was deleted meanwhile")
    if linked and not foreign:
        try:
            remove_unnamed(storage, identity.folder, artifact)
        except LoraTuiError:
            return linked  # the receipts stay, so leftovers.py does it
    receipts.discard()
    return linked


def remove_unnamed(storage: Storage, folder: str, artifact: Row) -> None:
    """Remove what an earlier try stored and the model does not name. Raises the error family."""
    named = set(mapping(artifact.get("artifacts")).values())
    if not named or not all(isinstance(path, str) and path.startswith(folder) for path in named):
        return  # nobody knows what belongs to it
    unnamed = [found.path for found in storage.list(folder) if found.path not in named]
    if unnamed:
        storage.delete(unnamed)


def give_up(storage: Storage, receipts: Receipts, identity: Identity) -> None:
    """Remove what was stored for an artifact that will never be; if not now, the next time."""
    receipts.discard()
    try:
        paths = [found.path for found in storage.list(identity.folder)]
        if paths:
            storage.delete(paths)
    except LoraTuiError:
        return


def give_up_deleted(rest: Rest, storage: Storage, receipts: Receipts, identity: Identity) -> bool:
    """Whether the job was deleted; then what was stored for it is removed."""
    job = rest.job(identity.user_id, identity.job_id)
    if job is not None or rest.artifact_by_job(identity.job_id) is not None:
        return False
    give_up(storage, receipts, identity)
    return True


def _is_announced(rest: Rest, artifact: Row) -> bool:
    """Whether there is a notification of an artifact that is not of our making."""
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
