"""`push`: a locally trained adapter becomes a model of the signed-in user."""

from __future__ import annotations

from typing import Any

from lora_tui import formats
from lora_tui.account.login import sign_in
from lora_tui.commands.context import Context
from lora_tui.config.kinds import expanded
from lora_tui.errors import UsageError
from lora_tui.harvest.artifact_rows import StoredFile
from lora_tui.json_values import mapping
from lora_tui.opinion import Severity, weight_findings
from lora_tui.push.checkpoint import find_weights_step
from lora_tui.push.directory import (
    TRAINING_ARGS,
    LocalAdapter,
    find_credentials,
    read_directory,
    require_inside,
)
from lora_tui.push.plan import Plan, WhenChanged, plan_push
from lora_tui.push.run import connect as connect_service
from lora_tui.push.run import push as run_push
from lora_tui.push.trainer_state import TRAINER_STATE, TrainingLog, notes, read_trainer_state
from lora_tui.text import terminal_safe


def push(context: Context) -> None:
    """Check the directory, send its files and write its rows, or print the plan."""
    arguments = context.arguments
    adapter = read_directory(
        expanded(arguments.directory, "The directory"), training_args=arguments.with_training_args
    )
    log = _log(adapter, arguments.metrics)
    context.require_network()
    profile = context.profile  # loaded before the search: its keys are searched for too
    _require_no_credentials(context, adapter)
    user_id = sign_in(profile).user_id
    for line in _file_notes(adapter):
        context.say(line)
    with connect_service(profile) as gateway:
        plan = plan_push(
            gateway,
            user_id,
            adapter,
            log,
            dataset=arguments.dataset,
            job=arguments.job,
            name=arguments.name,
            when_changed=_when_changed(context),
        )
        if plan.artifact is None or plan.changes.metrics:  # else the stored metrics stay
            for line in _log_notes(adapter, log):
                context.say(line)
        if arguments.dry_run:
            _print_plan(context, plan)
            return
        pushed = run_push(gateway, profile, plan, lambda file: report_stored(context, file))
    if context.json:
        context.print_data(
            {
                **_as_json(plan, dry_run=False),
                "existed": pushed.existed,
                "updated": pushed.updated,
                "model_id": pushed.model_id,
                "model_name": pushed.name,
                "stars": pushed.quality.stars,
                "convergence": pushed.quality.convergence,
                "sent": [file.name for file in pushed.files if file.sent],
            }
        )
        return
    context.out.write(f"{pushed.model_id}\n")
    stars = formats.score(pushed.quality.stars)
    what = "existed already" if pushed.existed else "is stored"
    what = "is updated" if pushed.updated else what
    context.say(f"{pushed.name} {what}, {stars} stars. Run `lora-tui sync` to see it in the list.")


def _when_changed(context: Context) -> WhenChanged:
    if context.arguments.update:
        return WhenChanged.UPDATE
    return WhenChanged.NEW_VERSION if context.arguments.new_version else WhenChanged.ASK


def _require_no_credentials(context: Context, adapter: LocalAdapter) -> None:
    """Raises UsageError where a file seems to hold a credential and --allow-secrets is missing."""
    found = [
        f"{terminal_safe(name, limit=80)}: {kind}"
        for name, kinds in find_credentials(adapter).items()
        for kind in kinds
    ]
    if not found:
        return
    if context.arguments.allow_secrets:
        context.say(f"Sent although it looks like a secret (--allow-secrets): {', '.join(found)}")
        return
    raise UsageError(
        "A file of the adapter seems to hold a secret",
        details=", ".join(found),
        remedy="take it out, and revoke it if others could read it; --allow-secrets sends the file"
        " as it is. Nothing was sent",
    )


def _log(adapter: LocalAdapter, named: str | None) -> TrainingLog:
    path = expanded(named, "The file") if named else adapter.directory / TRAINER_STATE
    if not named and path.is_file():
        require_inside(path)
    return read_trainer_state(path) if named or path.is_file() else TrainingLog()


def _file_notes(adapter: LocalAdapter) -> list[str]:
    lines = [
        finding.sentence
        for finding in weight_findings(adapter.weights)
        if finding.severity >= Severity.WARNING
    ]
    unused = [name for name in adapter.left_out if name not in (TRAINER_STATE, TRAINING_ARGS)]
    if TRAINING_ARGS in adapter.left_out:
        lines.append(
            f"{TRAINING_ARGS} is not sent: it is a pickle, which runs code when it is opened, and"
            " may hold a token (--with-training-args sends it)."
        )
    if unused:
        names = ", ".join(unused[:8]) + (", …" if len(unused) > 8 else "")
        lines.append(f"Not part of an adapter, not sent: {names}")
    return lines


def _log_notes(adapter: LocalAdapter, log: TrainingLog) -> list[str]:
    lines = [*notes(log)]
    weights = find_weights_step(adapter, log)
    if weights is not None:
        lines.append(weights.note)
    return lines


def report_stored(context: Context, file: StoredFile) -> None:
    """Print one stored file."""
    what = "sent" if file.sent else "already stored"
    context.say(f"{file.name}  {formats.size(file.size)}  {what}")


def _print_plan(context: Context, plan: Plan) -> None:
    if context.json:
        context.print_data({**_as_json(plan, dry_run=True), "existed": plan.artifact is not None})
        return
    job = "new" if plan.new_job else "exists"
    model = "new" if plan.artifact is None else "exists: nothing to do"
    model = "would be updated" if plan.changes else model
    parent = () if plan.parent is None else (("New version of", str(plan.parent["id"])),)
    for label, value in (
        ("Model", f"{plan.model_id} ({model})"),
        ("Name", terminal_safe(plan.name, limit=200)),
        *parent,
        *(("Change", phrase) for phrase in plan.changes.phrases),
        ("Job", f"{plan.identity.job_id} ({job})"),
        ("Dataset", terminal_safe(mapping(plan.job.get("dataset")).get("name"), limit=200)),
        ("Metric points", formats.count(len(plan.points))),
        *(
            ("File", f"{file.name}  {formats.size(file.size)}  {file.sha256}")
            for file in plan.adapter.files
        ),
    ):
        context.out.write(f"{label:<20} {value}\n")
    context.say("Nothing was sent (--dry-run).")


def _as_json(plan: Plan, *, dry_run: bool) -> dict[str, Any]:
    return {
        "model_id": plan.model_id,
        "model_name": plan.name,
        "job_id": plan.identity.job_id,
        "dataset_id": plan.identity.dataset_id,
        "new_job": plan.new_job,
        "dry_run": dry_run,
        "metric_points": len(plan.points),
        "changes": list(plan.changes.phrases),
        "files": {
            file.name: {"size": file.size, "sha256": file.sha256} for file in plan.adapter.files
        },
    }
