"""Changes a stored model into the adapter of a directory: all of it, or nothing.

Changed files get new objects beside the old ones, named after their checksums. The one request that
changes the model's row switches to them; until then the model is the old one. So an interrupted
update leaves the old model, and the same command continues. Old objects are removed at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from lora_tui.domain.rows import FILES_REMOVED_AT, REMOVAL_BEGAN_AT
from lora_tui.errors import LoraTuiError, NotFoundError
from lora_tui.files import make_private_directory, translate_disk_errors
from lora_tui.gateway import Gateway
from lora_tui.gateway.retry import repeat
from lora_tui.harvest.artifact_rows import StoredFile, artifact_row, stored_name
from lora_tui.harvest.publish import check_stored, remove_unnamed
from lora_tui.harvest.receipts import Owner, Receipts
from lora_tui.harvest.sending import Sender
from lora_tui.json_values import Row, mapping
from lora_tui.push.directory import LocalFile, training_settings
from lora_tui.push.existing import METRICS, recorded_sha256
from lora_tui.push.job_rows import run_columns
from lora_tui.push.plan import Plan
from lora_tui.push.send import send_files, write_points

_DIGITS_OF_CHECKSUM: Final = 12


def update_model(
    gateway: Gateway,
    plan: Plan,
    spool_dir: Path,
    holder: str,
    on_file: Callable[[StoredFile], None],
    check: Callable[[], None],
) -> tuple[Row, list[StoredFile]]:
    """Carry out the changes of a plan; the changed row, and the files of the model.

    `check` is called before each step. Raises the error family: NotFoundError where the model was
    deleted meanwhile, IntegrityError where another program changed its files meanwhile.
    """
    assert plan.artifact is not None
    rest, artifact = gateway.rest, plan.artifact
    place = replace(plan.identity, artifact_id=str(artifact["id"]))
    # not among the receipts of harvests, whose cleanup removes objects that no row names yet
    receipts_dir = spool_dir / "updates"
    with translate_disk_errors("Files being transferred can't be stored", receipts_dir):
        make_private_directory(receipts_dir)
    receipts = Receipts(receipts_dir, place.artifact_id, holder, Owner.of(place))
    there = {found.path: found.size for found in gateway.storage.list(place.folder)}
    sender = Sender(gateway.storage, gateway.s3)
    kept: dict[str, StoredFile] = {}
    changed_files = []
    for file in plan.adapter.files:
        path = str(mapping(artifact.get("artifacts")).get(file.name))
        same = recorded_sha256(artifact, file.name) == file.sha256
        if same and there.get(path, -1) in (None, file.size):
            kept[file.name] = StoredFile(file.name, path, file.size, file.sha256, sent=False)
            on_file(kept[file.name])
        else:
            changed_files.append((file, f"{place.folder}/{_versioned(file)}"))
    sent = send_files(sender, changed_files, receipts, spool_dir, check=check, on_file=on_file)
    by_name = kept | {file.name: file for file in sent}
    stored = [by_name[file.name] for file in plan.adapter.files]
    check()
    check_stored(gateway.storage, place, stored)
    job, values = _changed_job(gateway, plan), dict[str, Any]()
    if plan.changes.metrics:
        write_points(rest, job, plan.points)
        points = (point for page in rest.metric_points(place.job_id) for point in page)
        values = artifact_row(job, points, stored)
        values = {
            "quality_metrics": values["quality_metrics"],
            "training_summary": {**values["training_summary"], **plan.summary},
        }
    values |= _columns(plan, job, stored)
    check()
    changed = repeat(lambda: rest.update_artifact(place.user_id, place.artifact_id, values))
    if changed is None:
        raise NotFoundError(
            "The model was deleted during the update", remedy="push it again with --new-version"
        )
    # objects that no model names harm nobody, and the next update removes them
    with suppress(LoraTuiError):
        remove_unnamed(gateway.storage, place.folder, changed)
    check_stored(gateway.storage, place, stored)
    receipts.discard()
    return changed, stored


def _versioned(file: LocalFile) -> str:
    """The name of the object of a changed file: `adapter_config-3f2a9c1e0b7d.json`."""
    name = PurePosixPath(file.name)
    return stored_name(f"{name.stem}-{file.sha256[:_DIGITS_OF_CHECKSUM]}{name.suffix}")


def _changed_job(gateway: Gateway, plan: Plan) -> Row:
    """The job with the settings and the log of the adapter, written where it is a job of ours."""
    job = plan.job
    if job.get("external_job_id"):
        return job
    settings = {**mapping(job.get("hyperparameters")), **training_settings(plan.adapter)}
    values: dict[str, Any] = {"hyperparameters": settings}
    if plan.changes.metrics:
        values = {"hyperparameters": settings | plan.log.settings(), **run_columns(plan.log)}
    if any(job.get(key) != value for key, value in values.items()):
        repeat(lambda: gateway.rest.update_job(str(job["user_id"]), str(job["id"]), values))
    return {**job, **values}


def _columns(plan: Plan, job: Row, stored: list[StoredFile]) -> dict[str, Any]:
    """The columns of the model's row that every update writes; unknown settings stay."""
    assert plan.artifact is not None
    configuration = {
        **mapping(plan.artifact.get("configuration")),
        "files": {file.name: {"size": file.size, "sha256": file.sha256} for file in stored},
    }
    configuration.pop("weights", None)  # the summary depends on the configuration, too
    for key in (FILES_REMOVED_AT, REMOVAL_BEGAN_AT):  # of a model that was restored: they are back
        configuration.pop(key, None)
    if plan.adapter.weights is not None:
        configuration["weights"] = plan.adapter.weights.as_json()
    if not job.get("external_job_id"):
        configuration["hyperparameters"] = job.get("hyperparameters")
    if plan.changes.metrics:
        configuration[METRICS] = plan.metrics_digest
    return {
        "name": plan.name,
        "configuration": configuration,
        "artifacts": {file.name: file.path for file in stored},
    }
