"""After any changes in the backend and any faults, an undisturbed sync makes the cache equal."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from lora_tui.cache import metadata, models
from lora_tui.cache.connection import open_cache
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.errors import LoraTuiError, UnreachableError
from lora_tui.fetching.rows import OVERLAP
from lora_tui.gateway.rest import Rest
from lora_tui.sandbox import Sandbox
from lora_tui.sync import sync_cache
from tests.backends.backend import Backend
from tests.backends.seed import Row, Seed
from tests.sync.equality import assert_equal

pytestmark = pytest.mark.slow

WHICH: Final = st.integers(0, 99)
DELETED: Final = "2026-11-24T00:00:00+00:00"


class Killed(BaseException):
    """The process ends here."""


class World(RuleBasedStateMachine):
    """Alice's rows at the backend, and her cache."""

    sandbox: Sandbox
    backend: Backend
    seed: Seed
    rest: Rest
    directory: Path

    @initialize()
    def begin(self) -> None:
        self.sandbox.clear_faults()
        self._empty_the_backend()
        self.path = self.directory / f"{uuid.uuid4()}.sqlite3"
        self.db = open_cache(self.path)
        self.send = Rest.send.__get__(self.rest)
        self.dataset = self.seed.dataset(self.backend.alice)
        self.jobs: list[Row] = []
        self.models: list[Row] = []
        self.notices: list[Row] = []

    def teardown(self) -> None:
        if hasattr(self, "db"):
            self.db.close()

    # What others do at the backend ------------------------------------------------------------

    @rule(late=st.integers(0, 280))
    def a_model_appears_maybe_late(self, late: int) -> None:
        self.jobs.append(self.seed.job(self.backend.alice, self.dataset))
        columns = {"updated_at": self._before_the_newest(late)} if late > 60 else {}
        self.models.append(self.seed.artifact(self.backend.alice, self.jobs[-1], **columns))

    @rule(which=WHICH, name=st.sampled_from(["A", "B", "Ä'%_\""]))
    def a_model_is_renamed(self, which: int, name: str) -> None:
        self._change_model(which, name=name)

    @rule(which=WHICH)
    def a_model_is_marked_as_deleted(self, which: int) -> None:
        self._change_model(which, deleted_at=DELETED)

    @rule(which=WHICH)
    def a_model_is_restored(self, which: int) -> None:
        self._change_model(which, deleted_at=None)

    @rule(which=WHICH, to_bob=st.booleans())
    def a_model_changes_hands(self, which: int, to_bob: bool) -> None:
        owner = self.backend.bob if to_bob else self.backend.alice
        self._change_model(which, user_id=owner.user_id)

    @rule(which=WHICH)
    def a_model_is_deleted_for_good(self, which: int) -> None:
        if self.models:
            model = self.models.pop(which % len(self.models))
            self.seed.removed("model_artifacts", model["id"])

    @rule(which=WHICH, status=st.sampled_from(["running", "failed", "completed"]))
    def a_job_changes(self, which: int, status: str) -> None:
        if self.jobs:
            job = self.jobs[which % len(self.jobs)]
            self.seed.changed("training_jobs", job["id"], status=status)

    @rule(name=st.sampled_from(["One", "Two"]), deleted=st.booleans())
    def the_dataset_changes(self, name: str, deleted: bool) -> None:
        columns = {"name": name, "deleted_at": DELETED if deleted else None}
        self.seed.changed("datasets", self.dataset["id"], **columns)

    @rule()
    def a_notification_comes(self) -> None:
        self.notices.append(self.seed.notification(self.backend.alice))

    @rule(which=WHICH)
    def a_notification_is_read(self, which: int) -> None:
        if self.notices:
            notice = self.notices[which % len(self.notices)]
            self.seed.changed("notifications", notice["id"], read=True)

    @rule(which=WHICH)
    def a_notification_is_deleted(self, which: int) -> None:
        if self.notices:
            notice = self.notices.pop(which % len(self.notices))
            self.seed.removed("notifications", notice["id"])

    @rule(rows=st.sampled_from([1, 2, 3, 1000]))
    def the_project_gives_so_many_rows_an_answer(self, rows: int) -> None:
        self.sandbox.faults(path="/rest/v1", max_rows=rows)

    # What happens to syncs --------------------------------------------------------------------

    @rule(full=st.booleans())
    def a_sync_in_peace(self, full: bool) -> None:
        self._sync(full)
        assert_equal(self.db, self.seed.rows, self.backend.alice.user_id)
        assert metadata.get_sync_state(self.db).online

    @rule(full=st.booleans(), requests=st.integers(0, 25))
    def a_sync_without_a_network_after_a_while(self, full: bool, requests: int) -> None:
        def breaks(number: int) -> None:
            if number > requests:
                raise UnreachableError("The connection broke")

        with self._shown_models_stay(full), suppress(UnreachableError):
            self._sync(full, breaks)

    @rule(full=st.booleans(), requests=st.integers(0, 25))
    def a_sync_that_is_killed_at_a_request(self, full: bool, requests: int) -> None:
        def kills(number: int) -> None:
            if number > requests:
                raise Killed

        with self._shown_models_stay(full), suppress(Killed):
            self._sync(full, kills)
        self._open_again()

    @rule(full=st.booleans(), steps=st.integers(1, 400))
    def a_sync_that_is_cut_off_inside_a_statement(self, full: bool, steps: int) -> None:
        done = 0

        def cut() -> bool:
            nonlocal done
            done += 1
            return done == steps

        self.db.set_progress_handler(cut, 40)
        with self._shown_models_stay(full), suppress(LoraTuiError, sqlite3.OperationalError):
            self._sync(full)
        self._open_again()

    @rule(full=st.booleans(), requests=st.integers(1, 20), which=WHICH, kind=st.integers(0, 4))
    def a_change_while_a_sync_runs(self, full: bool, requests: int, which: int, kind: int) -> None:
        change: Callable[[], None] = (
            lambda: self.a_model_appears_maybe_late(which),
            lambda: self.a_model_is_renamed(which, "Meanwhile"),
            lambda: self.a_model_is_marked_as_deleted(which),
            lambda: self.a_model_is_deleted_for_good(which),
            lambda: self.a_model_changes_hands(which, to_bob=which % 2 == 0),
        )[kind]

        def changes(number: int) -> None:
            if number == requests:
                change()

        self._sync(full, changes)

    # ------------------------------------------------------------------------------------------

    def _sync(self, full: bool, before_request: Callable[[int], None] | None = None) -> None:
        number = 0

        def send(query: Any) -> httpx.Response:
            nonlocal number
            number += 1
            if before_request is not None:
                before_request(number)
            return self.send(query)

        self.rest.send = send  # type: ignore[method-assign]
        try:
            sync_cache(self.rest, self.db, self.backend.alice.user_id, full=full)
        finally:
            del self.rest.send

    def _shown_models_stay(self, full: bool) -> _Stay:
        """A full sync hides nothing that is there, however far it came."""
        living = self.seed.rows(
            "model_artifacts",
            user_id=f"eq.{self.backend.alice.user_id}",
            deleted_at="is.null",
            select="id",
            limit="1000",
        )
        return _Stay(self, {row["id"] for row in living})

    def _open_again(self) -> None:
        self.db.close()
        self.db = open_cache(self.path)

    def _change_model(self, which: int, **columns: Any) -> None:
        if self.models:
            model = self.models[which % len(self.models)]
            self.seed.changed("model_artifacts", model["id"], **columns)

    def _before_the_newest(self, seconds: int) -> str:
        """A time within the overlap, as a transaction has that began so long ago."""
        newest = self.seed.rows(
            "model_artifacts", select="updated_at", order="updated_at.desc", limit="1"
        )
        moment = parse_timestamp(newest[0]["updated_at"]) if newest else None
        if moment is None:
            return DELETED
        return timestamp_text(moment - OVERLAP * (seconds / 300))

    def _empty_the_backend(self) -> None:
        for table in ("model_artifacts", "notifications", "training_jobs", "datasets"):
            for row in self.seed.rows(table, select="id", limit="1000"):
                self.seed.removed(table, row["id"])


class _Stay:
    def __init__(self, world: World, living: set[str]) -> None:
        self._world = world
        self._living = living

    def __enter__(self) -> None:
        self._before = self._shown()

    def __exit__(self, *_: object) -> None:
        self._world.db.set_progress_handler(None, 0)
        assert self._before & self._living <= self._shown()

    def _shown(self) -> set[str]:
        db = self._world.db
        ids = {str(row[0]) for row in db.execute("SELECT id FROM models")}
        assert all(models.get_model(db, model_id) is not None for model_id in ids)
        return ids


def test_an_undisturbed_sync_makes_the_cache_equal_whatever_happened_before(
    empty_sandbox: Sandbox, backend: Backend, seed: Seed, rest: Rest, tmp_path: Path
) -> None:
    World.sandbox, World.backend, World.seed = empty_sandbox, backend, seed
    World.rest, World.directory = rest, tmp_path
    run_state_machine_as_test(
        World,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],  # ids are random: a failing run can't be made smaller
            suppress_health_check=list(HealthCheck),
        ),
    )
