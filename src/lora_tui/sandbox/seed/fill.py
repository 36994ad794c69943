"""Fills an empty sandbox: accounts, datasets, jobs, curves, models, files, notifications.

The same seed, settings and moment give the same rows and the same bytes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lora_tui import clock
from lora_tui.clock import timestamp_text
from lora_tui.sandbox.auth import password_digest
from lora_tui.sandbox.backend import Backend
from lora_tui.sandbox.database import LAYOUT
from lora_tui.sandbox.postgrest.tables import index_statements, table_statements
from lora_tui.sandbox.seed.jobs import (
    add_account_costs,
    add_unfinished_jobs,
    add_waiting_job,
)
from lora_tui.sandbox.seed.models import DELETED_FROM, OTHER_MODELS, add_model
from lora_tui.sandbox.seed.seeding import (
    DATASETS,
    DAYS,
    DEMO,
    OTHER,
    OTHER_DATASET,
    DatasetText,
    Person,
    Rows,
    Seeding,
    SeedSettings,
)


def seed_backend(backend: Backend, seed: int, settings: SeedSettings, now: datetime | None) -> None:
    """Create the tables and fill them, unless that was done before."""
    database = backend.database
    if database.row("SELECT 1 FROM sqlite_master WHERE name = 'sandbox_facts'") is not None:
        return
    moment = (now or clock.now()).astimezone(UTC)
    if now is None:
        moment = moment.replace(second=0, microsecond=0)
    with database.transaction(check_references=False):
        for statement in table_statements():
            database.execute(statement)
        rows = Rows(backend.database)
        _fill(Seeding(rows, seed, moment, settings))
        rows.flush()
        for statement in index_statements():
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {LAYOUT}")
        database.insert_many(
            "sandbox_facts",
            ("name", "value"),
            [("seed", str(seed)), ("now", timestamp_text(moment))],
        )


def _fill(seeding: Seeding) -> None:
    _add_accounts(seeding)
    if not seeding.settings.models and not seeding.settings.waiting_jobs:
        return
    demo = [_add_dataset(seeding, DEMO, text, index) for index, text in enumerate(DATASETS)]
    other = [_add_dataset(seeding, OTHER, OTHER_DATASET, 0)]
    for index in range(seeding.settings.models):
        add_model(seeding, DEMO, demo, index)
    for index in range(OTHER_MODELS if seeding.settings.models else 0):
        add_model(seeding, OTHER, other, index)
    if seeding.settings.models >= DELETED_FROM:
        add_model(seeding, DEMO, demo, seeding.settings.models, deleted=True)
    for index in range(seeding.settings.waiting_jobs):
        add_waiting_job(seeding, demo, index)
    if seeding.settings.models:
        add_unfinished_jobs(seeding, demo)
        add_account_costs(seeding, DEMO)


def _add_accounts(seeding: Seeding) -> None:
    created_at = timestamp_text(seeding.now - timedelta(days=DAYS + 40))
    seeding.rows.add_ready(
        "auth_users",
        ("id", "email", "password_sha256", "created_at"),
        [
            (person.id, person.email, password_digest(person.password), created_at)
            for person in (DEMO, OTHER)
        ],
    )


def _add_dataset(
    seeding: Seeding, owner: Person, text: DatasetText, index: int
) -> tuple[str, DatasetText]:
    dataset_id = seeding.id("dataset", owner.email, index)
    file_name = f"{text.name.lower().replace(' ', '-')}.jsonl"
    created_at = timestamp_text(seeding.now - timedelta(days=DAYS + 30 - 2 * index, hours=index))
    seeding.rows.add(
        "datasets",
        id=dataset_id,
        user_id=owner.id,
        name=text.name,
        description=text.description,
        status="ready",
        storage_path=f"{owner.id}/{dataset_id}/{file_name}",
        file_name=file_name,
        file_size=text.training_pairs * 1_730,
        total_training_pairs=text.training_pairs,
        total_validation_pairs=text.training_pairs // 10,
        total_tokens=text.training_pairs * 412,
        created_at=created_at,
        updated_at=created_at,
    )
    return dataset_id, text
