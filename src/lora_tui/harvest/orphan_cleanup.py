"""Removes objects and receipts of jobs that became no model.

Under a lease the objects go at once when a job fails for good (job.py). Without leases another
harvester may be about to publish them, so they stay until they are older than ORPHAN_AGE: files
half as old are sent anew (store.py), and are checked once more before a model names them
(publish.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lora_tui import clock
from lora_tui.errors import AuthenticationError, LoraTuiError
from lora_tui.gateway.gpu import MalformedJobError
from lora_tui.gateway.storage import ObjectInfo
from lora_tui.harvest.artifact_rows import Identity, artifact_id_of
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.ledger_schema import State
from lora_tui.harvest.publish import remove_unnamed
from lora_tui.harvest.receipts import Owner, Receipts
from lora_tui.harvest.store import ORPHAN_AGE


def remove_orphans(harvester: Harvester, queue: Sequence[Mapping[str, Any]]) -> None:
    """Remove the objects and receipts of jobs that this machine began and nobody will harvest.

    `queue` is all waiting jobs of the backend. Undecided cases stay until the next cycle. Raises
    AuthenticationError.
    """
    receipts = Receipts.all_in(harvester.spool_dir, harvester.holder)
    if not receipts:
        return
    queued = {artifact_id_of(str(job["id"])): job for job in queue}
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


def _is_settled(harvester: Harvester, artifact_id: str, owner: Owner) -> bool:
    """Whether nothing is left to do for this job; objects that nobody can publish are removed."""
    artifact = harvester.rest.artifact_by_job(owner.job_id)
    if artifact is not None and str(artifact["id"]) == artifact_id:
        remove_unnamed(harvester.storage, owner.folder, artifact)
        return True  # finished, by this machine or another one
    objects = list(harvester.storage.list(owner.folder))
    if artifact is None and not all(map(_is_old, objects)):
        return False
    harvester.storage.delete(found.path for found in objects)
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
