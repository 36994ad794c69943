"""Writes known rows with the service key, each test its own: all ids are new."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import httpx

from tests.backends.backend import Account, Backend

Row = dict[str, Any]

_ROWS_A_REQUEST = 500
_OWNED = ("cost_records", "notifications", "model_artifacts", "training_jobs", "datasets")
"""What refers to a row stands before it; points of curves go with their jobs."""


class Seed:
    """Rows of one backend, written and read past our own code, as the service role."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    @classmethod
    @contextmanager
    def of(cls, backend: Backend) -> Iterator[Self]:
        """Over connections that are closed at the end."""
        with httpx.Client(
            base_url=backend.url,
            headers={"apikey": backend.service_key},
            trust_env=False,
            timeout=60,
        ) as http:
            yield cls(http)

    def dataset(self, owner: Account, **columns: Any) -> Row:
        """A dataset."""
        return self._insert(
            "datasets",
            {
                "user_id": owner.user_id,
                "name": "Support answers",
                "total_training_pairs": 1200,
                "total_validation_pairs": 150,
                "storage_path": f"{owner.user_id}/{uuid.uuid4()}.jsonl",
            }
            | columns,
        )

    def datasets(self, owner: Account, count: int, **columns: Any) -> None:
        """So many datasets at once."""
        rows = [
            {
                "user_id": owner.user_id,
                "name": f"Answers {number}",
                "storage_path": f"{owner.user_id}/{uuid.uuid4()}.jsonl",
            }
            | columns
            for number in range(count)
        ]
        for first in range(0, count, _ROWS_A_REQUEST):
            self._insert_many("datasets", rows[first : first + _ROWS_A_REQUEST])

    def job(self, owner: Account, dataset: Row | None = None, **columns: Any) -> Row:
        """A completed job that nobody has harvested; its dataset is made where none is given."""
        return self._insert(
            "training_jobs",
            {
                "user_id": owner.user_id,
                "dataset_id": (dataset or self.dataset(owner))["id"],
                "preset_id": "balanced",
                "hyperparameters": {"lora_rank": 16, "num_epochs": 3},
                "gpu_config": {"gpu_type": "A100", "num_gpus": 1},
                "status": "completed",
                "external_job_id": f"worker-{uuid.uuid4()}",
                "completed_at": "2026-11-20T10:00:00+00:00",
            }
            | columns,
        )

    def artifact(self, owner: Account, job: Row | None = None, **columns: Any) -> Row:
        """An artifact; its job is made where none is given. The job isn't linked to it."""
        job = job or self.job(owner)
        return self._insert("model_artifacts", artifact_row(job) | columns)

    def metric_points(self, job: Row, count: int) -> list[Row]:
        """So many points of one curve, several of them within each second, shuffled."""
        start = datetime(2026, 11, 20, 9, tzinfo=UTC)
        rows = [
            {
                "job_id": job["id"],
                "timestamp": (start + timedelta(seconds=step // 7)).isoformat(),
                "epoch": 1,
                "step": step,
                "training_loss": round(2.5 / (1 + step / 100), 6),
                "validation_loss": 2.25 if step % 50 == 0 else None,
            }
            for step in range(count)
        ]
        rows = rows[1::2] + rows[::2]
        return [
            row
            for first in range(0, count, _ROWS_A_REQUEST)
            for row in self._insert_many("metrics_points", rows[first : first + _ROWS_A_REQUEST])
        ]

    def point(self, job: Row, **columns: Any) -> Row:
        """One more metric point."""
        return self._insert("metrics_points", {"job_id": job["id"], "epoch": 1} | columns)

    def notification(self, owner: Account, **columns: Any) -> Row:
        """An unread notification."""
        return self._insert("notifications", notification_row(owner) | columns)

    def cost(self, owner: Account, job: Row, **columns: Any) -> Row:
        """A cost record."""
        return self._insert(
            "cost_records",
            {
                "user_id": owner.user_id,
                "job_id": job["id"],
                "cost_type": "gpu",
                "amount": 12.5,
                "billing_period": "2026-11",
            }
            | columns,
        )

    def one_in_each_table(self, owner: Account) -> dict[str, Row]:
        """A row in each table, by the table's name; they belong together."""
        dataset = self.dataset(owner)
        job = self.job(owner, dataset)
        return {
            "datasets": dataset,
            "training_jobs": job,
            "model_artifacts": self.artifact(owner, job),
            "metrics_points": self.metric_points(job, 1)[0],
            "notifications": self.notification(owner),
            "cost_records": self.cost(owner, job),
        }

    def stored(self, path: str, content: bytes) -> str:
        """An object in the bucket; returns its path."""
        answer = self._http.post(
            f"/storage/v1/object/lora-models/{path}",
            content=content,
            headers={"Content-Type": "application/octet-stream"},
        )
        assert answer.is_success, answer.text
        return path

    def rows(self, table: str, **filters: str) -> list[Row]:
        """Rows as they are in the table, by PostgREST filters (`id="eq.…"`)."""
        answer = self._http.get(f"/rest/v1/{table}", params=filters)
        assert answer.is_success, answer.text
        rows: list[Row] = answer.json()
        return rows

    def changed(self, table: str, row_id: str, **columns: Any) -> Row:
        """A row after these columns of it were set."""
        answer = self._http.patch(
            f"/rest/v1/{table}",
            params={"id": f"eq.{row_id}"},
            json=columns,
            headers={"Prefer": "return=representation"},
        )
        assert answer.is_success, answer.text
        [row] = answer.json()
        changed: Row = row
        return changed

    def removed(self, table: str, row_id: str) -> None:
        """Delete a row for good."""
        answer = self._http.delete(f"/rest/v1/{table}", params={"id": f"eq.{row_id}"})
        assert answer.is_success, answer.text

    def remove_all(self, *owners: Account) -> None:
        """Delete every row of these accounts; no other account may refer to one."""
        mine = {"user_id": f"in.({','.join(owner.user_id for owner in owners)})"}
        for table, column in (
            ("training_jobs", "artifact_id"),
            ("model_artifacts", "parent_model_id"),
        ):
            answer = self._http.patch(f"/rest/v1/{table}", params=mine, json={column: None})
            assert answer.is_success, answer.text
        for table in _OWNED:
            answer = self._http.delete(f"/rest/v1/{table}", params=mine)
            assert answer.is_success, answer.text

    def _insert(self, table: str, row: Mapping[str, Any]) -> Row:
        return self._insert_many(table, [row])[0]

    def _insert_many(self, table: str, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
        answer = self._http.post(
            f"/rest/v1/{table}", json=list(rows), headers={"Prefer": "return=representation"}
        )
        assert answer.is_success, answer.text
        written: list[Row] = answer.json()
        return written


def artifact_row(job: Row) -> Row:
    """An artifact as the harvest would write it, for `insert_artifact`."""
    artifact_id = str(uuid.uuid4())
    return {
        "id": artifact_id,
        "user_id": job["user_id"],
        "job_id": job["id"],
        "dataset_id": job["dataset_id"],
        "name": "Support answers - 2026-11-20",
        "version": "1.0.0",
        "status": "stored",
        "quality_metrics": {"overall_score": 4, "final_training_loss": 0.52},
        "training_summary": {"total_cost": 12.5, "training_duration_hours": 1.5},
        "configuration": {"preset_id": job["preset_id"]},
        "artifacts": {"adapter_config.json": f"{job['user_id']}/{artifact_id}/adapter_config.json"},
    }


def notification_row(owner: Account) -> Row:
    """A notification as the harvest would write it."""
    return {
        "id": str(uuid.uuid4()),
        "user_id": owner.user_id,
        "type": "artifact_ready",
        "title": "Model Ready for Download",
        "message": "Your trained model is ready. Quality score: 4/5 stars",
        "priority": "high",
        "metadata": {},
    }
