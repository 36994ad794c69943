"""What the removal of deleted models' files asks for, and that its note is written only once."""

from __future__ import annotations

from datetime import timedelta

from lora_tui.clock import timestamp_text
from lora_tui.gateway import Gateway
from lora_tui.gateway.deleted_models import (
    count_deleted_models,
    deleted_models,
    model_row,
    named_files,
    note_removal,
    server_now,
)
from tests.backends.backend import Backend
from tests.backends.seed import Row, Seed


def test_models_deleted_before_a_time_are_found_until_their_files_are_noted_as_removed(
    backend: Backend, service: Gateway, seed: Seed
) -> None:
    now = server_now(service.rest)

    def deleted(days: int, **columns: object) -> Row:
        moment = timestamp_text(now - timedelta(days=days))
        return seed.artifact(backend.alice, deleted_at=moment, **columns)

    old, recent, theirs = deleted(40), deleted(20), deleted(50)
    done = deleted(60, configuration={"files_removed_at": timestamp_text(now)})
    stored = seed.artifact(backend.alice)
    before = now - timedelta(days=30)
    ids = {row["id"] for row in (old, recent, theirs, done, stored)}

    def found() -> set[str]:
        return {row["id"] for row in deleted_models(service.rest, before, most=1000)} & ids

    assert found() == {old["id"], theirs["id"]}
    counted = count_deleted_models(service.rest)

    noted = {**old["configuration"], "files_removed_at": timestamp_text(now)}
    assert note_removal(service.rest, old["id"], noted, deleted_before=before)
    assert not note_removal(service.rest, old["id"], {}, deleted_before=before)
    assert not note_removal(service.rest, recent["id"], noted, deleted_before=before)
    assert not note_removal(service.rest, stored["id"], noted, deleted_before=before)
    row = model_row(service.rest, old["id"])
    assert row is not None
    assert row["configuration"] == noted
    assert found() == {theirs["id"]}
    assert count_deleted_models(service.rest) == counted - 1


def test_all_rows_tell_which_files_they_name(
    backend: Backend, service: Gateway, seed: Seed
) -> None:
    deleted_at = "2026-01-01T00:00:00+00:00"
    wanted = {
        row["id"]: row["artifacts"]
        for row in (
            seed.artifact(backend.alice, artifacts={"a": "x/y/a"}),
            seed.artifact(backend.bob, artifacts={"b": "x/y/b"}, deleted_at=deleted_at),
        )
    }
    for since in (None, server_now(service.rest) - timedelta(minutes=5)):
        found = {row["id"]: row["artifacts"] for row in named_files(service.rest, since)}
        assert wanted.items() <= found.items()
    assert list(named_files(service.rest, server_now(service.rest) + timedelta(days=1))) == []
